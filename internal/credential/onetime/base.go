package onetime

import (
	"net/textproto"
	"net/url"
	"strings"
	"unicode/utf8"

	keystile "keystile.dev/keystile"
)

// maxBase bounds the text under a message signature: it is made from header
// fields, which are bounded too, but each may be named more than once by different names.
const maxBase = 128 << 10

// derived are the derived components of a request (RFC 9421, section 2.2), all
// but @query-param.
var derived = map[string]func(r *keystile.Request) string{
	"@method":    func(r *keystile.Request) string { return r.Method },
	"@scheme":    func(r *keystile.Request) string { return strings.ToLower(r.Scheme) },
	"@authority": authority,
	"@path":      func(r *keystile.Request) string { return r.Path },
	// Section 2.2.7: the question mark stands there even if there is no query.
	"@query":          func(r *keystile.Request) string { return "?" + r.RawQuery },
	"@request-target": requestTarget,
	"@target-uri": func(r *keystile.Request) string {
		return strings.ToLower(r.Scheme) + "://" + r.Host + requestTarget(r)
	},
}

func requestTarget(r *keystile.Request) string {
	if r.RawQuery == "" {
		return r.Path
	}
	return r.Path + "?" + r.RawQuery
}

// authority is the host in lower case, without the scheme's default port (section 2.2.3).
func authority(r *keystile.Request) string {
	host := strings.ToLower(r.Host)
	if strings.EqualFold(r.Scheme, "https") {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// signatureBase is the text under a signature (section 2.5). broken says why
// there is none: the signature covers something that is not in the request.
func signatureBase(r *keystile.Request, input signatureInput) (base []byte, broken string) {
	base = make([]byte, 0, 1024)
	for _, c := range input.components {
		value, broken := componentValue(r, c)
		if broken != "" {
			return nil, broken
		}
		base = append(append(appendComponent(base, c), ": "...), value...)
		base = append(base, '\n')
		if len(base) > maxBase {
			return nil, "the signature covers more than 128 KiB"
		}
	}
	base = append(base, `"@signature-params": `...)
	return appendInnerList(base, input.components, input.parameters), ""
}

// componentValue is the value of one component, which is one line of text.
func componentValue(r *keystile.Request, c component) (value, broken string) {
	switch {
	case c.name == "@query-param":
		value, broken = queryParameter(r.RawQuery, c.parameters[0].value.text)
	case c.name[0] == '@':
		value = derived[c.name](r)
	case c.name == "host": // HTTP libraries keep it apart from the other fields
		value = r.Host
	default:
		value, broken = fieldValue(r.Header, c.name)
	}
	if broken != "" {
		return "", broken
	}
	for i := range len(value) {
		// A line break would let one component pretend to be two.
		if b := value[i]; b != '\t' && (b < ' ' || b > '~') {
			return "", "a covered component holds a control character or a byte outside ASCII"
		}
	}
	return value, ""
}

// fieldValue joins the lines of a field as section 2.1 says.
func fieldValue(h keystile.Header, name string) (value, broken string) {
	lines := h[textproto.CanonicalMIMEHeaderKey(name)]
	switch len(lines) {
	case 0:
		return "", "the signature covers a field that is not in the request"
	case 1:
		return strings.Trim(lines[0], " \t"), ""
	}
	trimmed := make([]string, len(lines))
	for i, line := range lines {
		trimmed[i] = strings.Trim(line, " \t")
	}
	return strings.Join(trimmed, ", "), ""
}

// queryParameter is the value of the one query parameter whose name, encoded
// again, is name (section 2.2.8). One that repeats must not be covered.
func queryParameter(query, name string) (value, broken string) {
	found := false
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		key, ok := encodeAgain(k)
		if !ok {
			return "", "the query cannot be read"
		}
		if key != name {
			continue
		}
		if found {
			return "", "the signature covers a query parameter that is there twice"
		}
		if value, found = encodeAgain(v); !found {
			return "", "the query cannot be read"
		}
	}
	if !found {
		return "", "the signature covers a query parameter that is not in the request"
	}
	return value, ""
}

// encodeAgain decodes a name or value of a form (URL standard, section 5.1) and
// percent-encodes it with the form's set (section 5.2), a space as %20.
func encodeAgain(part string) (encoded string, ok bool) {
	decoded, err := url.QueryUnescape(part)
	if err != nil || !utf8.ValidString(decoded) {
		return "", false
	}
	const digits = "0123456789ABCDEF"
	var out strings.Builder
	for i := range len(decoded) {
		c := decoded[i]
		if isLower(c) || isDigit(c) || c >= 'A' && c <= 'Z' || strings.IndexByte("*-._", c) >= 0 {
			out.WriteByte(c)
			continue
		}
		out.WriteByte('%')
		out.WriteByte(digits[c>>4])
		out.WriteByte(digits[c&15])
	}
	return out.String(), true
}

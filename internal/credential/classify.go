package credential

import (
	"bytes"
	"strings"

	keystile "keystile.dev/keystile"
)

// MaxLength is the longest credential that is looked at, in bytes. A one-time
// header signed with RSA-4096 is about 1.5 kB; 8 KiB leaves room for long JWTs.
const MaxLength = 8 << 10

// typedPrefixes name their kind by themselves.
var typedPrefixes = []struct {
	prefix string
	kind   keystile.KindName
}{
	{"ak_", keystile.KindPartner},    // application key
	{"st_", keystile.KindPartner},    // session token of an embedded application
	{"tk_", keystile.KindPartner},    // temporary key
	{"ot_", keystile.KindOAuthToken}, // opaque access token
}

// Classify names the kind of a credential from its text, or "" where only a
// look-up can tell. It is pure and allocates nothing for a plain API key.
func Classify(text string) keystile.KindName {
	for _, t := range typedPrefixes {
		if strings.HasPrefix(text, t.prefix) {
			return t.kind
		}
	}
	if strings.IndexByte(text, '.') >= 0 && strings.Count(text, ".") == 2 {
		return classifyJWT(text)
	}
	if looksLikeBase64Object(text) {
		return keystile.KindOneTime
	}
	return ""
}

// classifyJWT names the kind of a three-part token. A token whose parts cannot
// be read is still a JWT: it is handed to session_jwt, which refuses it, and is
// never tried as anything else. Members that repeat do not hide what a token
// looks like; the kind refuses them.
func classifyJWT(text string) keystile.KindName {
	head, rest, _ := strings.Cut(text, ".")
	body, _, _ := strings.Cut(rest, ".")
	var space [1024]byte // most parts fit: nothing is copied on the heap
	accessToken, ok := namesAccessToken(space[:0], head)
	switch {
	case !ok:
		return keystile.KindSessionJWT
	case accessToken:
		return keystile.KindOAuthToken
	}
	has, ok := claimsOf(space[:0], body)
	if ok && (has.apiKey || has.sub && has.nonce && !has.iss && !has.sid) {
		return keystile.KindOneTime
	}
	return keystile.KindSessionJWT
}

// namesAccessToken says whether typ in a JWT's header is that of an access
// token. ok says whether the header can be read. It is decoded into space.
func namesAccessToken(space []byte, head string) (accessToken, ok bool) {
	decoded, ok := AppendBase64(space, head, AlphabetJWT)
	if !ok {
		return false, false
	}
	object := NewObject(decoded)
	object.AllowRepeats()
	for name, value, more := object.Next(); more; name, value, more = object.Next() {
		if string(name) == "typ" {
			typ, isText := value.Text()
			accessToken = isText && isAccessTokenType(typ)
		}
	}
	return accessToken, object.Good()
}

// tellingClaims are the claims that tell one kind of JWT from another.
type tellingClaims struct{ apiKey, sub, nonce, iss, sid bool }

// claimsOf says which of them a payload has. ok says whether it can be read and has
// one that makes it a one-time token's.
func claimsOf(space []byte, body string) (has tellingClaims, ok bool) {
	decoded, ok := AppendBase64(space, body, AlphabetJWT)
	if !ok {
		return has, false
	}
	// Without escapes a member stands there by its name. A payload that holds neither
	// text is a session's, which is not read member by member for each request.
	if bytes.IndexByte(decoded, '\\') < 0 && !bytes.Contains(decoded, []byte(`"apiKey"`)) && !bytes.Contains(decoded, []byte(`"nonce"`)) {
		return has, false
	}
	object := NewObject(decoded)
	object.AllowRepeats()
	for name, _, more := object.Next(); more; name, _, more = object.Next() {
		switch string(name) {
		case "apiKey":
			has.apiKey = true
		case "sub":
			has.sub = true
		case "nonce":
			has.nonce = true
		case "iss":
			has.iss = true
		case "sid":
			has.sid = true
		}
	}
	return has, object.Good()
}

// isAccessTokenType knows "at+jwt", with or without the application/ prefix, in
// any case (RFC 9068, section 2.1).
func isAccessTokenType(typ []byte) bool {
	const media = "application/"
	if len(typ) > len(media) && bytes.EqualFold(typ[:len(media)], []byte(media)) {
		typ = typ[len(media):]
	}
	return bytes.EqualFold(typ, []byte("at+jwt"))
}

// looksLikeBase64Object says whether text could be base64 of a JSON object:
// every byte is of one of the two alphabets, and it begins with '{' and a quote,
// a closing brace or white space. That is all the classifier needs; the kind
// itself decides whether it is good. A random key that begins with "ey" has one
// chance in forty of passing; such keys are refused at import.
func looksLikeBase64Object(text string) bool {
	if len(text) < 4 || text[0] != 'e' {
		return false
	}
	body := text
	for len(text)-len(body) < 2 && body[len(body)-1] == '=' {
		body = body[:len(body)-1]
	}
	if len(body) < 3 {
		return false
	}
	for i := range len(body) {
		if sextets[body[i]] == notBase64 {
			return false
		}
	}
	if sextets[body[1]]&63>>4 != 3 { // 'e' is 30: with 11 after it, 0x7B
		return false
	}
	switch sextets[body[1]]<<4 | sextets[body[2]]&63>>2 {
	case '"', '}', ' ', '\t', '\n', '\r':
		return true
	}
	return false
}

package credential

import (
	"encoding/base64"
	"encoding/json"
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
	if strings.Count(text, ".") == 2 {
		return classifyJWT(text)
	}
	if looksLikeBase64Object(text) {
		return keystile.KindOneTime
	}
	return ""
}

// classifyJWT names the kind of a three-part token. A token whose parts cannot
// be read is still a JWT: it is handed to session_jwt, which refuses it, and is
// never tried as anything else.
func classifyJWT(text string) keystile.KindName {
	head, rest, _ := strings.Cut(text, ".")
	body, _, _ := strings.Cut(rest, ".")
	var header struct {
		Type string `json:"typ"`
	}
	if !decodePart(head, &header) {
		return keystile.KindSessionJWT
	}
	// RFC 9068, section 2.1: "at+jwt", with or without the application/ prefix, in any case.
	if t := strings.TrimPrefix(strings.ToLower(header.Type), "application/"); t == "at+jwt" {
		return keystile.KindOAuthToken
	}
	var claims map[string]json.RawMessage
	if !decodePart(body, &claims) {
		return keystile.KindSessionJWT
	}
	has := func(name string) bool { _, ok := claims[name]; return ok }
	if has("apiKey") || has("sub") && has("nonce") && !has("iss") && !has("sid") {
		return keystile.KindOneTime
	}
	return keystile.KindSessionJWT
}

func decodePart(part string, into any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(raw, into) == nil
}

// looksLikeBase64Object says whether text could be base64 of a JSON object:
// its first byte decodes to '{' and every byte is of one of the two alphabets.
// That is all the classifier needs; the kind itself decides whether it is good.
func looksLikeBase64Object(text string) bool {
	if len(text) < 4 || text[0] != 'e' || !isHighBase64(text[1]) {
		return false
	}
	body := strings.TrimRight(text, "=")
	if len(body) < 4 || len(text)-len(body) > 2 {
		return false
	}
	for i := range len(body) {
		if !isBase64(body[i]) {
			return false
		}
	}
	return secondByteFitsObject(body)
}

// isHighBase64 says whether c stands for 48 to 63: with a leading 'e' (30) the
// first decoded byte is then 0x7B, '{'.
func isHighBase64(c byte) bool {
	return c >= 'w' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '-' || c == '_'
}

func isBase64(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '+' || c == '/' || c == '-' || c == '_'
}

// secondByteFitsObject looks at what follows '{' in the decoded text: a quote,
// a closing brace or white space. A random key that begins with "ey" has one
// chance in forty of passing; such keys are refused at import.
func secondByteFitsObject(body string) bool {
	var decoded [3]byte
	quantum := strings.NewReplacer("-", "+", "_", "/").Replace(body[:4])
	n, err := base64.StdEncoding.Decode(decoded[:], []byte(quantum))
	if err != nil || n < 2 || decoded[0] != '{' {
		return false
	}
	switch decoded[1] {
	case '"', '}', ' ', '\t', '\n', '\r':
		return true
	}
	return false
}

package credential

import (
	"net/url"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
)

// Canonical names of the fields that carry credentials on every route.
const (
	headerAPIKey        = "X-Api-Key"
	headerAuthorization = "Authorization"
)

// The fields of an HTTP message signature (RFC 9421, section 4). Found.Header is
// HeaderSignature for one.
const (
	HeaderSignature      = "Signature"
	HeaderSignatureInput = "Signature-Input"
)

// Find returns the one credential of a request to route. No credential is
// credential_missing; more than one, an empty, over-long or non-ASCII one, or an
// unknown scheme is credential_malformed: something that was presented and
// cannot be read is never treated as anonymous.
//
// A signature of the whole message is a credential only on a route that takes
// one-time requests; anywhere else it is a matter between caller and upstream.
//
//nolint:gocyclo // a list of checks, one after the other
func Find(r *keystile.Request, route *keystile.Route) (keystile.Found, *keystile.Rejection) {
	oneTime := slices.Contains(route.Accept, keystile.KindOneTime)
	found, count := collect(r, route)
	if oneTime && hasSignature(r.Header) {
		count++
		found = keystile.Found{Kind: keystile.KindOneTime, Header: HeaderSignature, Value: keystile.Secret(r.Header.Get(HeaderSignature))}
	}
	switch {
	case count == 0:
		return found, keystile.Reject(keystile.ReasonCredentialMissing, "no credential in the request")
	case count > 1:
		return keystile.Found{}, keystile.Reject(keystile.ReasonCredentialMalformed, "more than one credential in the request")
	case found.Kind == keystile.KindOneTime:
		return found, nil // a message signature has a grammar of its own, which the kind reads
	}
	text := found.Value.Reveal()
	if problem := unreadable(text); problem != "" {
		return keystile.Found{}, keystile.Reject(keystile.ReasonCredentialMalformed, problem)
	}
	found.Kind = Classify(text)
	if found.Scheme == keystile.SchemeDPoP && found.Kind != keystile.KindOAuthToken {
		return keystile.Found{}, keystile.Reject(keystile.ReasonCredentialMalformed, "DPoP carries access tokens and nothing else")
	}
	if found.Kind == "" && oneTime && found.Header == headerAuthorization && isNoKeyOf(route, text) {
		found.Kind = keystile.KindOneTime
	}
	return found, nil
}

// collect is the last of the credentials in the fields and the query parameter
// that the route takes one from, and how many there are.
func collect(r *keystile.Request, route *keystile.Route) (found keystile.Found, count int) {
	if values := r.Header[headerAPIKey]; len(values) > 0 {
		count += len(values)
		found = keystile.Found{Header: headerAPIKey, Value: keystile.Secret(values[0])}
	}
	if name := route.CredentialHeader; name != "" && name != headerAPIKey && name != headerAuthorization {
		if values := r.Header[name]; len(values) > 0 {
			count += len(values)
			found = keystile.Found{Header: name, Value: keystile.Secret(values[0])}
		}
	}
	if values := r.Header[headerAuthorization]; len(values) > 0 {
		count += len(values)
		scheme, value := splitScheme(values[0])
		found = keystile.Found{Header: headerAuthorization, Scheme: scheme, Value: keystile.Secret(value)}
	}
	if route.CredentialQuery != "" && r.RawQuery != "" {
		if values := queryValues(r.RawQuery, route.CredentialQuery); len(values) > 0 {
			count += len(values)
			found = keystile.Found{Query: route.CredentialQuery, Value: keystile.Secret(values[0])}
		}
	}
	return found, count
}

// hasSignature says whether a request carries a message signature, or half of one.
func hasSignature(h keystile.Header) bool {
	return len(h[HeaderSignature]) > 0 || len(h[HeaderSignatureInput]) > 0
}

// isNoKeyOf says whether text that only a look-up could name is surely no API
// key here: the route takes none, and the text has not the form of ours either.
// What stands in Authorization then is a one-time header that was spoilt, and
// the one-time kind says what is wrong with it.
func isNoKeyOf(route *keystile.Route, text string) bool {
	return !slices.Contains(route.Accept, keystile.KindAPIKey) &&
		!strings.Contains(text, "_prod_") && !strings.Contains(text, "_test_")
}

// splitScheme reads an Authorization field: "Bearer X" in any case (RFC 9110,
// section 11.1), "DPoP X", or a bare credential, as two of the served platforms send it.
// Any other scheme is left whole: its space makes it unreadable, hence refused.
func splitScheme(field string) (keystile.Scheme, string) {
	const bearer, dpop = "bearer", "dpop "
	if len(field) >= len(dpop) && strings.EqualFold(field[:len(dpop)], dpop) {
		return keystile.SchemeDPoP, strings.TrimLeft(field[len(dpop):], " ")
	}
	if len(field) >= len(bearer) && strings.EqualFold(field[:len(bearer)], bearer) {
		rest := field[len(bearer):]
		if rest == "" {
			return keystile.SchemeBearer, ""
		}
		if rest[0] == ' ' {
			return keystile.SchemeBearer, strings.TrimLeft(rest, " ")
		}
	}
	return keystile.SchemeNone, field
}

// unreadable says what is wrong with a credential's text, or "".
func unreadable(text string) string {
	switch {
	case text == "":
		return "the credential is empty"
	case len(text) > MaxLength:
		return "the credential is longer than 8 KiB"
	}
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f {
			return "the credential holds a space, a control character or a byte outside ASCII"
		}
	}
	return ""
}

// queryValues returns every value of a query parameter, however its name is encoded.
func queryValues(rawQuery, name string) []string {
	var values []string
	for part := range strings.SplitSeq(rawQuery, "&") {
		key, value, _ := strings.Cut(part, "=")
		if k, err := url.QueryUnescape(key); err != nil || k != name {
			continue
		}
		v, err := url.QueryUnescape(value)
		if err != nil {
			v = "" // unreadable: refused as empty
		}
		values = append(values, v)
	}
	return values
}

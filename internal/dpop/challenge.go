package dpop

import (
	"net/http"
	"strings"
)

// Challenge is WWW-Authenticate for a request that is refused: bearer, a challenge of
// that scheme, as it is, or, of whoever sent a token after "DPoP", in that scheme and
// with the algorithms that proofs are taken in (section 7.1).
func Challenge(bearer string, sent http.Header) string {
	const scheme, algorithms = "DPoP ", `, algs="RS256 ES256 EdDSA"`
	if field := sent.Get("Authorization"); len(field) < len(scheme) || !strings.EqualFold(field[:len(scheme)], scheme) {
		return bearer
	}
	return scheme + strings.TrimPrefix(bearer, "Bearer ") + algorithms
}

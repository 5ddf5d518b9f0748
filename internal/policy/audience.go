package policy

import (
	"strings"

	keystile "keystile.dev/keystile"
)

// checkAudience refuses a credential that was made for other resources (RFC 8707,
// section 2; RFC 9068, section 4): one of its audiences has to be the request's own
// host, and a path at or above the request's. The scheme is not compared: whether a
// request came over TLS may be known to a proxy alone.
func checkAudience(r *keystile.Request, p *keystile.Principal) *keystile.Rejection {
	if len(p.Audiences) == 0 {
		return nil
	}
	for _, audience := range p.Audiences {
		if isAt(audience, r) {
			return nil
		}
	}
	return keystile.Reject(keystile.ReasonResourceNotPermitted, "the credential is for other resources than this host and path")
}

func isAt(audience string, r *keystile.Request) bool {
	_, rest, ok := strings.Cut(audience, "://")
	if !ok {
		return false
	}
	host, path, _ := strings.Cut(rest, "/")
	if !strings.EqualFold(plainPort(host), plainPort(r.Host)) {
		return false
	}
	path = strings.TrimSuffix("/"+path, "/")
	return r.Path == path || strings.HasPrefix(r.Path, path+"/")
}

// plainPort leaves out a port that its scheme implies.
func plainPort(host string) string {
	return strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":80")
}

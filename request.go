package keystile

import "net/netip"

// Point names the enforcement point a request came through. It appears in the
// audit log and in metrics.
type Point string

// The enforcement points.
const (
	PointGateway     Point = "gateway"
	PointForwardAuth Point = "forward_auth"
	PointDecisions   Point = "decisions"
	PointLibrary     Point = "library"
	PointExplain     Point = "explain"
)

// Header holds header fields by canonical name (RFC 9110, section 5.1), as
// net/http does; an http.Header converts to it without copying.
type Header map[string][]string

// Get returns the first value of a field named in its canonical form, or "".
func (h Header) Get(canonical string) string {
	if v := h[canonical]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Request is what an enforcement point makes of its own wire format: the
// request a caller wants to make, before anybody decided on it.
//
// Everything in it is as the caller sent it except ClientAddr, which the
// enforcement point has already resolved through its trusted proxies.
// A Request belongs to one goroutine and is not kept after the decision.
type Request struct {
	// ID is the request id, unique and safe to log.
	ID string
	// Point is the enforcement point that built the request.
	Point Point
	// Method is the HTTP method as sent; methods are case-sensitive (RFC 9110, 9.1).
	Method string
	// Scheme is "http" or "https" as the caller used it.
	Scheme string
	// Host is the authority as sent, with its port if there was one.
	Host string
	// Path is the path as sent, percent-encoded, without the query.
	Path string
	// RawQuery is what follows the first "?", without it.
	RawQuery string
	// Header holds the caller's header fields. It is read, never changed.
	Header Header
	// ClientAddr is the caller's address; invalid if it could not be resolved,
	// which the gate refuses.
	ClientAddr netip.Addr
	// Certificate is x5t#S256 (RFC 8705, section 3.1) of the certificate with which the caller
	// proved in TLS that it holds the key; empty: it did not, or that cannot be told.
	Certificate string
	// Body returns the whole body, at most limit bytes, and keeps it readable
	// for the upstream. It is nil where the point has no body to show
	// (forward-auth). A larger body is ErrBodyTooLarge.
	Body func(limit int64) ([]byte, error)
}

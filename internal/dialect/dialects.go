package dialect

import (
	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect/aurora"
	"keystile.dev/keystile/internal/dialect/nao"
	"keystile.dev/keystile/internal/dialect/ona"
	"keystile.dev/keystile/internal/dialect/ownera"
)

// Dialect words refusals as one platform's clients expect them. It is stateless
// and safe for concurrent use.
type Dialect interface {
	// Name is what routes[].errors calls it.
	Name() string
	// Refusal is the body of a refusal with its content type. It is decided by
	// status, which is 400 to 599 and may be an upstream's (502, 504), then by
	// d.Reason where the platform distinguishes; d is never nil. accept is the
	// request's Accept field. d.Cause must not appear in it.
	Refusal(status int, d *keystile.Decision, accept string) (contentType string, body []byte)
}

// Problem is the name for no dialect: problem details (RFC 9457). It is what
// a route without errors speaks.
const Problem = "problem"

var all = [...]Dialect{ona.Dialect{}, aurora.Dialect{}, ownera.Dialect{}, nao.Dialect{}}

// All lists every dialect.
func All() []Dialect { return all[:] }

// Find is the dialect of that name; false for "", Problem and unknown names.
func Find(name string) (Dialect, bool) {
	for _, d := range all {
		if d.Name() == name {
			return d, true
		}
	}
	return nil, false
}

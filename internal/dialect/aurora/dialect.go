// Package aurora speaks the Aurora Solar partner API's error format: problem
// details (RFC 9457) with a stable code, the same codes as outside a dialect.
//
// The platform publishes its statuses but not the shape of its error bodies,
// so this shape is Keystile's own choice.
package aurora

import (
	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/problem"
)

// Dialect is Aurora's.
type Dialect struct{}

// Name is what routes[].errors calls it.
func (Dialect) Name() string { return "aurora" }

// Refusal is a problem whose code follows the decision's reason; for a status
// that is not the decision's own, an upstream's say, it follows the status.
func (Dialect) Refusal(status int, d *keystile.Decision, _ string) (string, []byte) {
	p := problem.ForDecision(d)
	if p.Status != status {
		p = problem.ForStatus(status)
	}
	return problem.ContentType, p.JSON()
}

package keystile

import "time"

// Role names a set of scopes. A dialect's role_id refers to one; it grants
// nothing in Keystile's own management (rulings R25).
type Role struct {
	ID        string
	Name      string
	Scopes    []Scope
	CreatedAt time.Time
	UpdatedAt time.Time
}

package keystile

import "time"

// Role names a set of scopes. A dialect's role_id refers to one; it grants
// nothing in Keystile's own management (rulings R25).
type Role struct {
	ID     string
	Name   string
	Scopes []Scope
	// MFA is asked of users with this role who state none of their own.
	MFA       MFAPolicy
	CreatedAt time.Time
	UpdatedAt time.Time
}

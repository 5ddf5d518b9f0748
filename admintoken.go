package keystile

import "time"

// AdminToken opens the management API. Only its keyed digest is stored.
type AdminToken struct {
	ID   string
	Name string
	// OrganizationID confines the token to one organisation; empty is global.
	OrganizationID string
	// Scopes such as "keys:write"; "*:*" is not one: a global token lists what it may do or has AdminScopeAll.
	Scopes    []Scope
	Bootstrap bool
	CreatedAt time.Time
	// FirstUsedAt starts the 24 h after which a bootstrap token dies (rulings R37).
	FirstUsedAt time.Time
	ExpiresAt   time.Time
	RevokedAt   time.Time
}

// AdminScopes lists every scope of the management API.
var AdminScopes = []Scope{
	"organizations:read", "organizations:write", "sites:read", "sites:write", "roles:read", "roles:write",
	"users:read", "users:write", "sessions:read", "sessions:write", "identity_providers:read", "identity_providers:write",
	"applications:read", "applications:write", "applications:review", "authorizations:read", "authorizations:write",
	"clients:read", "clients:write",
	"keys:read", "keys:write", "signing_keys:read", "signing_keys:write", "token_keys:read", "token_keys:write", "routes:read", "audit:read", "admin_tokens:read", "admin_tokens:write",
	"state:read", "state:write", "decisions:check", "metrics:read",
}

package keystile

import (
	"net/netip"
	"time"
)

// APIKey is a long-lived credential scoped to sites and permissions. Its
// secrets are kept apart, as keyed digests only.
type APIKey struct {
	ID             string
	OrganizationID string
	// UserID is the user whose personal key it is; it may then do what the user may,
	// whatever Scopes and PermittedSiteIDs say. Empty: nobody's.
	UserID      string
	Name        string
	Environment Environment
	// PermittedSiteIDs: an empty list permits no site.
	PermittedSiteIDs []string
	Scopes           []Scope
	// AllowedIPs restricts callers' addresses; empty allows any.
	AllowedIPs []netip.Prefix
	// Limit is "60/1m" or nil for the route's own.
	Limit *Rate
	// ExpiresAt: zero is never.
	ExpiresAt time.Time
	// RevokedAt: zero is live. Revoking a key ends every secret of it.
	RevokedAt time.Time
	// LastUsedAt is written in batches, at most once in five minutes a key: it may lag by that much.
	LastUsedAt time.Time
	// LastUsedAddr and LastUsedRoute say where from and for which route, as of LastUsedAt or a
	// little earlier; empty where that is not known.
	LastUsedAddr  string
	LastUsedRoute string
	CreatedAt     time.Time
	UpdatedAt     time.Time
	// Hint is the visible head of the newest secret ("opa_prod_V24M"), to
	// recognise it by; empty for keys imported by hash.
	Hint string
}

// APIKeySecret is one secret of an API key: a key being rotated has two for
// the length of the overlap.
type APIKeySecret struct {
	KeyID string
	// Digest is HMAC-SHA-256(pepper, SHA-256(secret)) (rulings R29).
	Digest [32]byte
	// PepperID names the pepper the digest was made with.
	PepperID  string
	CreatedAt time.Time
	// ExpiresAt ends this secret alone, at the end of a rotation's overlap or of the
	// grace after a leak; zero is never.
	ExpiresAt time.Time
	// LeakedAt is when it was first reported to be found in the open; zero is never.
	LeakedAt time.Time
}

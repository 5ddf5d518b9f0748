package keystile

import "time"

// Event is one entry of the audit log: who did what to what, and when.
// It never holds credential material.
type Event struct {
	// OrganizationID is the chain it belongs to; empty is the global chain.
	OrganizationID string
	// Seq counts from 1 within the chain.
	Seq int64
	At  time.Time
	// Actor is who acted: "admin:ID", "cli", "system".
	Actor string
	// Action is "noun.verb": "api_key.create", "organization.update".
	Action string
	// Target is what was acted on: "api_key:ID".
	Target string
	// Detail holds the changed members as JSON; secrets never.
	Detail string
	// RequestID ties it to a request, if there was one.
	RequestID string
	// PrevHash and Hash chain the events: Hash is SHA-256 over PrevHash and this event.
	PrevHash, Hash [32]byte
}

// Change is one entry of the feed: what verifiers must drop from their caches.
type Change struct {
	// Revision grows by one with each change in the store.
	Revision int64
	// Kind is what changed.
	Kind ChangeKind
	// ID names the thing; empty with ChangeAll.
	ID string
}

// ChangeKind says what a change touched.
type ChangeKind string

// What a change may touch.
const (
	// ChangeKey: an API key was created, narrowed, rotated, revoked or deleted.
	ChangeKey ChangeKind = "api_key"
	// ChangeOrganization: everything that hangs on an organisation is stale.
	ChangeOrganization ChangeKind = "organization"
	// ChangeSigningKey: a signing key was created, narrowed, rotated, revoked or deleted.
	ChangeSigningKey ChangeKind = "signing_key"
	// ChangeUser: a user was disabled, or their role, factors or rights changed; their sessions are read again.
	ChangeUser ChangeKind = "user"
	// ChangeSession: a session was revoked.
	ChangeSession ChangeKind = "session"
	// ChangeRole: a role's scopes changed.
	ChangeRole ChangeKind = "role"
	// ChangeProvider: an identity provider was changed or removed.
	ChangeProvider ChangeKind = "identity_provider"
	// ChangeApplication: an application, one of its keys, its OAuth client or its review changed; of an OAuth
	// client that registered itself the id is the client's.
	ChangeApplication ChangeKind = "application"
	// ChangeAuthorization: a tenant granted, narrowed or withdrew; the id is "APPLICATION/TENANT".
	ChangeAuthorization ChangeKind = "authorization"
	// ChangeOAuthGrant: an authorization of an OAuth client was revoked, with every token of it.
	ChangeOAuthGrant ChangeKind = "oauth_grant"
	// ChangeOAuthToken: an access token was revoked.
	ChangeOAuthToken ChangeKind = "oauth_token"
	// ChangeAdminToken: an admin token was revoked or narrowed.
	ChangeAdminToken ChangeKind = "admin_token"
	// ChangeTokenKey: the keys that session tokens are signed with were rotated.
	ChangeTokenKey ChangeKind = "token_key"
	// ChangeReload: servers read their configuration's routes again.
	ChangeReload ChangeKind = "reload"
	// ChangeAll: everything is stale (restore, pepper or master key change).
	ChangeAll ChangeKind = "all"
)

// DecisionRecord is one recorded decision of the gate.
type DecisionRecord struct {
	// Seq counts from 1 within the chain of decisions; 0 before it is stored.
	Seq            int64
	At             time.Time
	RequestID      string
	OrganizationID string
	Kind           KindName
	CredentialID   string
	RouteID        string
	Point          Point
	Method         string
	Path           string
	ClientAddr     string
	Allowed        bool
	Observed       bool
	Reason         Reason
	Cause          string
}

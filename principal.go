package keystile

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Scope is a permission in the form "noun:verb". A granted "noun:*" covers
// every verb of the noun; only "noun:*" covers a demand for "noun:*".
// A scope without a colon covers only itself.
type Scope string

// Covers says whether holding s satisfies a demand for want.
func (s Scope) Covers(want Scope) bool {
	if s == want {
		return true
	}
	noun, verb, ok := strings.Cut(string(s), ":")
	if !ok || verb != "*" {
		return false
	}
	wantNoun, _, ok := strings.Cut(string(want), ":")
	return ok && wantNoun == noun
}

// Environment separates trial from real data. A credential of one environment
// is refused in the other.
type Environment string

// The environments.
const (
	Production Environment = "production"
	Sandbox    Environment = "sandbox"
)

// Resource is one thing a request asks for, such as {site Sibaya}.
type Resource struct {
	Type string
	ID   string
}

// The types of resource that are permitted to credentials.
const (
	// ResourceSite is what Principal.SiteIDs permits.
	ResourceSite = "site"
	// ResourceTenant is the organisation itself, by its id or its id on the wire.
	ResourceTenant = "tenant"
)

// Principal is who a verified credential stands for and what it may do. It is
// immutable once made and shared by pointer between requests and goroutines.
type Principal struct {
	// Subject is the stable name of the actor: "key:ID", "user:ID", ...
	Subject string
	// OrganizationID is the tenant it belongs to and acts in.
	OrganizationID string
	// TenantID is the same tenant's id on the wire (Organization.TenantID); empty where
	// the kind does not tell.
	TenantID string
	// Environment of the credential.
	Environment Environment
	// Kind and CredentialID name the credential that was verified.
	Kind         KindName
	CredentialID string
	// Scopes that were granted.
	Scopes []Scope
	// SiteIDs are the permitted resources of type "site"; none permits none.
	SiteIDs []string
	// AllowedIPs restricts the caller's address; empty allows any.
	AllowedIPs []netip.Prefix
	// Limit replaces a route's per-credential rate; nil leaves the route's.
	Limit *Rate
	// ExpiresAt is when the credential stops being good; zero is never.
	ExpiresAt time.Time
	// UserID, Role, GroupID, CustomerIDs describe a person; empty for a key.
	UserID      string
	Username    string
	Role        string
	GroupID     string
	CustomerIDs []string
	// ApplicationID is the partner application that acts, or the OAuth client that
	// registered itself; empty otherwise.
	ApplicationID string
	// MakerID is the organisation that makes that application; empty otherwise.
	MakerID string
	// GrantID is the authorization that an OAuth token hangs on; empty otherwise.
	GrantID string
	// Audiences are the resources (RFC 8707) that it may be used at, each a URL that the
	// request's has to be below; none: everywhere.
	Audiences []string
	// SessionID, Methods and AuthenticatedAt tell how a person signed in; empty for a key.
	SessionID       string
	Methods         []AuthMethod
	AuthenticatedAt time.Time
}

// HasScope says whether any granted scope covers want.
func (p *Principal) HasScope(want Scope) bool {
	for _, s := range p.Scopes {
		if s.Covers(want) {
			return true
		}
	}
	return false
}

// Permits says whether the principal may touch the resource: a site of its list,
// or the tenant it acts in. Every other type is refused.
func (p *Principal) Permits(r Resource) bool {
	switch r.Type {
	case ResourceSite:
		return slices.Contains(p.SiteIDs, r.ID)
	case ResourceTenant:
		return r.ID != "" && (r.ID == p.OrganizationID || r.ID == p.TenantID)
	}
	return false
}

// AllowsAddress says whether the principal may call from addr.
func (p *Principal) AllowsAddress(addr netip.Addr) bool {
	if len(p.AllowedIPs) == 0 {
		return true
	}
	addr = addr.Unmap()
	for _, prefix := range p.AllowedIPs {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

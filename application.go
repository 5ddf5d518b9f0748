package keystile

import "time"

// Application is a partner's: an outside company's program that works in the
// tenants that authorised it. It is one thing with several ways in: application
// keys exchanged for temporary keys, and, later, an OAuth client.
type Application struct {
	// ID is a UUID.
	ID string
	// OrganizationID is the partner that makes it.
	OrganizationID string
	// Name, Description and Homepage are shown to people who decide about it.
	Name        string
	Description string
	Homepage    string
	Kind        ApplicationKind
	// Environment it works in: an application of the sandbox never touches production.
	Environment Environment
	// Permissions are the scopes it asks tenants for.
	Permissions []Scope
	// LaunchURL is where an embedded application opens: https, or http on loopback in the sandbox.
	LaunchURL string
	// Review is where it stands with the platform's reviewers.
	Review ReviewState
	// ReviewComment is what the reviewer said last.
	ReviewComment string
	// ReviewedAs is the JSON of what was approved last, to show what changed since; empty: never approved.
	ReviewedAs string
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// ApplicationKind says how an application runs.
type ApplicationKind string

// The kinds. It belongs to the application, never to a request: an embedded
// application cannot leave its session token out (protocols 2.9).
const (
	ApplicationEmbedded ApplicationKind = "embedded" // opened by a user inside the platform; needs a session token for each exchange
	ApplicationBackend  ApplicationKind = "backend"  // a service; exchanges at will
)

// ReviewState is where an application stands.
type ReviewState string

// The states. A sandbox application works in sandbox tenants from draft on; a
// production one only once approved.
const (
	ReviewDraft     ReviewState = "draft"
	ReviewInReview  ReviewState = "in_review"
	ReviewApproved  ReviewState = "approved"
	ReviewSuspended ReviewState = "suspended" // works nowhere until approved again
	ReviewRetired   ReviewState = "retired"   // works nowhere, for good
)

// ReviewStates lists the states.
var ReviewStates = []ReviewState{ReviewDraft, ReviewInReview, ReviewApproved, ReviewSuspended, ReviewRetired}

// WorksIn says whether an application in a state may work: one of the sandbox from its
// draft on, one of production once approved.
func (s ReviewState) WorksIn(env Environment) bool {
	switch s {
	case ReviewApproved:
		return true
	case ReviewDraft, ReviewInReview:
		return env == Sandbox
	case ReviewSuspended, ReviewRetired:
	}
	return false
}

// ApplicationKey is one long-lived key of an application: "ak_test_" or
// "ak_prod_" and 32 base62 characters, good on /partner_applications only. Its
// keyed digest is what is stored.
type ApplicationKey struct {
	ID            string
	ApplicationID string
	Digest        [32]byte
	PepperID      string
	// Hint is its visible head.
	Hint       string
	CreatedAt  time.Time
	ExpiresAt  time.Time
	RevokedAt  time.Time
	LastUsedAt time.Time
}

// Authorization admits an application to a tenant.
type Authorization struct {
	ApplicationID string
	// TenantID is the id of the organisation that admits it; of the application's environment.
	TenantID string
	// Permissions granted. What a temporary key may do is what the application asks for
	// and the tenant granted, at the moment of each request.
	Permissions []Scope
	// GrantedBy is the actor who said yes.
	GrantedBy string
	// Generation grows when the tenant withdraws and when the application is suspended:
	// session tokens and temporary keys of an earlier one are dead for good.
	Generation int64
	ExpiresAt  time.Time
	// WithdrawnAt: the tenant took it back; zero: it stands.
	WithdrawnAt time.Time
	// RequestedAt is when the partner asked for it; zero: it did not, or the tenant has answered.
	RequestedAt time.Time
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// Stands says whether the tenant's yes holds at a moment.
func (a *Authorization) Stands(now time.Time) bool {
	return a.WithdrawnAt.IsZero() && (a.ExpiresAt.IsZero() || now.Before(a.ExpiresAt))
}

// PartnerSession is a single-use session token of an embedded application: "st_test_"
// or "st_prod_" and 32 base62 characters, good for one exchange within the hour.
type PartnerSession struct {
	Digest        [32]byte
	PepperID      string
	ApplicationID string
	TenantID      string
	// Generation of the authorization when it was made.
	Generation int64
	// UserID is who launched the application; empty for a webhook's.
	UserID     string
	CreatedAt  time.Time
	ExpiresAt  time.Time
	ConsumedAt time.Time
}

// TemporaryKey acts for an application in one tenant: "tk_test_" or "tk_prod_" and 24
// lower-case hex digits, for 13 hours.
type TemporaryKey struct {
	ID            string
	Digest        [32]byte
	PepperID      string
	ApplicationID string
	// ApplicationKeyID is the application key it was exchanged for; it ends when that is
	// revoked, and not when that expires or is rotated. Empty: not known.
	ApplicationKeyID string
	TenantID         string
	// Generation of the authorization when it was made.
	Generation int64
	// UserID is of the session token it was exchanged with; it ends with the user. Empty: none.
	UserID    string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Lives of the partner's credentials (protocols 2.2).
const (
	PartnerSessionLife = time.Hour
	TemporaryKeyLife   = 13 * time.Hour
)

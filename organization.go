package keystile

import "time"

// Organization is a tenant: it owns sites, users, keys and applications.
type Organization struct {
	// ID: see ValidID.
	ID   string
	Name string
	// Environment its credentials belong to.
	Environment Environment
	// TenantID is a UUID, the id on Aurora's wire (rulings R25).
	TenantID string
	// KeyPrefix starts its new API keys; "opa" by default. 1-16 of [a-z0-9].
	KeyPrefix string
	// OneTime is what it asks of one-time signed requests.
	OneTime OneTimePolicy
	// MFA is asked of its users where neither they nor their role state a policy.
	MFA MFAPolicy
	// Leak is what happens to its API keys that are found in the open.
	Leak LeakPolicy
	// Disabled organisations' credentials are refused.
	Disabled  bool
	CreatedAt time.Time
	UpdatedAt time.Time
}

// LeakResponse is what an organisation does with an API key that somebody found
// in the open and reported. Whatever it does, its administrators are told.
type LeakResponse string

// The responses to a leak.
const (
	// LeakNotify: nothing else; also the empty response.
	LeakNotify LeakResponse = "notify"
	// LeakThrottle: the leaked secret is held to LeakRate until it is rotated out.
	LeakThrottle LeakResponse = "throttle"
	// LeakRevoke: the leaked secret ends after the grace; a key that has no other one is revoked.
	LeakRevoke LeakResponse = "revoke"
)

// LeakPolicy is an organisation's response to leaked API keys (rulings R33).
type LeakPolicy struct {
	Response LeakResponse
	// Grace is how long a leaked secret goes on with LeakRevoke, counted from the first report.
	Grace time.Duration
}

// LeakRate is what a leaked secret is held to with LeakThrottle, unless the key's
// own limit is tighter.
var LeakRate = Rate{Requests: 10, Window: time.Minute, Algorithm: AlgorithmWindow}

// DefaultKeyPrefix starts API keys of organisations that name no prefix.
const DefaultKeyPrefix = "opa"

// IDRule is the rule ValidID checks, for messages.
const IDRule = "use 1 to 128 of A-Z a-z 0-9 . _ : -"

// ValidID says whether s is an id: 1-128 of [A-Za-z0-9._:-] (contract, 6).
func ValidID(s string) bool {
	if len(s) < 1 || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			c == '.', c == '_', c == ':', c == '-':
		default:
			return false
		}
	}
	return true
}

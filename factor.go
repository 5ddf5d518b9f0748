package keystile

import "time"

// FactorKind is a way to prove who one is, beside the password.
type FactorKind string

// The kinds.
const (
	FactorTOTP     FactorKind = "totp"     // RFC 6238: SHA-1, 6 digits, 30 s
	FactorPasskey  FactorKind = "passkey"  // WebAuthn level 3
	FactorRecovery FactorKind = "recovery" // one of ten codes, each good once
)

// Factor is one enrolled factor of a user. A user has at most one confirmed TOTP factor
// and any number of passkeys; recovery codes are one Factor with a row of their own each.
type Factor struct {
	ID     string
	UserID string
	Kind   FactorKind
	// Name is what the user calls it ("Phone"); empty: none.
	Name string
	// Sealed is the TOTP secret, or the passkey's credential record, sealed for
	// FactorPlace(ID); empty for recovery codes, which are kept as digests.
	Sealed []byte
	// CredentialID is a passkey's, unique in the store; nil for others.
	CredentialID []byte
	// LastStep is the newest TOTP time step that was accepted (RFC 6238, section 5.2);
	// a passkey's signature counter; 0: none.
	LastStep   int64
	CreatedAt  time.Time
	LastUsedAt time.Time
}

// FactorPlace is the place a factor's secret is sealed for.
func FactorPlace(id string) string { return "factors/" + id + "/secret" }

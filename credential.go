package keystile

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"log/slog"
	"net/netip"
	"time"
)

// KindName names a kind of credential, in the words configuration uses.
type KindName string

// The kinds of credential (contract, section 2: routes[].accept).
const (
	KindAPIKey     KindName = "api_key"
	KindSessionJWT KindName = "session_jwt"
	KindOneTime    KindName = "onetime"
	KindPartner    KindName = "partner"
	KindOAuthToken KindName = "oauth_token"
)

// KindNames lists every kind a route may accept.
var KindNames = []KindName{KindAPIKey, KindSessionJWT, KindOneTime, KindPartner, KindOAuthToken}

// Secret is credential material. Every way of printing it by accident yields
// "[redacted]"; Reveal is the one way to its text.
type Secret string

const redacted = "[redacted]"

// Reveal returns the secret's text, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// String implements fmt.Stringer.
func (s Secret) String() string { return redacted }

// GoString implements fmt.GoStringer, for %#v.
func (s Secret) GoString() string { return redacted }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON implements json.Marshaler.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// Equal compares in constant time for secrets of equal length.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s), []byte(other)) == 1
}

// Scheme says how a credential stood in its header field.
type Scheme string

// The ways a credential is carried.
const (
	SchemeNone   Scheme = ""       // the field holds the credential and nothing else
	SchemeBearer Scheme = "bearer" // RFC 6750, section 2.1
	SchemeDPoP   Scheme = "dpop"   // RFC 9449, section 7.1: an access token and a proof beside it
)

// Found is a credential as the classifier saw it: its text, where it stood,
// and its kind where the shape alone tells.
type Found struct {
	// Kind is empty where only a look-up of the digest can tell.
	Kind KindName
	// Header is the canonical name of the field it came from; empty for a query parameter.
	Header string
	// Query is the name of the query parameter it came from; empty otherwise.
	Query string
	// Scheme is the authentication scheme that preceded it.
	Scheme Scheme
	// Value is the credential itself.
	Value Secret
}

// Presented is a credential parsed by its kind. Digest is SHA-256 of the
// credential's text and names it in caches and in the audit log of refusals;
// Detail is the kind's own parsed form, nil for kinds that need none.
type Presented struct {
	Kind   KindName
	Digest [32]byte
	Value  Secret
	Detail any
	// At is the moment of the request; the gate sets it after Parse.
	At time.Time
	// Source is the caller's address: failures are bounded per source.
	Source netip.Addr
}

// Kind is one kind of credential: it parses what was found and proves it.
//
// Parse is pure: no I/O and no clock. It is given outside bytes and is fuzzed;
// it answers ErrMalformed for text that is not a credential of this kind.
//
// Verify consumes nothing. It answers a principal; or an error that wraps
// ErrRejected, with a [Rejection] naming the reason, for "no"; any other error
// means "cannot tell", which the gate refuses. Both are safe for concurrent use.
type Kind interface {
	Name() KindName
	Parse(*Request, Found) (Presented, error)
	Verify(context.Context, Presented) (*Principal, error)
}

// Claimer is implemented by kinds whose credentials are spent. Claim is called
// last, after everything else allowed the request. ErrReplayed means that it
// was spent before; any other error means "cannot tell" and refuses.
type Claimer interface {
	Claim(context.Context, Presented) error
	// Spent says ErrReplayed if Claim would, and claims nothing; for explain.
	Spent(context.Context, Presented) error
}

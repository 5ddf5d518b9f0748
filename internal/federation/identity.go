package federation

import (
	"time"

	keystile "keystile.dev/keystile"
)

// Identity is whom a verified token stands for. Its members are those of package
// login's Identity, which it converts to.
type Identity struct {
	// Provider as it is in the store.
	Provider keystile.IdentityProvider
	// Issuer and Subject name the person for ever.
	Issuer, Subject string
	// Username is the claim that Provider.Claims maps; never empty.
	Username string
	// EmailVerified is true where the token says nothing: one that says false is refused.
	EmailVerified bool
	// The rest is empty where the token has no such claim. RoleID is one of Provider.Roles.
	Email, Name, RoleID string
	CustomerIDs         []string
	GroupID, SkinID     string
	// EmailProven says that the provider says, in so many words, that it has verified Email.
	EmailProven bool
	// SecondFactor says that the provider asked for one, in words that Provider.SignIn trusts.
	SecondFactor bool
	// AuthenticatedAt is when the provider asked for proof, which may be long ago; zero: it does not say.
	AuthenticatedAt time.Time
}

// ErrInvalidToken is a "no": the provider is unknown or disabled, or its token is not good,
// or not for this. Which, is for the log and never for the caller. It wraps
// [keystile.ErrRejected]; any other error means "cannot tell".
var ErrInvalidToken = &invalid{}

type invalid struct{ cause string }

func (e *invalid) Error() string {
	if e.cause == "" {
		return "invalid external token"
	}
	return "invalid external token: " + e.cause
}

func (e *invalid) Unwrap() error { return keystile.ErrRejected }

// Is makes every refusal ErrInvalidToken.
func (e *invalid) Is(target error) bool { return target == error(ErrInvalidToken) }

// refuse says no, with the cause for the log.
func refuse(cause string) error { return &invalid{cause} }

package login

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

const (
	// providerLife is how long somebody may take at a provider.
	providerLife = 15 * time.Minute
	// maxButtons bounds the buttons of a sign-in page.
	maxButtons = 50
)

// Providers runs sign-ins at identity providers; what package federation makes is one.
// Both methods wait for the provider, each for a few seconds at most, and are safe for
// concurrent use. A "no" wraps [keystile.ErrRejected]; any other error means "cannot tell".
type Providers interface {
	// Begin makes the URL that a browser is sent to, and what its answer must fit. anew:
	// the provider is to ask for proof even if it knows the browser.
	Begin(ctx context.Context, provider string, anew bool) (address string, pending json.RawMessage, err error)
	// Finish says whom the answer that came to the provider's callback stands for.
	Finish(ctx context.Context, provider string, pending json.RawMessage, callback url.Values) (Identity, error)
}

// Button is a provider on the sign-in page.
type Button struct{ Provider, Label string }

// Buttons are those of the sign-in page: of the providers of an organisation, or, where none
// is named, of every provider that is listed.
func (s *Service) Buttons(ctx context.Context, organizationID string) ([]Button, error) {
	if s.o.Providers == nil || organizationID != "" && !keystile.ValidID(organizationID) {
		return nil, nil
	}
	providers, err := s.o.Store.SignInProviders(ctx, organizationID, maxButtons)
	if err != nil {
		return nil, err
	}
	var buttons []Button
	for _, p := range providers {
		if organizationID != "" || !p.SignIn.Unlisted {
			buttons = append(buttons, Button{Provider: p.Name, Label: firstOf(p.SignIn.Label, p.Name)})
		}
	}
	return buttons, nil
}

// ProviderSignIn is a sign-in at a provider that was begun.
type ProviderSignIn struct {
	// URL is where the browser goes.
	URL string
	// Token is handed back to FinishProvider by the same browser. It is sealed, good for 15 minutes
	// and for one session.
	Token keystile.Secret
}

// BeginProvider begins a sign-in at a provider; back is where to go on afterwards. A provider that is unknown,
// disabled or none to sign in at is keystile.ErrNotFound. anew has the provider ask for proof
// even if it knows the browser.
func (s *Service) BeginProvider(ctx context.Context, _ Caller, provider, back string, anew bool) (ProviderSignIn, error) {
	if s.o.Providers == nil {
		return ProviderSignIn{}, keystile.ErrNotFound
	}
	address, pending, err := s.o.Providers.Begin(ctx, provider, anew)
	if errors.Is(err, keystile.ErrRejected) {
		return ProviderSignIn{}, keystile.ErrNotFound
	}
	if err != nil {
		return ProviderSignIn{}, err
	}
	token, err := s.sealTicket(ticket{Purpose: forProvider, State: pending, Back: back, ExpiresAt: s.now().Add(providerLife)})
	return ProviderSignIn{URL: address, Token: token}, err
}

// FinishProvider ends a sign-in with the parameters that came to the provider's callback, and says where to go on.
// Whatever is not right with them, and an identity that opens nothing, is ErrInvalidCredentials, which wraps the
// cause; a token that is not ours or was used is ErrChallengeExpired. Failures count against the caller's address.
func (s *Service) FinishProvider(ctx context.Context, c Caller, token keystile.Secret, provider string, callback url.Values) (out Outcome, back string, err error) {
	if s.o.Providers == nil {
		return Outcome{}, "", keystile.ErrNotFound
	}
	t, err := s.openTicket(token, forProvider)
	if err != nil {
		return Outcome{}, "", err
	}
	counters := s.ofAddress(c)
	if err := s.mayTry(ctx, counters); err != nil {
		return Outcome{}, "", err
	}
	id, err := s.o.Providers.Finish(ctx, provider, t.State, callback)
	if err == nil {
		out, err = s.vouched(ctx, c, id, t)
	}
	if errors.Is(err, keystile.ErrRejected) || errors.Is(err, ErrInvalidCredentials) {
		if _, counted := s.reserve(ctx, c, counters); counted != nil {
			return Outcome{}, "", counted
		}
		s.noteFailure(ctx, c, "", "provider "+provider+": "+err.Error())
		err = errors.Join(ErrInvalidCredentials, err)
	}
	return out, t.Back, err
}

// spendTicket uses up a ticket: of those that are sent twice or at once, one finds its row free.
func (s *Service) spendTicket(ctx context.Context, tx *store.Tx, c Caller, t ticket, userID string) error {
	if t.ID == "" {
		return nil
	}
	now := s.now()
	spent := keystile.Challenge{UserID: userID, Door: c.Door, ClientAddr: addressText(c), UserAgent: userAgent(c), CreatedAt: now, ExpiresAt: t.ExpiresAt, ConsumedAt: now}
	spent.Digest, spent.PepperID = s.o.Digester.Digest(sumOf("provider sign-in", t.ID))
	err := tx.CreateChallenge(ctx, spent)
	if errors.Is(err, keystile.ErrConflict) {
		return &answer{ErrChallengeExpired}
	}
	return err
}

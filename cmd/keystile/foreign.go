package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/federation"
	"keystile.dev/keystile/internal/login"
	"keystile.dev/keystile/internal/oidc"
)

// readAssertion is RFC 7523 for assertions of identity providers: the users whom they
// stand for are found as by every other way in, and no session is opened.
func (s *server) readAssertion(r *http.Request, organizationID string, audiences []string, assertion keystile.Secret) (oidc.Vouched, error) {
	addr, err := s.clientAddr(r)
	if err != nil {
		return oidc.Vouched{}, oidc.NewError("invalid_request", "The caller's address cannot be told.", err)
	}
	const no = "The assertion is not good, or not for this client, or stands for nobody here."
	said, err := s.federation.Assertion(r.Context(), organizationID, audiences, assertion)
	if errors.Is(err, federation.ErrInvalidToken) {
		return oidc.Vouched{}, oidc.NewError("invalid_grant", no, err)
	}
	if err != nil {
		return oidc.Vouched{}, fmt.Errorf("read an assertion: %w: %w", keystile.ErrUnavailable, err)
	}
	who, err := s.login.Vouch(r.Context(), login.Caller{Addr: addr, UserAgent: r.UserAgent(), Door: keystile.DoorExchange, RequestID: s.requestID(r)}, login.Identity(said.Identity))
	for _, refused := range []error{login.ErrInvalidCredentials, login.ErrInactive, login.ErrStepUp} {
		if errors.Is(err, refused) {
			return oidc.Vouched{}, oidc.NewError("invalid_grant", no, err)
		}
	}
	if err != nil {
		return oidc.Vouched{}, fmt.Errorf("find whom an assertion stands for: %w", err)
	}
	return oidc.Vouched{
		UserID: who.User.ID, Provider: said.Provider.Name, Methods: who.Methods, AuthenticatedAt: who.AuthenticatedAt, ID: said.ID, ExpiresAt: said.ExpiresAt,
	}, nil
}

// exchangeForeign is RFC 8693 for tokens of identity providers, at the token endpoint:
// the same verification and the same rules as every other way in.
func (s *server) exchangeForeign(r *http.Request, organizationID string, parameters url.Values) (any, error) {
	addr, err := s.clientAddr(r)
	if err != nil {
		return nil, oidc.NewError("invalid_request", "The caller's address cannot be told.", err)
	}
	caller := login.Caller{Addr: addr, UserAgent: r.UserAgent(), Door: keystile.DoorExchange, RequestID: s.requestID(r)}
	x, err := federation.NewExchanger(federation.ExchangerOptions{
		Verify: func(ctx context.Context, provider string, token keystile.Secret) (federation.Identity, error) {
			id, err := s.federation.Verify(ctx, provider, token)
			if err == nil && id.Provider.OrganizationID != organizationID {
				err = fmt.Errorf("provider %s is of another organisation than the client: %w", id.Provider.Name, federation.ErrInvalidToken)
			}
			return id, err
		},
		SignIn: func(ctx context.Context, id federation.Identity) (keystile.Session, keystile.User, error) {
			out, err := s.login.Provider(ctx, caller, login.Identity(id))
			switch {
			case errors.Is(err, login.ErrInvalidCredentials) || errors.Is(err, login.ErrInactive):
				return keystile.Session{}, keystile.User{}, fmt.Errorf("%w: %w", federation.ErrNotSignedIn, err)
			case err != nil:
				return keystile.Session{}, keystile.User{}, err
			case out.Session == nil:
				return keystile.Session{}, keystile.User{}, fmt.Errorf("%w: more has to be proven than the provider's word", federation.ErrNotSignedIn)
			}
			return *out.Session, out.User, nil
		},
		Mint: func(ctx context.Context, session keystile.Session, u keystile.User, audience string) (keystile.Secret, time.Time, error) {
			return s.minter.Standard(ctx, session, u, audience, 0)
		},
		Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	answer, err := x.Exchange(r.Context(), parameters)
	var no *federation.ExchangeError
	if errors.As(err, &no) && no.Code != "temporarily_unavailable" {
		return nil, oidc.NewError(no.Code, no.Description, no.Cause)
	}
	if err != nil {
		return nil, fmt.Errorf("exchange a provider's token: %w: %w", keystile.ErrUnavailable, err)
	}
	return answer, nil
}

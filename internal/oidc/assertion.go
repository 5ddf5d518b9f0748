package oidc

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/oauthtoken"
)

// Vouched is whom an identity provider's assertion stands for.
type Vouched struct {
	UserID string
	// Provider is the provider's name.
	Provider string
	// Methods and AuthenticatedAt tell how the user had signed in there.
	Methods         []keystile.AuthMethod
	AuthenticatedAt time.Time
	// ID is the assertion's jti; empty: it has none.
	ID        string
	ExpiresAt time.Time
}

// Assertions reads an assertion of an identity provider (RFC 7523, section 3).
// organizationID is whose client asks: only a provider of that organisation will do.
// audiences are our names. It opens and spends nothing; a "no" is an *Error.
type Assertions func(r *http.Request, organizationID string, audiences []string, assertion keystile.Secret) (Vouched, error)

// assertionGrantLife is how long what is given for an assertion lasts: nobody is there to
// withdraw it, and the client can bring another one.
const assertionGrantLife = time.Hour

// assert gives a client a token for the user whom an identity provider of its own
// organisation vouches for (RFC 7523, section 2.1): within what the client is registered
// for and the user's role holds, without a refresh token (RFC 7521, section 4.1). It
// opens no session. An assertion with a jti is good once.
//
//nolint:gocyclo // a list of checks, one after the other
func (s *Server) assert(ctx context.Context, r *request, c *client) (any, error) {
	switch {
	case s.o.Assertions == nil:
		return nil, refuse("unsupported_grant_type", "The grant type is not supported.")
	case c.Client.Public || c.Client.ApplicationID == "":
		return nil, refuse("unauthorized_client", "Assertions of identity providers are for confidential clients of their own organization.")
	case r.get("assertion") == "":
		return nil, badRequest("assertion is missing.")
	}
	scopes := askedScopes(c, words[keystile.Scope](r.get("scope")))
	if scopes == nil {
		return nil, refuse("invalid_scope", "The client may not ask for that scope.")
	}
	audiences, e := audiencesOf(c, r.form["resource"])
	if e != nil {
		return nil, e
	}
	v, err := s.o.Assertions(r.http, c.Application.OrganizationID, []string{s.o.Issuer, s.o.Issuer + PathToken}, keystile.Secret(r.get("assertion")))
	if err != nil {
		return nil, err
	}
	user, err := s.person(ctx, v.UserID)
	if err != nil {
		return nil, err
	}
	if c.Application.Environment != user.Organization.Environment {
		return nil, badGrant("the client and the user are of different environments")
	}
	if v.ID != "" {
		err = s.o.Claim(ctx, "assertion of "+v.Provider, v.ID, s.now(), v.ExpiresAt)
		if errors.Is(err, keystile.ErrReplayed) {
			return nil, badGrant("the assertion of provider " + v.Provider + " was used before")
		}
		if err != nil {
			return nil, err
		}
	}
	return s.giveFor(ctx, &issuing{client: c, user: user, scopes: scopes, audiences: audiences, thumbprint: r.thumbprint, certificate: r.certificate}, &v)
}

// giveFor makes the grant of an assertion, and its token.
func (s *Server) giveFor(ctx context.Context, i *issuing, v *Vouched) (any, error) {
	id, err := s.newID("gra_")
	if err != nil {
		return nil, err
	}
	now := s.now()
	i.grant = keystile.OAuthGrant{
		ID: id, ClientID: i.client.id(), UserID: v.UserID, Scopes: slices.Clone(oauthtoken.Effective(i.scopes, i.user.Role.Scopes)), Audiences: i.audiences,
		Methods: v.Methods, AuthenticatedAt: v.AuthenticatedAt, ProviderName: v.Provider, CreatedAt: now, ExpiresAt: now.Add(assertionGrantLife),
	}
	given, answer, err := s.make(ctx, i, now)
	if err != nil {
		return nil, err
	}
	given.Grant = &i.grant
	if _, err := s.o.Store.IssueOAuth(ctx, given); err != nil {
		return nil, err
	}
	return answer, nil
}

package oidc

import (
	"context"
	"errors"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
)

// tokenTypeAccess is the one type of token that is exchanged, and given (RFC 8693,
// section 3).
const tokenTypeAccess = "urn:ietf:params:oauth:token-type:access_token"

// exchanged is the answer to an exchange (RFC 8693, section 2.2.1).
type exchanged struct {
	tokenAnswer
	IssuedTokenType string `json:"issued_token_type"`
}

// exchange is RFC 8693 for a token of ours, and for one of the provider that is named.
func (s *Server) exchange(ctx context.Context, r *request, c *client) (any, error) {
	if r.form.Has(ProviderParameter) {
		return s.exchangeForeign(ctx, r, c)
	}
	return s.exchangeOwn(ctx, r, c)
}

// exchangeOwn gives a client that was called with a user's token one of its own to call on
// with (RFC 8693): for the same user, of the same grant, never for longer, for more or
// for what the client may not ask for. Who may exchange a token is whom it was issued
// to, and the resource that it is for. The client is the actor, and the one before it is
// kept in the chain (section 4.1).
//
//nolint:gocyclo // a list of checks, one after the other
func (s *Server) exchangeOwn(ctx context.Context, r *request, c *client) (any, error) {
	if e := checkExchange(r); e != nil {
		return nil, e
	}
	addr, err := s.o.ClientAddr(r.http)
	if err != nil {
		return nil, badRequest("The caller's address cannot be told.")
	}
	p, facts, err := s.present(ctx, &keystile.Request{ClientAddr: addr}, keystile.Found{
		Kind: keystile.KindOAuthToken, Header: "Authorization", Scheme: keystile.SchemeBearer, Value: keystile.Secret(r.get("subject_token")),
	})
	if errors.Is(err, keystile.ErrRejected) || errors.Is(err, keystile.ErrMalformed) {
		return nil, badGrant("the subject token: " + err.Error())
	}
	if err != nil {
		return nil, err
	}
	audiences := p.Audiences
	if len(audiences) == 0 {
		audiences = []string{s.o.Issuer}
	}
	switch {
	case facts.Thumbprint != "" || facts.Certificate != "":
		return nil, badGrant("the subject token is bound to a key")
	case p.UserID == "" || p.GrantID == "":
		return nil, badGrant("the subject token is no user's")
	case facts.ClientID != c.id() && !slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(c.Client.Serves, a) }):
		return nil, badGrant("client " + c.id() + " is neither the owner nor the audience of the subject token")
	}
	return s.exchangeFor(ctx, r, c, p, facts.Actor)
}

// checkExchange refuses what is not done rather than leave it out (threat 6).
func checkExchange(r *request) *Error {
	wanted := r.get("requested_token_type")
	switch {
	case r.get("subject_token") == "":
		return badRequest("subject_token is missing.")
	case r.get("subject_token_type") != tokenTypeAccess:
		return badRequest("subject_token_type has to be " + tokenTypeAccess + ".")
	case wanted != "" && wanted != tokenTypeAccess:
		return badRequest("requested_token_type is not supported.")
	case r.form.Has("actor_token") || r.form.Has("actor_token_type"):
		return badRequest("The actor is the client itself; actor_token is not supported.")
	case len(r.form["audience"]) > 0:
		return refuse("invalid_target", "Name what the token is for with resource.")
	}
	return nil
}

func (s *Server) exchangeFor(ctx context.Context, r *request, c *client, p *keystile.Principal, before string) (any, error) {
	scopes := p.Scopes
	if asked := words[keystile.Scope](r.get("scope")); len(asked) > 0 {
		for _, want := range asked {
			if !p.HasScope(want) {
				return nil, refuse("invalid_scope", "The subject token does not hold that scope.")
			}
		}
		scopes = asked
	}
	audiences, e := audiencesOf(c, r.form["resource"])
	if e != nil {
		return nil, e
	}
	if len(audiences) == 0 && len(p.Audiences) > 0 { // none would mean: for this server's gateway
		return nil, refuse("invalid_target", "Name the resource that the token is to be for.")
	}
	user, err := s.person(ctx, p.UserID)
	if err != nil {
		return nil, err
	}
	grant, err := s.o.Store.OAuthGrant(ctx, p.GrantID)
	if errors.Is(err, keystile.ErrNotFound) {
		return nil, badGrant("the grant of the subject token is not there")
	}
	if err != nil {
		return nil, err
	}
	now := s.now()
	i := issuing{client: c, grant: grant, user: user, scopes: scopes, audiences: audiences, thumbprint: r.thumbprint, certificate: r.certificate, actor: chain(c.id(), before), parent: p.CredentialID}
	i.grant.ExpiresAt = earlier(grant.ExpiresAt, p.ExpiresAt)
	given, answer, err := s.make(ctx, &i, now)
	if err != nil {
		return nil, err
	}
	if err := s.give(ctx, given.Token); err != nil {
		return nil, err
	}
	answer.ExpiresIn = int64(given.Token.ExpiresAt.Sub(now) / time.Second)
	return exchanged{tokenAnswer: answer, IssuedTokenType: tokenTypeAccess}, nil
}

// chain is the actors of a token, the present one first, as its row keeps them.
func chain(actor, before string) string {
	if before == "" {
		return actor
	}
	return actor + " " + before
}

// actorClaim is "act" (RFC 8693, section 4.1): each actor holds the one before it.
type actorClaim struct {
	Subject string      `json:"sub"`
	Before  *actorClaim `json:"act,omitempty"`
}

// actorsOf reads what chain wrote.
func actorsOf(text string) *actorClaim {
	var claim *actorClaim
	names := words[string](text)
	slices.Reverse(names)
	for _, name := range names {
		claim = &actorClaim{Subject: name, Before: claim}
	}
	return claim
}

package oidc

import (
	"context"
	"errors"
	"slices"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/oauthtoken"
)

// introspection is the answer about a token (RFC 7662, section 2.2).
type introspection struct {
	Active       bool          `json:"active"`
	Scope        string        `json:"scope,omitempty"`
	ClientID     string        `json:"client_id,omitempty"`
	TokenType    string        `json:"token_type,omitempty"`
	Expires      int64         `json:"exp,omitempty"`
	IssuedAt     int64         `json:"iat,omitempty"`
	Subject      string        `json:"sub,omitempty"`
	Audience     any           `json:"aud,omitempty"`
	Issuer       string        `json:"iss,omitempty"`
	ID           string        `json:"jti,omitempty"`
	Confirmation *confirmation `json:"cnf,omitempty"`
	// How its user had signed in (RFC 9470, section 6.2).
	AuthenticatedAt int64                 `json:"auth_time,omitempty"`
	ACR             string                `json:"acr,omitempty"`
	Methods         []keystile.AuthMethod `json:"amr,omitempty"`
}

// introspect tells a client of a token: one that was issued to it, or is for a resource
// that it is. About any other it is told that the token is not active (RFC 7662, section
// 4; threat 31). Nothing is written.
func (s *Server) introspect(ctx context.Context, r *request) (any, error) {
	r.asksOnly = true
	c, err := s.authenticate(ctx, r)
	if err != nil {
		return nil, err
	}
	if c.Client.Public {
		return nil, noClient(false, "client "+c.id()+" is public and asked about a token")
	}
	secret := keystile.Secret(r.get("token"))
	if secret == "" {
		return nil, badRequest("token is missing.")
	}
	addr, err := s.o.ClientAddr(r.http)
	if err != nil {
		return nil, badRequest("The caller's address cannot be told.")
	}
	p, facts, err := s.present(ctx, &keystile.Request{ClientAddr: addr}, keystile.Found{
		Kind: keystile.KindOAuthToken, Header: "Authorization", Scheme: keystile.SchemeBearer, Value: secret,
	})
	switch {
	case err == nil:
		return s.tellAccess(ctx, c, p, &facts)
	case errors.Is(err, keystile.ErrRejected), errors.Is(err, keystile.ErrMalformed):
		return s.tellRefresh(ctx, c, secret)
	}
	return nil, err
}

func (s *Server) tellAccess(ctx context.Context, c *client, p *keystile.Principal, facts *oauthtoken.Facts) (any, error) {
	audiences := p.Audiences
	if len(audiences) == 0 {
		audiences = []string{s.o.Issuer}
	}
	owner := facts.ClientID == c.id()
	if !owner && !slices.ContainsFunc(audiences, func(a string) bool { return slices.Contains(c.Client.Serves, a) }) {
		return introspection{}, nil
	}
	subject := p.UserID
	switch {
	case subject == "":
		subject = facts.ClientID
	case facts.Pairwise:
		its, err := s.o.Store.OAuthClient(ctx, facts.ClientID)
		if err != nil {
			return nil, err
		}
		subject = s.subject(its, subject)
	}
	tokenType := "Bearer"
	if facts.Thumbprint != "" {
		tokenType = "DPoP"
	}
	told := introspection{
		Active: true, Confirmation: confirmationOf(facts.Thumbprint, facts.Certificate), Scope: joined(p.Scopes), ClientID: facts.ClientID, TokenType: tokenType, Expires: p.ExpiresAt.Unix(), IssuedAt: facts.IssuedAt.Unix(),
		Subject: subject, Audience: audienceClaim(p.Audiences, s.o.Issuer), Issuer: s.o.Issuer, ID: p.CredentialID,
	}
	if p.UserID != "" {
		told.AuthenticatedAt, told.ACR, told.Methods = p.AuthenticatedAt.Unix(), contextOf(facts.ACR, p.Methods), p.Methods
	}
	return told, nil
}

// tellRefresh tells a client of a refresh token of its own.
func (s *Server) tellRefresh(ctx context.Context, c *client, secret keystile.Secret) (any, error) {
	token, grant, err := s.refreshToken(ctx, c, s.candidates(secret))
	var e *Error
	if errors.As(err, &e) {
		return introspection{}, nil
	}
	if err != nil {
		return nil, err
	}
	if now := s.now(); !token.ConsumedAt.IsZero() || !grant.RevokedAt.IsZero() || !now.Before(token.ExpiresAt) || !now.Before(grant.ExpiresAt) {
		return introspection{}, nil
	}
	if _, err := s.person(ctx, grant.UserID); errors.As(err, &e) {
		return introspection{}, nil
	} else if err != nil {
		return nil, err
	}
	return introspection{
		Active: true, Scope: joined(grant.Scopes), ClientID: c.id(), Expires: token.ExpiresAt.Unix(), IssuedAt: token.CreatedAt.Unix(),
		Subject: s.subject(c.Client, grant.UserID), Issuer: s.o.Issuer,
	}, nil
}

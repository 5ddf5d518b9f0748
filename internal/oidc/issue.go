package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/clientmetadata"
	"keystile.dev/keystile/internal/credential"
	"keystile.dev/keystile/internal/credential/oauthtoken"
	"keystile.dev/keystile/internal/store"
)

// Types of signed tokens (RFC 9068, section 2.1; RFC 7519, section 5.1).
const (
	typeAccessToken = "at+jwt"
	typeIDToken     = "JWT"
)

// issuing is what a token request is to give.
type issuing struct {
	client *client
	// grant and user are zero where nobody authorized it.
	grant     keystile.OAuthGrant
	user      store.UserLookup
	scopes    []keystile.Scope
	audiences []string
	// actor are the clients that act, and parent the token that it is exchanged for; empty: none.
	actor, parent string
	// thumbprint is the key that the access token is bound to; empty: none.
	thumbprint string
	// certificate is the thumbprint of the one that the access token is bound to; empty: none.
	certificate string
	// refresh and withID say whether a refresh token, and an ID token, come with it.
	refresh, withID bool
}

// make draws and signs everything that a token request gives, and the answer that tells
// of it. It writes nothing.
func (s *Server) make(ctx context.Context, i *issuing, now time.Time) (given store.OAuthIssue, answer tokenAnswer, err error) {
	i.settle()
	given.At = now
	access, token, err := s.accessToken(ctx, i, now)
	if err != nil {
		return given, answer, err
	}
	given.Token = token
	answer = tokenAnswer{
		AccessToken: access.Reveal(), TokenType: "Bearer", ExpiresIn: int64(token.ExpiresAt.Sub(now) / time.Second), Scope: joined(token.Scopes), CreatedAt: now.Unix(),
	}
	if i.thumbprint != "" {
		answer.TokenType = "DPoP"
	}
	if i.refresh {
		secret, err := s.draw("or_")
		if err != nil {
			return given, answer, err
		}
		next := &keystile.OAuthRefreshToken{GrantID: i.grant.ID, CreatedAt: now, ExpiresAt: earlier(now.Add(keystile.OAuthRefreshLife), i.grant.ExpiresAt)}
		next.Digest, next.PepperID = s.digest(secret)
		given.NextRefresh, answer.RefreshToken = next, secret.Reveal()
	}
	if i.withID && slices.Contains(i.scopes, "openid") {
		id, err := s.idToken(ctx, i, access, now)
		if err != nil {
			return given, answer, err
		}
		answer.IDToken = id.Reveal()
	}
	return given, answer, nil
}

// give writes a token that nothing is spent for, with those that others are given at the
// same time.
func (s *Server) give(ctx context.Context, token keystile.OAuthToken) error {
	_, err := s.tokens.Do(ctx, token)
	return err
}

func (s *Server) writeTokens(ctx context.Context, tokens []keystile.OAuthToken) ([]struct{}, error) {
	return make([]struct{}, len(tokens)), s.o.Store.CreateOAuthTokens(ctx, tokens)
}

// settle narrows the scopes to what the client is registered for and the user's role
// holds at this moment.
func (i *issuing) settle() {
	registered := slices.DeleteFunc(slices.Clone(i.scopes), func(s keystile.Scope) bool {
		return !slices.ContainsFunc(i.client.Client.Scopes, func(have keystile.Scope) bool { return have.Covers(s) })
	})
	i.scopes = registered
	if i.grant.UserID != "" {
		i.scopes = oauthtoken.Effective(registered, i.user.Role.Scopes)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// accessClaims are those of an access token (RFC 9068, section 2.2).
type accessClaims struct {
	Issuer          string                `json:"iss"`
	Subject         string                `json:"sub"`
	Audience        any                   `json:"aud"`
	ClientID        string                `json:"client_id"`
	IssuedAt        int64                 `json:"iat"`
	Expires         int64                 `json:"exp"`
	ID              string                `json:"jti"`
	Scope           string                `json:"scope,omitempty"`
	AuthenticatedAt int64                 `json:"auth_time,omitempty"`
	Methods         []keystile.AuthMethod `json:"amr,omitempty"`
	ACR             string                `json:"acr,omitempty"`
	Organization    string                `json:"organization,omitempty"`
	Actor           *actorClaim           `json:"act,omitempty"`
	Confirmation    *confirmation         `json:"cnf,omitempty"`
}

// accessToken makes an access token in the client's format.
func (s *Server) accessToken(ctx context.Context, i *issuing, now time.Time) (secret keystile.Secret, token keystile.OAuthToken, err error) {
	token = keystile.OAuthToken{
		GrantID: i.grant.ID, ClientID: i.client.id(), UserID: i.grant.UserID, Scopes: i.scopes, Audiences: i.audiences,
		Thumbprint: i.thumbprint, Certificate: i.certificate, Actor: i.actor, ParentID: i.parent, CreatedAt: now, ExpiresAt: now.Add(keystile.OAuthTokenLife),
	}
	if !i.grant.ExpiresAt.IsZero() {
		token.ExpiresAt = earlier(token.ExpiresAt, i.grant.ExpiresAt)
	}
	if token.ID, err = s.newID("oat_"); err != nil {
		return "", token, err
	}
	if i.client.Client.TokenFormat == keystile.TokenOpaque {
		secret, err = oauthtoken.Generate(s.o.Random)
	} else {
		secret, err = s.signAccessToken(ctx, i, &token)
	}
	if err != nil {
		return "", token, err
	}
	token.Digest, token.PepperID = s.digest(secret)
	return secret, token, nil
}

func (s *Server) signAccessToken(ctx context.Context, i *issuing, token *keystile.OAuthToken) (keystile.Secret, error) {
	c := accessClaims{
		Issuer: s.o.Issuer, Audience: audienceClaim(token.Audiences, s.o.Issuer), ClientID: token.ClientID, IssuedAt: token.CreatedAt.Unix(), Expires: token.ExpiresAt.Unix(),
		ID: token.ID, Scope: joined(token.Scopes), Subject: token.ClientID, Organization: i.client.Application.OrganizationID,
		Actor: actorsOf(token.Actor), Confirmation: confirmationOf(token.Thumbprint, token.Certificate),
	}
	if i.grant.UserID != "" {
		c.Subject, c.Organization = s.subject(i.client.Client, i.grant.UserID), i.user.User.OrganizationID
		c.AuthenticatedAt, c.Methods, c.ACR = i.grant.AuthenticatedAt.Unix(), i.grant.Methods, contextOf(i.grant.ACR, i.grant.Methods)
	}
	return s.sign(ctx, s.o.Algorithm, typeAccessToken, c)
}

// audienceClaim is "aud": one text where there is one.
func audienceClaim(audiences []string, byDefault string) any {
	switch len(audiences) {
	case 0:
		return byDefault
	case 1:
		return audiences[0]
	}
	return audiences
}

// sign writes and signs claims. A token that would be too long to be taken anywhere is
// an error where it is made.
func (s *Server) sign(ctx context.Context, algorithm keystile.SigningAlgorithm, typ string, claims any) (keystile.Secret, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	token, err := s.o.Keys.SignAs(ctx, algorithm, typ, payload)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	if len(token) > credential.MaxLength {
		return "", fmt.Errorf("sign a token: it has %d bytes, and more than %d are taken nowhere", len(token), credential.MaxLength)
	}
	return token, nil
}

// subject is whom a client knows a user as: the user's id, or a name of its own that
// no other client can be found by (OpenID Connect Core, section 8.1). Clients of one
// sector share it.
func (s *Server) subject(c keystile.OAuthClient, userID string) string {
	if !c.Pairwise {
		return userID
	}
	mac := hmac.New(sha256.New, s.o.PairwiseKey)
	mac.Write([]byte("subject\x00" + sectorOf(&c) + "\x00" + userID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// sectorOf is the sector that a client is of: the host of its redirect URIs, because
// nobody else is answered there. A client that is answered elsewhere, too, is a sector of
// its own: it could name another's host, and would be told whom that one knows. So is one
// whose document may name another host tomorrow.
func sectorOf(c *keystile.OAuthClient) string {
	var sector string
	for _, uri := range c.RedirectURIs {
		host := clientmetadata.SectorHost(uri)
		if host == "" || sector != "" && host != sector {
			return c.ID
		}
		sector = host
	}
	stranger := c.ApplicationID == ""
	if sector == "" || stranger && (slices.Contains(c.GrantTypes, keystile.GrantDeviceCode) || clientmetadata.IsDocumentURL(c.ID)) {
		return c.ID
	}
	return sector
}

// idClaims are those of an ID token (OpenID Connect Core, section 2).
type idClaims struct {
	Issuer          string                `json:"iss"`
	Subject         string                `json:"sub"`
	Audience        string                `json:"aud"`
	IssuedAt        int64                 `json:"iat"`
	Expires         int64                 `json:"exp"`
	AuthenticatedAt int64                 `json:"auth_time"`
	Nonce           string                `json:"nonce,omitempty"`
	Methods         []keystile.AuthMethod `json:"amr,omitempty"`
	ACR             string                `json:"acr"`
	AuthorizedParty string                `json:"azp"`
	AccessTokenHash string                `json:"at_hash"`
	SessionID       string                `json:"sid,omitempty"`
	personClaims
}

// idTokenLife: an ID token says who signed in, once; it opens nothing.
const idTokenLife = time.Hour

func (s *Server) idToken(ctx context.Context, i *issuing, access keystile.Secret, now time.Time) (keystile.Secret, error) {
	c := i.client.Client
	sum := sha256.Sum256([]byte(access.Reveal()))
	return s.sign(ctx, c.IDTokenAlgorithm, typeIDToken, idClaims{
		Issuer: s.o.Issuer, Subject: s.subject(c, i.grant.UserID), Audience: c.ID, IssuedAt: now.Unix(), Expires: now.Add(idTokenLife).Unix(),
		AuthenticatedAt: i.grant.AuthenticatedAt.Unix(), Nonce: i.grant.Nonce, Methods: i.grant.Methods, ACR: contextOf(i.grant.ACR, i.grant.Methods), AuthorizedParty: c.ID,
		AccessTokenHash: base64.RawURLEncoding.EncodeToString(sum[:sha256.Size/2]), SessionID: i.grant.SessionID,
		// What scopes ask for is told by userinfo (section 5.4).
		personClaims: personOf(i.user.User, nil, allowedClaims(&c, i.grant.IDTokenClaims)),
	})
}

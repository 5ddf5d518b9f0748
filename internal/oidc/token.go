package oidc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/oauthtoken"
	"keystile.dev/keystile/internal/store"
)

// tokenAnswer is the answer to a good token request (RFC 6749, section 5.1).
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope"`
	IDToken      string `json:"id_token,omitempty"`
	// CreatedAt is in seconds since 1970, as the platform's clients know it (protocols 4.3).
	CreatedAt int64 `json:"created_at"`
}

// grantHandler answers a token request of a client that is known and may use the grant.
type grantHandler func(*Server, context.Context, *request, *client) (any, error)

// grants is every grant.
var grants = map[keystile.GrantType]grantHandler{
	keystile.GrantAuthorizationCode: (*Server).redeem,
	keystile.GrantRefreshToken:      (*Server).rotate,
	keystile.GrantClientCredentials: (*Server).clientCredentials,
	keystile.GrantDeviceCode:        (*Server).poll,
	keystile.GrantTokenExchange:     (*Server).exchange,
	keystile.GrantJWTBearer:         (*Server).assert,
}

// token is the token endpoint: the same questions for every grant, asked here so that
// no grant can forget them (threat 6).
func (s *Server) token(ctx context.Context, r *request) (any, error) {
	c, err := s.authenticate(ctx, r)
	if err != nil {
		return nil, err
	}
	grant := keystile.GrantType(r.get("grant_type"))
	handler, known := grants[grant]
	switch {
	case grant == "":
		return nil, badRequest("grant_type is missing.")
	case !known:
		return nil, refuse("unsupported_grant_type", "The grant type is not supported.")
	case !c.may(grant):
		return nil, refuse("unauthorized_client", "The client may not use this grant.")
	}
	if r.thumbprint, err = s.proven(ctx, r, c); err != nil {
		return nil, err
	}
	if r.certificate, err = bound(r, c); err != nil {
		return nil, err
	}
	answer, err := handler(s, ctx, r, c)
	if err == nil && c.Client.ApplicationID == "" {
		err = s.o.Store.TouchOAuthClient(ctx, c.id(), s.now(), usedEvery)
	}
	return answer, err
}

// redeem exchanges an authorization code (RFC 6749, section 4.1.3).
//
//nolint:gocyclo // a list of checks, one after the other
func (s *Server) redeem(ctx context.Context, r *request, c *client) (any, error) {
	if r.get("code") == "" {
		return nil, badRequest("code is missing.")
	}
	code, err := s.o.Store.FindOAuthCode(ctx, s.candidates(keystile.Secret(r.get("code"))))
	if errors.Is(err, keystile.ErrNotFound) {
		return nil, badGrant("client " + c.id() + " sent a code that is not known")
	}
	if err != nil {
		return nil, err
	}
	now := s.now()
	// Whose it is comes first: nobody else's request may end a grant, or spend a code.
	switch {
	case code.Grant.ClientID != c.id():
		return nil, badGrant("client " + c.id() + " sent a code of client " + code.Grant.ClientID)
	case !code.ConsumedAt.IsZero():
		return nil, s.replayed(ctx, r, c, code.Grant.ID, "a code was used again")
	case !now.Before(code.ExpiresAt):
		return nil, badGrant("the code expired")
	case code.Grant.Thumbprint != "" && code.Grant.Thumbprint != r.thumbprint:
		return nil, badGrant("the code is bound to another key")
	case r.get("redirect_uri") != code.RedirectURI:
		return nil, badGrant("the redirect URI is not that of the authorization request")
	}
	if cause := checkVerifier(r, code.Challenge, c.Client.Public); cause != "" {
		return nil, badGrant(cause)
	}
	if err := s.sessionLives(ctx, c, code.Grant.SessionID); err != nil {
		return nil, err
	}
	user, err := s.person(ctx, code.Grant.UserID)
	if err != nil {
		return nil, err
	}
	grant := code.Grant
	if grant.Audiences, err = narrowed(c, grant.Audiences, r.form["resource"]); err != nil {
		return nil, err
	}
	if grant.Thumbprint = ""; c.Client.Public { // refresh tokens of a client without a secret hang on its key (RFC 9449, section 5)
		grant.Thumbprint = r.thumbprint
	}
	grant.CreatedAt, grant.ExpiresAt = now, now.Add(keystile.OAuthTokenLife)
	i := issuing{client: c, grant: grant, user: user, scopes: grant.Scopes, audiences: grant.Audiences, thumbprint: r.thumbprint, certificate: r.certificate, withID: true}
	if c.may(keystile.GrantRefreshToken) {
		i.refresh, grant.ExpiresAt = true, now.Add(grantLife)
		i.grant = grant
	}
	grant.Audiences = code.Grant.Audiences // a later refresh may ask for another of them
	given, answer, err := s.make(ctx, &i, now)
	if err != nil {
		return nil, err
	}
	given.Code, given.Grant = &code.Digest, &grant
	issued, err := s.o.Store.IssueOAuth(ctx, given)
	if err != nil {
		return nil, err
	}
	if !issued { // another request was first
		return nil, s.replayed(ctx, r, c, code.Grant.ID, "a code was used twice at once")
	}
	return answer, nil
}

// replayed ends the grant of what was used again, and is the refusal.
func (s *Server) replayed(ctx context.Context, r *request, c *client, grantID, cause string) error {
	if err := s.endGrant(ctx, s.actor(c.id(), r.id), grantID, cause); err != nil {
		return err
	}
	return badGrant(cause + ": grant " + grantID + " was ended")
}

// checkVerifier says what is wrong with PKCE's verifier (RFC 7636, section 4.6); empty:
// nothing. A verifier for a code that had no challenge is refused, too: whoever took the
// challenge out of the request would otherwise not be noticed (RFC 9700, section 2.1.1).
func checkVerifier(r *request, challenge string, public bool) string {
	verifier := r.get("code_verifier")
	switch {
	case challenge == "" && public:
		return "a public client has a code without a challenge"
	case challenge == "" && r.form.Has("code_verifier"):
		return "there is a verifier, and the authorization request had no challenge"
	case challenge == "":
		return ""
	case len(verifier) < 43 || len(verifier) > 128 || strings.ContainsFunc(verifier, func(c rune) bool { return !isUnreserved(c) }):
		return "the verifier is missing or is none"
	}
	sum := sha256.Sum256([]byte(verifier))
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) != 1 {
		return "the verifier is not that of the challenge"
	}
	return ""
}

// grantLife is the absolute end of a grant that is refreshed, however often.
const grantLife = 365 * 24 * time.Hour

// person reads the user of a grant, who must be allowed to act still.
func (s *Server) person(ctx context.Context, id string) (store.UserLookup, error) {
	user, err := s.o.Store.FindUserByID(ctx, id)
	if errors.Is(err, keystile.ErrNotFound) || err == nil && (user.User.Disabled || user.Organization.Disabled) {
		return user, badGrant("the user " + id + " may not act any more")
	}
	return user, err
}

// narrowed are the resources that a token is asked for, of those that were granted (RFC
// 8707, section 2.2); none asked: all of them. What the client may no longer ask for is
// left out.
func narrowed(c *client, granted, asked []string) ([]string, error) {
	for _, resource := range asked {
		if !slices.Contains(granted, resource) {
			return nil, refuse("invalid_target", "The grant is not for that resource.")
		}
	}
	if len(asked) == 0 {
		asked = granted
	}
	var list []string
	for _, resource := range asked {
		if c.mayTarget(resource) && !slices.Contains(list, resource) {
			list = append(list, resource)
		}
	}
	if len(granted) > 0 && len(list) == 0 { // none would mean: for this server's gateway
		return nil, refuse("invalid_target", "The client may not ask for tokens for that resource any more.")
	}
	return list, nil
}

// clientCredentials gives a client a token of its own (RFC 6749, section 4.4).
func (s *Server) clientCredentials(ctx context.Context, r *request, c *client) (any, error) {
	if c.Client.Public {
		return nil, refuse("unauthorized_client", "A public client may not use this grant.")
	}
	asked := words[keystile.Scope](r.get("scope"))
	scopes := askedScopes(c, asked)
	if scopes == nil {
		return nil, refuse("invalid_scope", "The client may not ask for that scope.")
	}
	scopes = slices.DeleteFunc(scopes, oauthtoken.IsIdentity) // nobody is there to tell of
	audiences, e := audiencesOf(c, r.form["resource"])
	if e != nil {
		return nil, e
	}
	given, answer, err := s.make(ctx, &issuing{client: c, scopes: scopes, audiences: audiences, thumbprint: r.thumbprint, certificate: r.certificate}, s.now())
	if err != nil {
		return nil, err
	}
	if err := s.give(ctx, given.Token); err != nil {
		return nil, err
	}
	return answer, nil
}

package oidc

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
	"keystile.dev/keystile/internal/credential/oauthtoken"
	"keystile.dev/keystile/internal/dpop"
)

// personClaims are what the scopes tell of a person (OpenID Connect Core, section 5.1).
type personClaims struct {
	Name              string `json:"name,omitempty"`
	PreferredUsername string `json:"preferred_username,omitempty"`
	UpdatedAt         int64  `json:"updated_at,omitempty"`
	Email             string `json:"email,omitempty"`
	// EmailVerified is never said: addresses are entered, not proven.
}

// personOf are the claims that scopes ask for (section 5.4), and those asked for by name
// (section 5.5).
func personOf(u keystile.User, scopes []keystile.Scope, names []string) personClaims {
	told := func(name string) bool {
		return slices.Contains(scopes, claimScopes[name]) || slices.Contains(names, name)
	}
	var c personClaims
	if told("name") {
		c.Name = u.Name
	}
	if told("preferred_username") {
		c.PreferredUsername = u.Username
	}
	if told("updated_at") {
		c.UpdatedAt = u.UpdatedAt.Unix()
	}
	if told("email") {
		c.Email = u.Email
	}
	return c
}

// userinfo is the answer of that endpoint (section 5.3.2).
type userinfo struct {
	Subject string `json:"sub"`
	personClaims
}

// bearerRefusal is the challenge of a resource that tokens open (RFC 6750, section 3).
func bearerRefusal(status int, code string) *Error {
	e := &Error{Code: code, status: status, challenge: `Bearer realm="keystile"`}
	if code != "" {
		e.challenge += `, error="` + code + `"`
	} else {
		e.Code = "invalid_request"
	}
	return e
}

// serveUserinfo tells a client of its user, by an access token with scope openid.
func (s *Server) serveUserinfo(w http.ResponseWriter, r *http.Request) {
	id := s.o.RequestID(r)
	body, err := s.userinfo(r)
	if err != nil {
		e := *asError(err)
		if e.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", "GET, POST")
		}
		if e.challenge != "" {
			e.challenge = dpop.Challenge(e.challenge, r.Header)
		}
		s.refuse(w, id, &e)
		return
	}
	write(w, http.StatusOK, body)
}

// bearerRoute finds an access token and nothing else.
var bearerRoute = keystile.Route{Accept: []keystile.KindName{keystile.KindOAuthToken}}

//nolint:gocyclo // a list of checks, one after the other
func (s *Server) userinfo(r *http.Request) (any, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return nil, &Error{Code: "invalid_request", Description: "The endpoint takes GET and POST.", status: http.StatusMethodNotAllowed}
	}
	addr, err := s.o.ClientAddr(r)
	if err != nil {
		return nil, badRequest("The caller's address cannot be told.")
	}
	asked := &keystile.Request{Header: keystile.Header(r.Header), ClientAddr: addr, Certificate: certificateOf(r)}
	if err := takeFormToken(r, asked); err != nil {
		return nil, err
	}
	found, rejection := credential.Find(asked, &bearerRoute)
	if rejection != nil {
		if rejection.Reason == keystile.ReasonCredentialMissing {
			return nil, bearerRefusal(http.StatusUnauthorized, "")
		}
		return nil, bearerRefusal(http.StatusUnauthorized, "invalid_token")
	}
	asked.Method, asked.Scheme, asked.Host, asked.Path = r.Method, "https", "", ""
	if scheme, host, ok := strings.Cut(s.at(r, ""), "://"); ok { // as the proof has it
		asked.Scheme, asked.Host, asked.Path = scheme, host, PathUserinfo
	}
	p, token, err := s.open(r.Context(), asked, found)
	if errors.Is(err, keystile.ErrRejected) || errors.Is(err, keystile.ErrMalformed) {
		e := bearerRefusal(http.StatusUnauthorized, "invalid_token")
		e.cause = err
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	if p.UserID == "" || !p.HasScope("openid") || len(p.Audiences) > 0 {
		return nil, bearerRefusal(http.StatusForbidden, "insufficient_scope")
	}
	user, err := s.o.Store.User(r.Context(), p.UserID)
	if err != nil {
		return nil, err
	}
	c, err := s.o.Store.OAuthClient(r.Context(), token.ClientID)
	if err != nil {
		return nil, err
	}
	names, err := s.askedOfUserinfo(r.Context(), &c, token.GrantID)
	if err != nil {
		return nil, err
	}
	return userinfo{Subject: s.subject(c, user.ID), personClaims: personOf(user, p.Scopes, names)}, nil
}

// askedOfUserinfo are the claims that the client of a token asked for by name. What
// another client asked for is not told to one that exchanged its token.
func (s *Server) askedOfUserinfo(ctx context.Context, c *keystile.OAuthClient, grantID string) ([]string, error) {
	if grantID == "" {
		return nil, nil
	}
	grant, err := s.o.Store.OAuthGrant(ctx, grantID)
	if err != nil || grant.ClientID != c.ID {
		return nil, err
	}
	return allowedClaims(c, grant.UserinfoClaims), nil
}

// takeFormToken takes a token that stands in a form in place of the Authorization field
// (RFC 6750, section 2.2).
func takeFormToken(r *http.Request, asked *keystile.Request) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" || r.Method != http.MethodPost {
		return nil
	}
	r.Body = http.MaxBytesReader(nil, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return badRequest("The body cannot be read as a form of at most 64 KiB.")
	}
	if err := checkOnce(r.PostForm); err != nil {
		return err
	}
	token := r.PostForm.Get("access_token")
	switch {
	case token == "":
		return nil
	case len(r.Header["Authorization"]) > 0:
		return badRequest("The token is there twice.")
	}
	asked.Header = keystile.Header(r.Header.Clone())
	asked.Header["Authorization"] = []string{"Bearer " + token}
	return nil
}

// open proves an access token as the gate does: one that is bound to a key comes with a
// proof, which is good once.
func (s *Server) open(ctx context.Context, r *keystile.Request, found keystile.Found) (*keystile.Principal, oauthtoken.Facts, error) {
	presented, err := s.o.Tokens.Parse(r, found)
	if err != nil {
		return nil, oauthtoken.Facts{}, err
	}
	if _, err := s.o.Tokens.Verify(ctx, presented); err != nil {
		return nil, oauthtoken.Facts{}, err
	}
	err = s.o.Tokens.Claim(ctx, presented)
	if errors.Is(err, keystile.ErrReplayed) {
		return nil, oauthtoken.Facts{}, keystile.Reject(keystile.ReasonReplayed, "the proof was used before")
	}
	if err != nil {
		return nil, oauthtoken.Facts{}, err
	}
	return s.o.Tokens.Token(ctx, presented)
}

// present tells of an access token, without a proof.
func (s *Server) present(ctx context.Context, r *keystile.Request, found keystile.Found) (*keystile.Principal, oauthtoken.Facts, error) {
	presented, err := s.o.Tokens.Parse(r, found)
	if err != nil {
		return nil, oauthtoken.Facts{}, err
	}
	return s.o.Tokens.Token(ctx, presented)
}

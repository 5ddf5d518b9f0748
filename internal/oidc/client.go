package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/jws"
	"keystile.dev/keystile/internal/store"
)

// client is a client with what it hangs on.
type client struct {
	store.OAuthClientLookup
	// secrets are its own, and those that ended.
	secrets []keystile.OAuthSecret
	// remembered: it was not looked up for this request.
	remembered bool
	// revision is one of the feed at which it was as it is here.
	revision int64
}

func (c *client) id() string { return c.Client.ID }

func (c *client) may(g keystile.GrantType) bool { return slices.Contains(c.Client.GrantTypes, g) }

// fapi says whether its switches make it a client of FAPI 2.0 Security Profile: it pushes
// its requests, and its tokens are bound.
func (c *client) fapi() bool {
	return c.Client.PushedOnly && (c.Client.DPoP || c.Client.CertificateBound)
}

// mayTarget says whether it may ask tokens for a resource: one of those it is registered
// for. A client that registered itself names any, because a token for one opens no other.
func (c *client) mayTarget(resource string) bool {
	u, err := url.Parse(resource)
	if err != nil || !u.IsAbs() || strings.Contains(resource, "#") || len(resource) > maxParameter || strings.ContainsFunc(resource, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return false
	}
	return slices.Contains(c.Client.Audiences, resource) || c.Client.ApplicationID == "" && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// name is what people know it as.
func (c *client) name() string {
	if host := documentHost(c.id()); host != "" {
		return c.Client.Name + " (" + host + ")"
	}
	if c.Client.ApplicationID == "" {
		return c.Client.Name
	}
	return c.Application.Name
}

// standing says why the client may not work; empty: it may.
func (c *client) standing() string {
	switch {
	case !c.Client.RevokedAt.IsZero():
		return "the client was revoked"
	case c.OwnerDisabled:
		return "the client's organisation is disabled"
	case c.Client.ApplicationID == "":
		return ""
	}
	switch c.Application.Review {
	case keystile.ReviewApproved:
		return ""
	case keystile.ReviewDraft, keystile.ReviewInReview:
		if c.Application.Environment == keystile.Sandbox {
			return ""
		}
	case keystile.ReviewSuspended, keystile.ReviewRetired:
	}
	return "the client's application is " + string(c.Application.Review)
}

// find is a client that may work, as it is at this moment; keystile.ErrNotFound: there is
// none, or it may not. Where nothing changed in the store since it was read it is the one
// in memory.
func (s *Server) find(ctx context.Context, id string) (*client, error) {
	begun := s.known.begin()
	revision, err := s.o.Store.Revision(ctx)
	if err != nil {
		return nil, err
	}
	if c := s.known.find(id, s.o.Now()); c != nil && c.revision == revision {
		return c, nil
	}
	found, err := s.o.Store.FindOAuthClient(ctx, id)
	if err != nil {
		return nil, err
	}
	c := &client{OAuthClientLookup: found, revision: revision}
	if why := c.standing(); why != "" {
		return nil, errors.Join(keystile.ErrNotFound, errors.New(why))
	}
	if c.secrets, err = s.o.Store.OAuthSecrets(ctx, id); err != nil {
		return nil, err
	}
	s.known.keep(c, begun)
	return c, nil
}

// findKnown is find for a request that is given nothing: it takes what is in memory, which
// ends as soon as the feed tells of a change.
func (s *Server) findKnown(ctx context.Context, id string) (*client, error) {
	if c := s.known.find(id, s.o.Now()); c != nil {
		return c, nil
	}
	return s.find(ctx, id)
}

// logged is an id that anybody may have made up, as the log has it.
func logged(id string) string {
	if !keystile.ValidClientID(id) {
		return "(no id)"
	}
	return id
}

// noClient is the one answer to whatever is wrong with a client and its proof.
func noClient(basic bool, cause string) *Error {
	e := refuse("invalid_client", "The client is unknown, or did not prove who it is.").because(cause)
	e.status = http.StatusUnauthorized
	if basic { // RFC 6749, section 5.2
		e.challenge = `Basic realm="keystile"`
	}
	return e
}

// credentials are how a client says who it is.
type credentials struct {
	id     string
	secret keystile.Secret
	basic  bool
	// assertion is a signed one (RFC 7523, section 2.2); empty: none.
	assertion string
}

// assertionType is that of private_key_jwt (RFC 7523, section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// presented reads who the client says it is: in one way, never in two (RFC 6749,
// section 2.3).
func presented(r *request) (credentials, error) {
	c := credentials{id: r.get("client_id"), secret: keystile.Secret(r.get("client_secret")), assertion: r.get("client_assertion")}
	ways := 0
	if c.secret != "" {
		ways++
	}
	if c.assertion != "" || r.form.Has("client_assertion_type") {
		ways++
		if r.get("client_assertion_type") != assertionType {
			return c, badRequest("client_assertion_type is not supported.")
		}
	}
	if fields := r.http.Header["Authorization"]; len(fields) > 0 {
		ways++
		id, secret, err := basicOf(fields)
		if err != nil {
			return c, err
		}
		if c.id != "" && c.id != id {
			return c, badRequest("client_id is not that of the Authorization field.")
		}
		c.id, c.secret, c.basic = id, secret, true
	}
	if ways > 1 {
		return c, badRequest("The client says who it is in more than one way.")
	}
	return c, nil
}

// basicOf reads HTTP Basic credentials, whose parts are form-encoded (RFC 6749,
// section 2.3.1).
func basicOf(fields []string) (id string, secret keystile.Secret, err error) {
	bad := noClient(true, "the Authorization field is not that of Basic")
	if len(fields) != 1 {
		return "", "", bad
	}
	user, password, ok := (&http.Request{Header: http.Header{"Authorization": fields}}).BasicAuth()
	if !ok {
		return "", "", bad
	}
	if id, err = url.QueryUnescape(user); err != nil {
		return "", "", bad
	}
	text, err := url.QueryUnescape(password)
	if err != nil {
		return "", "", bad
	}
	return id, keystile.Secret(text), nil
}

// authenticate finds who the client is and has it prove that. A public client proves
// nothing; a confidential one that does not is refused.
func (s *Server) authenticate(ctx context.Context, r *request) (*client, error) {
	said, err := presented(r)
	if err != nil {
		return nil, err
	}
	if said.assertion != "" {
		return s.authenticateByKey(ctx, r, said)
	}
	if said.id == "" {
		return nil, noClient(said.basic, "the request names no client")
	}
	find := s.find
	if r.asksOnly {
		find = s.findKnown
	}
	c, err := find(ctx, said.id)
	if errors.Is(err, keystile.ErrNotFound) {
		return nil, noClient(said.basic, "client "+logged(said.id)+": "+err.Error())
	}
	if err != nil {
		return nil, err
	}
	if c.Client.ByTLS() {
		return c, s.checkCertificate(r, c, said)
	}
	if c.Client.Public {
		if said.secret != "" {
			return nil, noClient(said.basic, "client "+c.id()+" is public and sent a secret")
		}
		return c, nil
	}
	if said.secret == "" {
		return nil, noClient(said.basic, "client "+c.id()+" sent no secret")
	}
	if c.Client.JWKS != "" { // a secret that it had before, perhaps: one way, the stronger one
		return nil, noClient(said.basic, "client "+c.id()+" proves who it is with a key, and sent a secret")
	}
	return c, s.checkSecret(ctx, c, said)
}

func (s *Server) checkSecret(ctx context.Context, c *client, said credentials) error {
	candidates, now := s.candidates(said.secret), s.now()
	if holds(c.secrets, candidates, now) {
		return nil
	}
	if c.remembered { // it may be newer than what is remembered
		secrets, err := s.o.Store.OAuthSecrets(ctx, c.id())
		if err != nil {
			return err
		}
		if holds(secrets, candidates, now) {
			return nil
		}
	}
	return noClient(said.basic, "client "+c.id()+" sent a secret that is not its own")
}

const (
	// maxAssertionLife is how long an assertion may be used: no longer than the ledger
	// remembers it. One that says it lives longer has to say when it was made.
	maxAssertionLife = 5 * time.Minute
	// maxID bounds the jti of an assertion, in bytes.
	maxID = 256
)

// authenticateByKey takes a client's signed assertion, once (RFC 7523, section 3; OpenID
// Connect Core, section 9).
//
//nolint:gocyclo // a list of checks, one after the other
func (s *Server) authenticateByKey(ctx context.Context, r *request, said credentials) (*client, error) {
	token, err := jws.Parse(said.assertion)
	if err != nil {
		return nil, noClient(false, "the assertion is malformed")
	}
	claims, err := readClaims(token.Payload)
	if err != nil {
		return nil, noClient(false, "the assertion: "+err.Error())
	}
	id := claims.text("iss")
	if id == "" || claims.text("sub") != id || said.id != "" && said.id != id {
		return nil, noClient(false, "the assertion is of no client, or of another")
	}
	c, err := s.find(ctx, id)
	if errors.Is(err, keystile.ErrNotFound) {
		return nil, noClient(false, "client "+logged(id)+": "+err.Error())
	}
	if err != nil {
		return nil, err
	}
	if c.Client.ByTLS() {
		return nil, noClient(false, "client "+id+" proves who it is with a certificate, and sent an assertion")
	}
	set, err := jws.ParseSet([]byte(c.Client.JWKS))
	if err != nil || !set.Verify(token) {
		return nil, noClient(false, "client "+id+" has no key that signed the assertion")
	}
	now := s.now()
	expires, ok := claims.time("exp")
	issued, dated := claims.time("iat")
	begins, limited := claims.time("nbf")
	if dated { // some libraries sign for an hour
		expires = earlier(expires, issued.Add(maxAssertionLife-clockSkew))
	}
	switch {
	case !ok || !now.Before(expires) || expires.After(now.Add(maxAssertionLife)):
		return nil, noClient(false, "the assertion of client "+id+" has ended, or ends too late")
	case claims.there("iat") != dated || claims.there("nbf") != limited:
		return nil, noClient(false, "the assertion of client "+id+" has a time that is none")
	case issued.After(now.Add(clockSkew)) || begins.After(now.Add(clockSkew)):
		return nil, noClient(false, "the assertion of client "+id+" begins in the future")
	case !s.addressed(r, c, claims):
		return nil, noClient(false, "the assertion of client "+id+" is for another audience")
	case claims.text("jti") == "" || len(claims.text("jti")) > maxID:
		return nil, noClient(false, "the assertion of client "+id+" has no jti, or a very long one")
	}
	err = s.o.Claim(ctx, "oauth client "+id, claims.text("jti"), now, expires)
	if errors.Is(err, keystile.ErrReplayed) {
		return nil, noClient(false, "the assertion of client "+id+" was used before")
	}
	return c, err
}

// addressed says whether an assertion is for us: for our issuer, the token endpoint or the
// one that it came to (RFC 7523, section 3; RFC 9126, section 2). FAPI 2.0 Security
// Profile, section 5.3.2.1, takes the issuer alone, as one text.
func (s *Server) addressed(r *request, c *client, claims claims) bool {
	if c.fapi() {
		return claims.text("aud") == s.o.Issuer
	}
	return claims.forUs(s.o.Issuer, s.o.Issuer+PathToken, s.at(r.http, r.http.URL.Path))
}

// clockSkew is how far another's clock may be before ours.
const clockSkew = 30 * time.Second

// words are the space-separated words of a parameter (RFC 6749, section 3.3), each once.
func words[T ~string](text string) []T {
	var list []T
	for _, w := range strings.Fields(text) {
		if !slices.Contains(list, T(w)) {
			list = append(list, T(w))
		}
	}
	return list
}

func joined[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, w := range list {
		texts[i] = string(w)
	}
	return strings.Join(texts, " ")
}

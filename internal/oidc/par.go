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
	"keystile.dev/keystile/internal/clientmetadata"
	"keystile.dev/keystile/internal/dpop"
)

const (
	// requestPrefix begins the request_uri of a pushed request (RFC 9126, section 2.2).
	requestPrefix = "urn:ietf:params:oauth:request_uri:"
	// requestLife is how long it may be used: long enough for a sign-in in between, and less
	// than 600 s (FAPI 2.0 Security Profile, section 5.3.2.2).
	requestLife = 9 * time.Minute
)

// pushed is the answer to a pushed request.
type pushed struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"`
}

func (pushed) status() int { return http.StatusCreated }

// clientParameters prove who a client is, and are no part of what it asks for.
var clientParameters = []string{"client_secret", "client_assertion", "client_assertion_type"}

// push keeps an authorization request of a client that proved who it is, and names it
// (RFC 9126). It is checked now and once more when it is used.
func (s *Server) push(ctx context.Context, r *request) (any, error) {
	c, err := s.authenticate(ctx, r)
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	for name, values := range r.form {
		query[name] = values
	}
	for _, name := range clientParameters {
		query.Del(name)
	}
	if query.Has("request_uri") { // section 2.1
		return nil, badRequest("A pushed request names no other.")
	}
	query.Set("client_id", c.id())
	if err := s.bindCode(ctx, r, c, query); err != nil {
		return nil, err
	}
	a := &authorization{client: c, redirectURI: query.Get("redirect_uri"), pushed: &[32]byte{}}
	if !clientmetadata.MatchRedirect(c.Client.RedirectURIs, a.redirectURI) {
		return nil, badRequest("The client did not register that redirect URI.")
	}
	if err := s.take(ctx, a, query); err != nil {
		return nil, err
	}
	if err := s.roomFor(r, c); err != nil {
		return nil, err
	}
	secret, err := s.draw("")
	if err != nil {
		return nil, err
	}
	now := s.now()
	kept := keystile.OAuthRequest{ClientID: c.id(), Parameters: query.Encode(), CreatedAt: now, ExpiresAt: now.Add(requestLife)}
	kept.Digest, kept.PepperID = s.digest(secret)
	if err := s.o.Store.CreateOAuthRequest(ctx, kept); err != nil {
		return nil, err
	}
	return pushed{RequestURI: requestPrefix + secret.Reveal(), ExpiresIn: int64(requestLife / time.Second)}, nil
}

// bindCode binds the code of a pushed request to the key of the proof that came with it,
// as dpop_jkt does (RFC 9449, section 10.1).
func (s *Server) bindCode(ctx context.Context, r *request, c *client, query url.Values) error {
	thumbprint, err := s.shown(ctx, r, c)
	if err != nil || thumbprint == "" {
		return err
	}
	if named := query["dpop_jkt"]; len(named) > 0 && !slices.Equal(named, []string{thumbprint}) {
		return refuse(dpop.CodeInvalidProof, "dpop_jkt names another key than the proof.")
	}
	query.Set("dpop_jkt", thumbprint)
	return nil
}

// resolve is the request that a query means: itself, or the one that was pushed before
// under the name it gives. Nothing is ever fetched from a request_uri (threat 13).
func (s *Server) resolve(ctx context.Context, query url.Values) (resolved url.Values, digest *[32]byte, err error) {
	name, ok := strings.CutPrefix(query.Get("request_uri"), requestPrefix)
	if !ok || len(query["request_uri"]) != 1 {
		return query, nil, nil
	}
	kept, err := s.o.Store.FindOAuthRequest(ctx, s.candidates(keystile.Secret(name)))
	gone := &Refused{"This request was used, or took too long. Go back to the application and start again."}
	switch {
	case errors.Is(err, keystile.ErrNotFound):
		return nil, nil, gone
	case err != nil:
		return nil, nil, err
	case kept.ClientID != query.Get("client_id") || len(query["client_id"]) != 1 || !s.now().Before(kept.ExpiresAt):
		return nil, nil, gone
	}
	resolved, err = url.ParseQuery(kept.Parameters)
	return resolved, &kept.Digest, err
}

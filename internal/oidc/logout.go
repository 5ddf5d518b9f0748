package oidc

import (
	"context"
	"errors"
	"net/url"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/clientmetadata"
	"keystile.dev/keystile/internal/jws"
)

// Logout is what a client asks for when a user signs out (OpenID Connect RP-Initiated
// Logout, section 2).
type Logout struct {
	// SessionID is the sign-in that the client means; empty: it does not say.
	SessionID string
	// Location is where the browser goes on to; empty: nowhere.
	Location string
}

// EndSession reads a client's wish to sign a user out. What of it cannot be believed is
// left out: a browser is led on only to what the client registered, and only a token of
// ours says which client that is.
//
//nolint:gocyclo // a list of checks, one after the other
func (s *Server) EndSession(ctx context.Context, query url.Values) (Logout, error) {
	var out Logout
	if err := checkOnce(query); err != nil {
		return out, &Refused{"The link holds a parameter more than once."}
	}
	clientID := query.Get("client_id")
	if hint := query.Get("id_token_hint"); hint != "" {
		c, err := s.hinted(ctx, hint)
		if err != nil {
			return out, err
		}
		if audience := c.text("aud"); clientID == "" || clientID == audience {
			clientID, out.SessionID = audience, c.text("sid")
		} else {
			return out, &Refused{"The link names two applications."}
		}
	}
	to := query.Get("post_logout_redirect_uri")
	if to == "" || clientID == "" {
		return out, nil
	}
	c, err := s.find(ctx, clientID)
	if errors.Is(err, keystile.ErrNotFound) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	if !clientmetadata.MatchRedirect(c.Client.PostLogoutRedirectURIs, to) {
		return out, &Refused{"The application did not register that address."}
	}
	out.Location = to
	if state := query.Get("state"); state != "" && len(state) <= maxParameter {
		out.Location = withParameters(to, url.Values{"state": {state}})
	}
	return out, nil
}

// hinted reads an ID token of ours, an old one too: it only says who is meant.
func (s *Server) hinted(ctx context.Context, hint string) (claims, error) {
	bad := &Refused{"The link holds a token that is not from here."}
	token, err := jws.Parse(hint)
	if err != nil {
		return nil, bad
	}
	ours, err := s.o.Keys.Verify(ctx, token)
	if err != nil {
		return nil, err
	}
	c, err := readClaims(token.Payload)
	if err != nil || !ours || token.Type != typeIDToken || c.text("iss") != s.o.Issuer {
		return nil, bad
	}
	return c, nil
}

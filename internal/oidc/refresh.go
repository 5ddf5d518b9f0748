package oidc

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
)

// reissueWindow is how long a lost answer to a refresh is given again (rulings R19).
const reissueWindow = 10 * time.Second

// rotate exchanges a refresh token for new tokens, once (RFC 6749, section 6; RFC 9700,
// section 4.14.2).
//
//nolint:gocyclo // a list of checks, one after the other
func (s *Server) rotate(ctx context.Context, r *request, c *client) (any, error) {
	if r.get("refresh_token") == "" {
		return nil, badRequest("refresh_token is missing.")
	}
	candidates := s.candidates(keystile.Secret(r.get("refresh_token")))
	token, grant, err := s.refreshToken(ctx, c, candidates)
	if err != nil {
		return nil, err
	}
	now := s.now()
	switch {
	case grant.Thumbprint != "" && grant.Thumbprint != r.thumbprint:
		return nil, badGrant("the refresh token is bound to another key")
	case !grant.RevokedAt.IsZero():
		return nil, badGrant("grant " + grant.ID + " was revoked")
	case !token.ConsumedAt.IsZero():
		return s.again(ctx, r, c, spent{token, grant}, now)
	case !now.Before(token.ExpiresAt), !now.Before(grant.ExpiresAt):
		return nil, badGrant("the refresh token expired")
	}
	i, err := s.renewal(ctx, r, c, grant)
	if err != nil {
		return nil, err
	}
	given, answer, err := s.make(ctx, i, now)
	if err != nil {
		return nil, err
	}
	given.Refresh = &token.Digest
	if given.Answer, err = s.sealAnswer(token.Digest, keptAnswer{answer, i.audiences}); err != nil {
		return nil, err
	}
	issued, err := s.o.Store.IssueOAuth(ctx, given)
	if err != nil {
		return nil, err
	}
	if issued {
		return answer, nil
	}
	// Another request was first: this one is a reuse like any other.
	if token, grant, err = s.refreshToken(ctx, c, candidates); err != nil {
		return nil, err
	}
	return s.again(ctx, r, c, spent{token, grant}, s.now())
}

// refreshToken reads a refresh token and its grant, both of this client.
func (s *Server) refreshToken(ctx context.Context, c *client, candidates [][32]byte) (keystile.OAuthRefreshToken, keystile.OAuthGrant, error) {
	token, err := s.o.Store.FindOAuthRefreshToken(ctx, candidates)
	if errors.Is(err, keystile.ErrNotFound) {
		return token, keystile.OAuthGrant{}, badGrant("client " + c.id() + " sent a refresh token that is not known")
	}
	if err != nil {
		return token, keystile.OAuthGrant{}, err
	}
	grant, err := s.o.Store.OAuthGrant(ctx, token.GrantID)
	if errors.Is(err, keystile.ErrNotFound) {
		return token, grant, badGrant("the grant of a refresh token is not there")
	}
	if err == nil && grant.ClientID != c.id() {
		return token, grant, badGrant("client " + c.id() + " sent a refresh token of client " + grant.ClientID)
	}
	return token, grant, err
}

// renewal is what a refresh gives: of what was granted the part that is asked for, and
// that the client is registered for and the user holds today.
func (s *Server) renewal(ctx context.Context, r *request, c *client, grant keystile.OAuthGrant) (*issuing, error) {
	user, err := s.person(ctx, grant.UserID)
	if err != nil {
		return nil, err
	}
	scopes := grant.Scopes
	if asked := words[keystile.Scope](r.get("scope")); len(asked) > 0 {
		for _, want := range asked {
			if !slices.ContainsFunc(grant.Scopes, func(have keystile.Scope) bool { return have.Covers(want) }) {
				return nil, refuse("invalid_scope", "The grant does not hold that scope.")
			}
		}
		scopes = asked
	}
	audiences, err := narrowed(c, grant.Audiences, r.form["resource"])
	if err != nil {
		return nil, err
	}
	grant.Nonce = "" // it is of the first ID token's request (OpenID Connect Core, section 12.2)
	return &issuing{client: c, grant: grant, user: user, scopes: scopes, audiences: audiences, thumbprint: r.thumbprint, certificate: r.certificate, refresh: true, withID: true}, nil
}

// again answers a refresh token that was used before. A client that proved who it is
// and asks again at once, before it used the successor, has lost the answer and gets the
// same one; anything else is two parties with one token, and ends the grant.
func (s *Server) again(ctx context.Context, r *request, c *client, used spent, now time.Time) (any, error) {
	token := used.token
	lost, err := s.lostAnswer(ctx, c, used, now)
	if err != nil {
		return nil, err
	}
	if !lost {
		return nil, s.replayed(ctx, r, c, token.GrantID, "a refresh token was used again")
	}
	kept, err := s.openAnswer(token.Digest, token.Answer)
	if err != nil {
		return nil, err
	}
	if asked := r.get("scope"); asked != "" && joined(words[keystile.Scope](asked)) != kept.Scope {
		return nil, badGrant("the same refresh token asks for another scope")
	}
	if asked := r.form["resource"]; len(asked) > 0 && !slices.Equal(slices.Compact(slices.Sorted(slices.Values(asked))), slices.Sorted(slices.Values(kept.Resources))) {
		return nil, badGrant("the same refresh token asks for another resource")
	}
	return kept.tokenAnswer, nil
}

// spent is a refresh token that was used, and its grant.
type spent struct {
	token keystile.OAuthRefreshToken
	grant keystile.OAuthGrant
}

func (s *Server) lostAnswer(ctx context.Context, c *client, used spent, now time.Time) (bool, error) {
	token := used.token
	if c.Client.Public && used.grant.Thumbprint == "" || len(token.Answer) == 0 || now.Sub(token.ConsumedAt) > reissueWindow {
		return false, nil
	}
	successor, err := s.o.Store.FindOAuthRefreshToken(ctx, [][32]byte{token.Successor})
	if errors.Is(err, keystile.ErrNotFound) {
		return false, nil
	}
	return successor.ConsumedAt.IsZero(), err
}

// answerPlace binds a sealed answer to its row.
func answerPlace(digest [32]byte) string {
	return "oauth_refresh_tokens/" + hex.EncodeToString(digest[:]) + "/answer"
}

// keptAnswer is an answer, and what its access token is for.
type keptAnswer struct {
	tokenAnswer
	Resources []string `json:"resources,omitempty"`
}

func (s *Server) sealAnswer(digest [32]byte, answer keptAnswer) ([]byte, error) {
	plain, err := json.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("keep an answer: %w", err)
	}
	return s.o.Sealer.Seal(plain, answerPlace(digest))
}

func (s *Server) openAnswer(digest [32]byte, sealed []byte) (answer keptAnswer, err error) {
	plain, err := s.o.Sealer.Open(sealed, answerPlace(digest))
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(plain, &answer); err != nil {
		return answer, fmt.Errorf("read a kept answer: %w", err)
	}
	return answer, nil
}

package oidc

import (
	"context"
	"errors"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// revoke ends a token of the client that asks (RFC 7009): an access token alone, a
// refresh token with everything of its grant. What is no token of this client's is
// answered as if it had ended, and stays as it is: the answer tells a thief nothing.
func (s *Server) revoke(ctx context.Context, r *request) (any, error) {
	c, err := s.authenticate(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.get("token") == "" {
		return nil, badRequest("token is missing.")
	}
	candidates := s.candidates(keystile.Secret(r.get("token")))
	found, err := s.o.Store.FindOAuthToken(ctx, candidates)
	switch {
	case err == nil && found.Token.ClientID == c.id():
		return nil, s.o.Store.Mutate(ctx, s.actor(c.id(), r.id), func(ctx context.Context, tx *store.Tx) error {
			return tx.RevokeOAuthToken(ctx, found.Token, organizationOf(&found))
		})
	case err == nil:
		return nil, nil
	case !errors.Is(err, keystile.ErrNotFound):
		return nil, err
	}
	refresh, _, err := s.refreshToken(ctx, c, candidates)
	var e *Error
	if errors.As(err, &e) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return nil, s.endGrant(ctx, s.actor(c.id(), r.id), refresh.GrantID, "revoked by the client")
}

// organizationOf is whose audit chain tells of a token.
func organizationOf(found *store.OAuthTokenLookup) string {
	if found.Tenant.ID != "" {
		return found.Tenant.ID
	}
	return found.Owner.ID
}

package oidc

import (
	"context"
	"errors"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// Access is what a user allowed one client.
type Access struct {
	ClientID string
	// Client is what it calls itself.
	Client string
	Scopes []keystile.Scope
	// Resources that it is for besides this server's gateway.
	Resources []string
	Since     time.Time
}

// Access lists what a user allowed clients, one entry a client.
func (s *Server) Access(ctx context.Context, userID string) ([]Access, error) {
	consents, err := s.o.Store.OAuthConsentsOfUser(ctx, userID)
	if err != nil {
		return nil, err
	}
	var list []Access
	for _, c := range consents { // in the order of clients
		if len(list) == 0 || list[len(list)-1].ClientID != c.ClientID {
			found, err := s.o.Store.FindOAuthClient(ctx, c.ClientID)
			if errors.Is(err, keystile.ErrNotFound) {
				continue // the client is no more
			}
			if err != nil {
				return nil, err
			}
			its := client{OAuthClientLookup: found}
			list = append(list, Access{ClientID: c.ClientID, Client: its.name(), Since: c.CreatedAt})
		}
		last := &list[len(list)-1]
		last.Scopes = union(last.Scopes, c.Scopes)
		if c.Resource != "" {
			last.Resources = append(last.Resources, c.Resource)
		}
		if c.CreatedAt.Before(last.Since) {
			last.Since = c.CreatedAt
		}
	}
	return list, nil
}

// Withdraw takes back what a user allowed a client and ends everything it holds. Nothing
// to take back is [keystile.ErrNotFound].
func (s *Server) Withdraw(ctx context.Context, userID, clientID, requestID string) error {
	actor := store.Actor{Name: "user:" + userID, RequestID: requestID}
	return s.o.Store.Mutate(ctx, actor, func(ctx context.Context, tx *store.Tx) error { return tx.WithdrawOAuthConsents(ctx, userID, clientID) })
}

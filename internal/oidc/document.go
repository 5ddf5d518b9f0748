package oidc

import (
	"context"
	"errors"
	"net/url"
	"reflect"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/clientmetadata"
	"keystile.dev/keystile/internal/store"
)

// Documents finds what a client says of itself at the URL it calls itself by (OAuth
// Client ID Metadata Document, section 4). An error that wraps keystile.ErrRejected is
// "there is no such client"; any other, "cannot tell". What it returns is not changed.
type Documents func(ctx context.Context, clientID string) (*clientmetadata.Metadata, error)

// asking finds the client of an authorization request: one that is kept, or one that
// calls itself by the URL of a document. Documents are looked at here alone, where
// somebody is signed in: a stranger makes this server fetch nothing.
func (s *Server) asking(ctx context.Context, id string) (*client, error) {
	if s.o.Documents == nil || !clientmetadata.IsDocumentURL(id) {
		return s.find(ctx, id)
	}
	if !keystile.ValidClientID(id) {
		return nil, keystile.ErrNotFound
	}
	m, err := s.o.Documents(ctx, id)
	if errors.Is(err, keystile.ErrRejected) {
		s.o.Logger.Info("a client's document was refused", "client", id, "cause", err)
		return nil, errors.Join(keystile.ErrNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	if err := s.keepDocument(ctx, id, m); err != nil {
		return nil, err
	}
	return s.find(ctx, id)
}

// keepDocument makes the kept client what its document says now: tokens hang on it. It
// counts among those that registered themselves, and goes when it is not used (rulings
// R41). One that was revoked here stays so.
func (s *Server) keepDocument(ctx context.Context, id string, m *clientmetadata.Metadata) error {
	now := s.now()
	kept, err := s.o.Store.OAuthClient(ctx, id)
	first := errors.Is(err, keystile.ErrNotFound)
	if err != nil && !first {
		return err
	}
	if first {
		n, err := s.o.Store.RegisteredOAuthClients(ctx)
		if err != nil {
			return err
		}
		if n >= maxRegistered {
			return &Refused{"Too many applications are known here already. Try again later."}
		}
		kept = keystile.OAuthClient{ID: id, CreatedAt: now, UpdatedAt: now}
	}
	want, err := s.asClient(m, kept)
	var wrong *Error
	if errors.As(err, &wrong) {
		return &Refused{"The application's document asks for what it cannot have: " + wrong.Description}
	}
	if err != nil || reflect.DeepEqual(want, kept) {
		return err
	}
	want.UpdatedAt = now
	err = s.o.Store.Mutate(ctx, store.Actor{Name: "client:" + id}, func(ctx context.Context, tx *store.Tx) error {
		if first {
			return tx.CreateOAuthClient(ctx, want)
		}
		return tx.UpdateOAuthClient(ctx, want)
	})
	if first && errors.Is(err, keystile.ErrConflict) { // another request was first
		return nil
	}
	return err
}

// documentHost is whose document names a client; empty: it has none.
func documentHost(clientID string) string {
	if !clientmetadata.IsDocumentURL(clientID) {
		return ""
	}
	u, err := url.Parse(clientID)
	if err != nil {
		return ""
	}
	return u.Host
}

package store

import (
	"bytes"
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// AdminTokenFilter chooses admin tokens.
type AdminTokenFilter struct {
	Page
	// OrganizationID: only this organisation's; empty: all, global ones too.
	OrganizationID string
}

// AdminToken reads one admin token.
func (r *reads) AdminToken(ctx context.Context, id string) (keystile.AdminToken, error) {
	row, err := r.q.GetAdminToken(ctx, id)
	if err != nil {
		return keystile.AdminToken{}, r.fail("read admin token "+clip(id), err)
	}
	return adminTokenOf(row)
}

// AdminToken reads one admin token and keeps it from changing until the transaction ends.
func (t *Tx) AdminToken(ctx context.Context, id string) (keystile.AdminToken, error) {
	return locked(ctx, t, func() (keystile.AdminToken, error) { return t.reads.AdminToken(ctx, id) },
		func(a keystile.AdminToken) string { return a.OrganizationID })
}

// AdminTokens lists admin tokens by id, revoked and expired ones too.
func (r *reads) AdminTokens(ctx context.Context, f AdminTokenFilter) ([]keystile.AdminToken, error) {
	var rows []gen.AdminToken
	var err error
	if f.OrganizationID == "" {
		rows, err = r.q.ListAdminTokens(ctx, f.AfterID, rowLimit(f.Limit))
	} else {
		rows, err = r.q.ListAdminTokensOfOrganization(ctx, f.OrganizationID, f.AfterID, rowLimit(f.Limit))
	}
	if err != nil {
		return nil, r.fail("list admin tokens", err)
	}
	return mapRows(rows, adminTokenOf, r.fail, "list admin tokens")
}

// CreateAdminToken adds an admin token by its keyed digest. A duplicate id or
// digest is [keystile.ErrConflict].
func (t *Tx) CreateAdminToken(ctx context.Context, a keystile.AdminToken, digest [32]byte, pepperID string) error {
	if err := checkID("id", a.ID); err != nil {
		return err
	}
	if err := checkTexts(text{"name", a.Name}); err != nil {
		return err
	}
	if err := checkList("scopes", a.Scopes); err != nil {
		return err
	}
	if digest == [32]byte{} || pepperID == "" {
		return keystile.Invalidf("secret", "give its digest and the pepper's id", "admin token %q has no digest", a.ID)
	}
	if a.OrganizationID != "" {
		if err := t.ownerExists(ctx, "organization", a.OrganizationID); err != nil {
			return err
		}
	}
	if a.CreatedAt.IsZero() {
		a.CreatedAt = t.now
	}
	n, err := t.q.InsertAdminToken(ctx, gen.InsertAdminTokenParams{
		ID: a.ID, OrganizationID: a.OrganizationID, Name: a.Name, Scopes: joinList(a.Scopes), Bootstrap: a.Bootstrap,
		Digest: digest[:], PepperID: pepperID, CreatedAt: micros(a.CreatedAt), FirstUsedAt: nullMicros(a.FirstUsedAt),
		ExpiresAt: nullMicros(a.ExpiresAt), RevokedAt: nullMicros(a.RevokedAt),
	})
	if err != nil {
		return t.fail("create admin token "+a.ID, err)
	}
	if n == 0 {
		return conflict("admin token %q, or its secret, exists already", a.ID)
	}
	t.announceHere(keystile.ChangeAdminToken, a.ID)
	return t.Record(ctx, a.OrganizationID, "admin_token.create", "admin_token:"+a.ID, whole(adminTokenMembers(a)))
}

// RevokeAdminToken ends an admin token. Revoking it again does nothing. A zero
// at is now.
func (t *Tx) RevokeAdminToken(ctx context.Context, id string, at time.Time) error {
	a, err := t.AdminToken(ctx, id)
	if err != nil || !a.RevokedAt.IsZero() {
		return err
	}
	if at.IsZero() {
		at = t.now
	}
	if err := t.q.RevokeAdminToken(ctx, id, nullMicros(at)); err != nil {
		return t.fail("revoke admin token "+id, err)
	}
	t.Announce(keystile.ChangeAdminToken, id)
	return t.Record(ctx, a.OrganizationID, "admin_token.revoke", "admin_token:"+id, map[string]any{"revoked_at": instant(at)})
}

// FindAdminToken finds the admin token with one of 1 to 3 digests; the first in
// their order counts. None is [keystile.ErrNotFound]; whether the token is live
// is the caller's to judge.
func (s *Store) FindAdminToken(ctx context.Context, digests [][32]byte) (keystile.AdminToken, error) {
	const op = "look up an admin token"
	args, err := digestArguments(digests)
	if err != nil {
		return keystile.AdminToken{}, err
	}
	rows, err := s.lookups.FindAdminTokens(s.lookupContext(ctx), args[0], args[1], args[2])
	if err != nil {
		return keystile.AdminToken{}, s.fail(op, err)
	}
	for _, digest := range args {
		for _, row := range rows {
			if bytes.Equal(row.Digest, digest) {
				return adminTokenOf(row)
			}
		}
	}
	return keystile.AdminToken{}, errUnknownDigest
}

// MarkAdminTokenUsed notes the first use of an admin token; later ones change
// nothing. It writes no audit event.
func (s *Store) MarkAdminTokenUsed(ctx context.Context, id string, at time.Time) error {
	if err := s.writable(); err != nil {
		return err
	}
	return s.fail("note the use of admin token "+clip(id), gen.New(s.writer).MarkAdminTokenUsed(ctx, id, nullMicros(at)))
}

func adminTokenOf(row gen.AdminToken) (keystile.AdminToken, error) {
	return keystile.AdminToken{
		ID: row.ID, Name: row.Name, OrganizationID: row.OrganizationID, Scopes: splitList[keystile.Scope](row.Scopes),
		Bootstrap: row.Bootstrap, CreatedAt: timeOf(row.CreatedAt), FirstUsedAt: nullTimeOf(row.FirstUsedAt),
		ExpiresAt: nullTimeOf(row.ExpiresAt), RevokedAt: nullTimeOf(row.RevokedAt),
	}, nil
}

func adminTokenMembers(a keystile.AdminToken) []member {
	return []member{
		{"id", a.ID},
		{"organization", a.OrganizationID},
		{"name", a.Name},
		{"scopes", texts(a.Scopes)},
		{"bootstrap", a.Bootstrap},
		{"expires_at", instant(a.ExpiresAt)},
	}
}

package store

import (
	"bytes"
	"context"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// ApplicationKeys lists the keys of an application, oldest first: their digests,
// never themselves.
func (r *reads) ApplicationKeys(ctx context.Context, applicationID string) ([]keystile.ApplicationKey, error) {
	rows, err := r.q.ListApplicationKeys(ctx, applicationID)
	if err != nil {
		return nil, r.fail("list keys of application "+clip(applicationID), err)
	}
	return mapRows(rows, applicationKeyOf, r.fail, "list keys of application "+clip(applicationID))
}

// AddApplicationKey gives an application one more key. A digest or an id that
// exists is [keystile.ErrConflict].
func (t *Tx) AddApplicationKey(ctx context.Context, k keystile.ApplicationKey) error {
	if k.Digest == [32]byte{} || k.PepperID == "" {
		return keystile.Invalidf("secret", "give its digest and the pepper's id", "application key %q has no digest", k.ID)
	}
	if err := checkID("id", k.ID); err != nil {
		return err
	}
	if err := checkTexts(text{"hint", k.Hint}); err != nil {
		return err
	}
	a, err := t.Application(ctx, k.ApplicationID)
	if err != nil {
		return dangling(err, "application", "application", k.ApplicationID)
	}
	if k.CreatedAt.IsZero() {
		k.CreatedAt = t.now
	}
	n, err := t.q.InsertApplicationKey(ctx, gen.InsertApplicationKeyParams{
		ID: k.ID, ApplicationID: k.ApplicationID, Digest: k.Digest[:], PepperID: k.PepperID, Hint: k.Hint,
		CreatedAt: micros(k.CreatedAt), ExpiresAt: nullMicros(k.ExpiresAt), RevokedAt: nullMicros(k.RevokedAt), LastUsedAt: nullMicros(k.LastUsedAt),
	})
	if err != nil {
		return t.fail("add a key to application "+k.ApplicationID, err)
	}
	if n == 0 {
		return conflict("application key %q or its secret exists already", k.ID)
	}
	t.announceHere(keystile.ChangeApplication, a.ID)
	detail := map[string]any{"key": k.ID, "hint": k.Hint}
	if !k.ExpiresAt.IsZero() {
		detail["expires_at"] = instant(k.ExpiresAt)
	}
	return t.Record(ctx, a.OrganizationID, "application_key.create", "application:"+a.ID, detail)
}

// ExpireApplicationKeys ends every key of an application but keep at a time, for
// a rotation; those that end earlier stay as they are.
func (t *Tx) ExpireApplicationKeys(ctx context.Context, applicationID, keep string, at time.Time) error {
	a, err := t.Application(ctx, applicationID)
	if err != nil {
		return err
	}
	n, err := t.q.ExpireOtherApplicationKeys(ctx, nullMicros(at), applicationID, keep)
	if err != nil {
		return t.fail("end keys of application "+applicationID, err)
	}
	if n == 0 {
		return nil
	}
	t.Announce(keystile.ChangeApplication, applicationID)
	return t.Record(ctx, a.OrganizationID, "application_key.expire", "application:"+a.ID, map[string]any{"expires_at": instant(at), "keys": n})
}

// RevokeApplicationKey ends one key of an application. Revoking it again does nothing.
func (t *Tx) RevokeApplicationKey(ctx context.Context, id string) error {
	row, err := t.q.GetApplicationKey(ctx, id)
	if err != nil {
		return t.fail("read application key "+clip(id), err)
	}
	a, err := t.Application(ctx, row.ApplicationID)
	if err != nil || row.RevokedAt.Valid {
		return err
	}
	if err := t.q.RevokeApplicationKey(ctx, id, nullMicros(t.now)); err != nil {
		return t.fail("revoke application key "+id, err)
	}
	t.Announce(keystile.ChangeApplication, a.ID)
	return t.Record(ctx, a.OrganizationID, "application_key.revoke", "application:"+a.ID, map[string]any{"key": id})
}

// ApplicationKeyLookup is what the digest of an application key leads to.
type ApplicationKeyLookup struct {
	Key         keystile.ApplicationKey
	Application keystile.Application
	// OwnerDisabled: the partner's organisation is disabled.
	OwnerDisabled bool
	// Revision of the feed, read by the same statement.
	Revision int64
}

// FindApplicationKey finds the application key with one of 1 to 3 digests and
// its application, with one statement. None is [keystile.ErrNotFound]; whether
// the key is live is the caller's to judge.
func (s *Store) FindApplicationKey(ctx context.Context, digests [][32]byte) (ApplicationKeyLookup, error) {
	const op = "look up an application key"
	args, err := digestArguments(digests)
	if err != nil {
		return ApplicationKeyLookup{}, err
	}
	rows, err := s.lookups.FindApplicationKeys(s.lookupContext(ctx), args[0], args[1], args[2])
	if err != nil {
		return ApplicationKeyLookup{}, s.fail(op, err)
	}
	for _, digest := range args {
		for i := range rows {
			if !bytes.Equal(rows[i].ApplicationKey.Digest, digest) {
				continue
			}
			k, err := applicationKeyOf(rows[i].ApplicationKey)
			if err != nil {
				return ApplicationKeyLookup{}, s.fail(op, err)
			}
			a, err := applicationOf(rows[i].Application)
			if err != nil {
				return ApplicationKeyLookup{}, s.fail(op, err)
			}
			return ApplicationKeyLookup{Key: k, Application: a, OwnerDisabled: rows[i].Disabled, Revision: rows[i].Revision}, nil
		}
	}
	return ApplicationKeyLookup{}, errUnknownDigest
}

func applicationKeyOf(row gen.ApplicationKey) (keystile.ApplicationKey, error) {
	digest, err := digestOf(row.Digest)
	if err != nil {
		return keystile.ApplicationKey{}, fmt.Errorf("application key %s: %w", row.ID, err)
	}
	return keystile.ApplicationKey{
		ID: row.ID, ApplicationID: row.ApplicationID, Digest: digest, PepperID: row.PepperID, Hint: row.Hint,
		CreatedAt: timeOf(row.CreatedAt), ExpiresAt: nullTimeOf(row.ExpiresAt), RevokedAt: nullTimeOf(row.RevokedAt), LastUsedAt: nullTimeOf(row.LastUsedAt),
	}, nil
}

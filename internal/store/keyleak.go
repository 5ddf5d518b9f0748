package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
)

// MarkAPIKeyLeaked notes that the secret of a key with the given digest was found
// in the open, and lets it end at a time, unless it ends sooner; zero: it does not
// end. That it was found stays as it was first noted. A secret that is not the
// key's is [keystile.ErrNotFound].
func (t *Tx) MarkAPIKeyLeaked(ctx context.Context, keyID string, digest [32]byte, endsAt time.Time) error {
	k, err := t.APIKey(ctx, keyID)
	if err != nil {
		return err
	}
	secrets, err := t.APIKeySecrets(ctx, keyID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(secrets, func(s keystile.APIKeySecret) bool { return bytes.Equal(s.Digest[:], digest[:]) })
	if i < 0 {
		return errUnknownDigest
	}
	leaked, ends := secrets[i].LeakedAt, secrets[i].ExpiresAt
	if leaked.IsZero() {
		leaked = t.now
	}
	if !endsAt.IsZero() && (ends.IsZero() || endsAt.Before(ends)) {
		ends = endsAt
	}
	if leaked.Equal(secrets[i].LeakedAt) && ends.Equal(secrets[i].ExpiresAt) {
		return nil
	}
	if err := t.q.MarkAPIKeySecretLeaked(ctx, nullMicros(leaked), nullMicros(ends), digest[:]); err != nil {
		return t.fail("mark a secret of API key "+keyID+" as leaked", err)
	}
	t.Announce(keystile.ChangeKey, keyID)
	return t.Record(ctx, k.OrganizationID, "api_key.leak_respond", "api_key:"+keyID, map[string]any{
		"leaked_at": instant(leaked), "secret_expires_at": instant(ends),
	})
}

// EndedLeakedAPIKeys are live keys that leaked and whose every secret has ended.
func (s *Store) EndedLeakedAPIKeys(ctx context.Context, now time.Time, limit int) ([]string, error) {
	ids, err := s.q.ListEndedLeakedAPIKeys(ctx, nullMicros(now), rowLimit(limit))
	return ids, s.fail("list leaked API keys that have ended", err)
}

// ExpiringAPIKeys are live keys that end after one time and not after another, and
// of which that was not noticed yet, the soonest first.
func (s *Store) ExpiringAPIKeys(ctx context.Context, after, through time.Time, limit int) ([]string, error) {
	ids, err := s.q.ListExpiringAPIKeys(ctx, nullMicros(after), nullMicros(through), rowLimit(limit))
	return ids, s.fail("list API keys that expire", err)
}

// KeyNoticeKind is what a notice about a key is of.
type KeyNoticeKind string

// The kinds of notices about keys.
const (
	NoticeLeaked   KeyNoticeKind = "leaked"
	NoticeExpiring KeyNoticeKind = "expiring"
)

// KeyNotice is the last notice of a kind about a key; the zero notice: none yet.
type KeyNotice struct {
	// About is the instant that it was about: a key's end, or when it was reported.
	About time.Time
	// At is when it was given.
	At time.Time
}

// APIKeyNotice reads the last notice of a kind about a key.
func (r *reads) APIKeyNotice(ctx context.Context, keyID string, kind KeyNoticeKind) (KeyNotice, error) {
	row, err := r.q.GetAPIKeyNotice(ctx, keyID, string(kind))
	if errors.Is(err, sql.ErrNoRows) {
		return KeyNotice{}, nil
	}
	if err != nil {
		return KeyNotice{}, r.fail("read a notice about API key "+clip(keyID), err)
	}
	return KeyNotice{About: timeOf(row.About), At: timeOf(row.At)}, nil
}

// NoteAPIKey gives a notice about a key: an audit event "api_key.KIND" with the
// detail, and the memory of it.
func (t *Tx) NoteAPIKey(ctx context.Context, keyID string, kind KeyNoticeKind, about time.Time, detail map[string]any) error {
	k, err := t.APIKey(ctx, keyID)
	if err != nil {
		return err
	}
	if err := t.q.PutAPIKeyNotice(ctx, keyID, string(kind), micros(about), micros(t.now)); err != nil {
		return t.fail("note a notice about API key "+keyID, err)
	}
	return t.Record(ctx, k.OrganizationID, "api_key."+string(kind), "api_key:"+keyID, detail)
}

// maxAdministrators is how many administrators of an organisation are told of something.
const maxAdministrators = 50

// Administrators are the first users who administer an organisation, are not
// disabled, and have an e-mail address.
func (s *Store) Administrators(ctx context.Context, organizationID string) ([]keystile.User, error) {
	const op = "list administrators"
	rows, err := s.q.ListAdministratorsOfOrganization(ctx, organizationID, string(keystile.OrgAdmin), maxAdministrators)
	if err != nil {
		return nil, s.fail(op, err)
	}
	return mapRows(rows, userOf, s.fail, op)
}

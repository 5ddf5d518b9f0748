package store

import (
	"context"
	"database/sql"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// Kinds of ends that are told of once.
const (
	noticeKeyExpiring   = "key_expiring"
	noticeKeyExpired    = "key_expired"
	noticeAuthorization = "authorization"
)

// noticeKept is how long after an end it may still be told of: a server that was away for
// longer says nothing of it. Notices are purged after twice as long.
const noticeKept = 7 * 24 * time.Hour

// TellOfEnds queues what came to an end, or is about to, and was not told of: keys
// of applications, and tenants' yeses. At most limit of each are told; it says how
// many were. Each is told once, by one transaction, whatever servers ask at once.
func (s *Store) TellOfEnds(ctx context.Context, limit int) (told int, err error) {
	const op = "tell of ends"
	now := stored(s.now())
	for _, find := range []struct {
		kind         string
		event        keystile.WebhookEvent
		after, until time.Time
	}{
		{noticeKeyExpiring, keystile.EventKeyExpiring, now, now.Add(keystile.KeyExpiryNotice)},
		{noticeKeyExpired, keystile.EventKeyExpired, now.Add(-noticeKept), now},
	} {
		rows, err := s.q.KeysToTellOf(ctx, nullMicros(find.after), nullMicros(find.until), find.kind, rowLimit(limit))
		if err != nil {
			return told, s.fail(op, err)
		}
		for _, k := range rows {
			e := occurrence{application: k.ApplicationID, event: find.event, keyID: k.ID, keyExpiresAt: nullTimeOf(k.ExpiresAt)}
			fresh, err := s.tellOnce(ctx, find.kind, k.ID, e, e.keyExpiresAt)
			if err != nil {
				return told, err
			}
			told += fresh
		}
	}
	rows, err := s.q.AuthorizationsToTellOf(ctx, nullMicros(now.Add(-noticeKept)), nullMicros(now), rowLimit(limit))
	if err != nil {
		return told, s.fail(op, err)
	}
	for _, a := range rows {
		e := occurrence{application: a.ApplicationID, event: keystile.EventAppStatusChanged, tenant: a.TenantID, status: "disabled"}
		fresh, err := s.tellOnce(ctx, noticeAuthorization, AuthorizationID(a.ApplicationID, a.TenantID), e, nullTimeOf(a.ExpiresAt))
		if err != nil {
			return told, err
		}
		told += fresh
	}
	return told, nil
}

// tellOnce queues an event with the notice that says so. It returns 1, or 0 where it
// was told of already.
func (s *Store) tellOnce(ctx context.Context, kind, subject string, e occurrence, end time.Time) (fresh int, err error) {
	err = s.Mutate(ctx, Actor{Name: "system"}, func(ctx context.Context, tx *Tx) error {
		fresh = 0
		is, err := tx.notice(ctx, kind, subject, end)
		if err != nil || !is {
			return err
		}
		fresh = 1
		return tx.enqueue(ctx, e)
	})
	return fresh, err
}

// notice writes that an end is told of; false: it was already.
func (t *Tx) notice(ctx context.Context, kind, subject string, end time.Time) (bool, error) {
	n, err := t.q.InsertExpiryNotice(ctx, kind, subject, micros(end))
	if err != nil {
		return false, t.fail("note an end", err)
	}
	return n == 1, nil
}

// PurgeNotices deletes at most limit notices of ends that are long past, and says how many.
func (s *Store) PurgeNotices(ctx context.Context, now time.Time, limit int) (n int64, err error) {
	if err := s.writable(); err != nil {
		return 0, err
	}
	err = s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		n, err = gen.New(tx).PurgeExpiryNotices(ctx, micros(now.Add(-2*noticeKept)), rowLimit(limit))
		return err
	})
	return n, s.fail("purge notices of ends", err)
}

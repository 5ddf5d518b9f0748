package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// Password is the stored hash of a user's password.
type Password struct {
	UserID string
	// Hash is a PHC string or an imported hash, as package password reads it.
	Hash string
	// Class is its scheme and cost.
	Class     string
	ChangedAt time.Time
}

// Password reads the hash of a user's password; none is [keystile.ErrNotFound].
func (r *reads) Password(ctx context.Context, userID string) (Password, error) {
	row, err := r.q.GetPassword(ctx, userID)
	if err != nil {
		return Password{}, r.fail("read the password hash of user "+clip(userID), err)
	}
	return Password{UserID: row.UserID, Hash: row.Hash, Class: row.Class, ChangedAt: timeOf(row.ChangedAt)}, nil
}

// PutPassword sets the hash of a user's password. It ends no session: see [Tx.RevokeSessionsOfUser]. Pending
// challenges, which were opened with the old one, and reset links end.
func (t *Tx) PutPassword(ctx context.Context, p Password) error {
	const op = "set a password"
	u, err := t.User(ctx, p.UserID)
	if err != nil {
		return err
	}
	if err := checkTexts(text{"password_hash", p.Hash}, text{"password_hash", p.Class}); err != nil {
		return err
	}
	if _, err := t.LockUser(ctx, p.UserID); err != nil {
		return err
	}
	if err := errors.Join(
		t.q.PutPassword(ctx, p.UserID, p.Hash, p.Class, micros(t.now)),
		t.q.DeleteChallengesOfUser(ctx, p.UserID),
		t.q.ExpirePasswordResets(ctx, micros(t.now), p.UserID),
	); err != nil {
		return t.fail(op, err)
	}
	t.Announce(keystile.ChangeUser, u.ID)
	return t.Record(ctx, u.OrganizationID, "user.set_password", "user:"+u.ID, map[string]any{})
}

// DeletePassword leaves a user without a password.
func (t *Tx) DeletePassword(ctx context.Context, userID string) error {
	u, err := t.User(ctx, userID)
	if err != nil {
		return err
	}
	n, err := t.q.DeletePassword(ctx, userID)
	if err != nil || n == 0 {
		return t.fail("delete a password", err)
	}
	t.Announce(keystile.ChangeUser, u.ID)
	return t.Record(ctx, u.OrganizationID, "user.delete_password", "user:"+u.ID, map[string]any{})
}

// UpgradePassword replaces a hash by one of the same password if it is still there. It writes no audit
// event: the password is what it was.
func (t *Tx) UpgradePassword(ctx context.Context, userID, from, to, class string) error {
	return t.fail("upgrade a password hash", t.q.UpgradePassword(ctx, to, class, userID, from))
}

// PasswordClasses lists the schemes and costs in use, each with one hash of it, at most 100.
func (s *Store) PasswordClasses(ctx context.Context) (map[string]string, error) {
	rows, err := s.q.ListPasswordClasses(ctx)
	if err != nil {
		return nil, s.fail("list the schemes of passwords", err)
	}
	classes := make(map[string]string, len(rows))
	for _, row := range rows {
		classes[row.Class] = row.Example
	}
	return classes, nil
}

// PasswordReset is a reset link that was mailed: a digest of its token.
type PasswordReset struct {
	Digest    [32]byte
	PepperID  string
	UserID    string
	ExpiresAt time.Time
}

// CreatePasswordReset adds a reset link, unless most were made for the user since a time: then it says false.
// Older links stay good until they expire or one is used.
func (t *Tx) CreatePasswordReset(ctx context.Context, p PasswordReset, since time.Time, most int64) (bool, error) {
	const op = "make a reset link"
	u, err := t.User(ctx, p.UserID) // locks: two requests at once are counted one after the other
	if err != nil {
		return false, err
	}
	n, err := t.q.CountPasswordResets(ctx, p.UserID, micros(since))
	if err != nil || n >= most {
		return false, t.fail(op, err)
	}
	if err := t.q.InsertPasswordReset(ctx, gen.InsertPasswordResetParams{
		Digest: p.Digest[:], PepperID: p.PepperID, UserID: p.UserID, CreatedAt: micros(t.now), ExpiresAt: micros(p.ExpiresAt),
	}); err != nil {
		return false, t.fail(op, err)
	}
	return true, t.Record(ctx, u.OrganizationID, "user.request_reset", "user:"+u.ID, map[string]any{})
}

// FindPasswordReset finds the user of a live reset link by 1 to 3 digests; none is [keystile.ErrNotFound].
func (r *reads) FindPasswordReset(ctx context.Context, digests [][32]byte, now time.Time) (digest [32]byte, userID string, err error) {
	args, err := digestArguments(digests)
	if err != nil {
		return digest, "", err
	}
	row, err := r.q.GetPasswordReset(ctx, args[0], args[1], args[2], micros(now))
	if err != nil {
		return digest, "", r.fail("look up a reset link", err)
	}
	digest, err = digestOf(row.Digest)
	return digest, row.UserID, err
}

// TakePasswordReset spends a reset link. Of any number of calls one says true.
func (t *Tx) TakePasswordReset(ctx context.Context, digest [32]byte, now time.Time) (bool, error) {
	n, err := t.q.TakePasswordReset(ctx, micros(now), digest[:])
	return n == 1, t.fail("spend a reset link", err)
}

// purge deletes in a transaction of its own.
func (s *Store) purge(ctx context.Context, op string, fn func(context.Context, *gen.Queries) (int64, error)) (n int64, err error) {
	if err := s.writable(); err != nil {
		return 0, err
	}
	err = s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		n, err = fn(ctx, gen.New(tx))
		return err
	})
	if err != nil {
		return 0, s.fail(op, err)
	}
	return n, nil
}

// LoginPurge says what [Store.PurgeLogins] may delete.
type LoginPurge struct {
	// Over: sessions, challenges, reset links and failure counters that were over by then.
	Over time.Time
	// Networks that nobody signed in from since.
	Networks time.Time
	// Limit is how many rows of each table at most.
	Limit int
}

// PurgeLogins deletes what is over, a bounded number of rows of each table, each in a transaction of its own,
// and says how many of the table it deleted most of.
func (s *Store) PurgeLogins(ctx context.Context, p LoginPurge) (most int64, err error) {
	limit := rowLimit(p.Limit)
	for _, table := range []func(context.Context, *gen.Queries) (int64, error){
		func(ctx context.Context, q *gen.Queries) (int64, error) {
			return q.PurgeSessions(ctx, micros(p.Over), limit)
		},
		func(ctx context.Context, q *gen.Queries) (int64, error) {
			return q.PurgeChallenges(ctx, micros(p.Over), limit)
		},
		func(ctx context.Context, q *gen.Queries) (int64, error) {
			return q.PurgeLoginFailures(ctx, micros(p.Over), limit)
		},
		func(ctx context.Context, q *gen.Queries) (int64, error) {
			// An hour longer: they count for the limit of an account.
			return q.PurgePasswordResets(ctx, micros(p.Over.Add(-time.Hour)), limit)
		},
		func(ctx context.Context, q *gen.Queries) (int64, error) {
			return q.PurgeLoginNetworks(ctx, micros(p.Networks), limit)
		},
	} {
		n, err := s.purge(ctx, "purge what is over", table)
		if err != nil {
			return most, err
		}
		most = max(most, n)
	}
	return most, nil
}

package store

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// ChallengePlace is the place that what a challenge keeps is sealed for: column is "secret" or "answer".
func ChallengePlace(digest [32]byte, column string) string {
	return "challenges/" + hexOf(digest) + "/" + column
}

// Challenge reads a challenge by 1 to 3 digests of its token; none is [keystile.ErrNotFound].
func (r *reads) Challenge(ctx context.Context, digests [][32]byte) (keystile.Challenge, error) {
	args, err := digestArguments(digests)
	if err != nil {
		return keystile.Challenge{}, err
	}
	row, err := r.q.GetChallenge(ctx, args[0], args[1], args[2])
	if err != nil {
		return keystile.Challenge{}, r.fail("read a challenge", err)
	}
	return challengeOf(row)
}

// Challenge reads a challenge and keeps others from it until the transaction ends: of racing answers
// each sees what the one before it did.
func (t *Tx) Challenge(ctx context.Context, digests [][32]byte) (keystile.Challenge, error) {
	args, err := digestArguments(digests)
	if err != nil {
		return keystile.Challenge{}, err
	}
	row, err := t.q.LockChallenge(ctx, args[0], args[1], args[2])
	if err != nil {
		return keystile.Challenge{}, t.fail("read a challenge", err)
	}
	return challengeOf(row)
}

// CreateChallenge adds a challenge. A digest that is there is [keystile.ErrConflict].
func (t *Tx) CreateChallenge(ctx context.Context, c keystile.Challenge) error {
	n, err := t.q.InsertChallenge(ctx, gen.InsertChallengeParams(challengeRow(c)))
	if err != nil {
		return t.fail("create a challenge", err)
	}
	if n == 0 {
		return conflict("the challenge exists already")
	}
	return nil
}

// SaveChallenge writes what may change of a challenge: methods, secret, failures, expiry, what it waits for and its answer.
func (t *Tx) SaveChallenge(ctx context.Context, c keystile.Challenge) error {
	row := challengeRow(c)
	return t.fail("save a challenge", t.q.SaveChallenge(ctx, gen.SaveChallengeParams{
		Digest: row.Digest, Methods: row.Methods, Sealed: row.Sealed, Failures: row.Failures, ChangeDue: row.ChangeDue,
		ExpiresAt: row.ExpiresAt, ConsumedAt: row.ConsumedAt, AnswerKey: row.AnswerKey, Answer: row.Answer,
	}))
}

// ExpireEnrolments ends the pending challenges of a user that offer a secret, but one (rulings R18).
func (t *Tx) ExpireEnrolments(ctx context.Context, userID string, keep [32]byte, now time.Time) error {
	return t.fail("end pending enrolments", t.q.ExpireEnrolments(ctx, micros(now), []byte{}, userID, keep[:]))
}

func challengeRow(c keystile.Challenge) gen.Challenge {
	return gen.Challenge{
		Digest: c.Digest[:], PepperID: c.PepperID, UserID: c.UserID, Door: string(c.Door), Methods: joinList(c.Methods), ProviderName: c.ProviderName,
		Sealed: append([]byte{}, c.Sealed...), Failures: int64(c.Failures), ChangeDue: c.ChangeDue,
		ClientAddr: clean(c.ClientAddr), UserAgent: clean(c.UserAgent), CreatedAt: micros(c.CreatedAt), ExpiresAt: micros(c.ExpiresAt),
		ConsumedAt: nullMicros(c.ConsumedAt), AnswerKey: append([]byte{}, c.AnswerKey[:]...), Answer: append([]byte{}, c.Answer...),
	}
}

func challengeOf(row gen.Challenge) (c keystile.Challenge, err error) {
	c = keystile.Challenge{
		PepperID: row.PepperID, UserID: row.UserID, Door: keystile.Door(row.Door), Methods: splitList[keystile.AuthMethod](row.Methods),
		ProviderName: row.ProviderName, Sealed: row.Sealed, Failures: int(row.Failures), ChangeDue: row.ChangeDue,
		ClientAddr: row.ClientAddr, UserAgent: row.UserAgent, CreatedAt: timeOf(row.CreatedAt), ExpiresAt: timeOf(row.ExpiresAt),
		ConsumedAt: nullTimeOf(row.ConsumedAt), Answer: row.Answer,
	}
	if c.Digest, err = digestOf(row.Digest); err != nil {
		return keystile.Challenge{}, err
	}
	c.AnswerKey, err = digestOf(row.AnswerKey)
	return c, err
}

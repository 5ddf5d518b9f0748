package store

import (
	"context"
	"encoding/hex"
	"time"

	"keystile.dev/keystile/internal/store/gen"
)

// LoginFailures counts failed attempts of one kind: at an account from a network, from an address.
type LoginFailures struct {
	// Counter is a digest of what is counted.
	Counter  [32]byte
	Failures int64
	// NotBefore is when the next attempt may be made.
	NotBefore time.Time
	// QuietUntil is when the failures are forgotten if none is added.
	QuietUntil time.Time
}

// LoginFailures reads 1 to 3 counters with one statement; one that is not there is left out.
func (r *reads) LoginFailures(ctx context.Context, counters [][32]byte) ([]LoginFailures, error) {
	args, err := digestArguments(counters)
	if err != nil {
		return nil, err
	}
	rows, err := r.q.ListLoginFailures(ctx, args[0], args[1], args[2])
	if err != nil {
		return nil, r.fail("read counts of failures", err)
	}
	return mapRows(rows, loginFailuresOf, r.fail, "read counts of failures")
}

func loginFailuresOf(row gen.LoginFailure) (LoginFailures, error) {
	counter, err := digestOf(row.Counter)
	return LoginFailures{Counter: counter, Failures: row.Failures, NotBefore: timeOf(row.NotBefore), QuietUntil: timeOf(row.QuietUntil)}, err
}

// LockLoginFailures reads a counter and keeps others from it until the transaction ends. Counters must
// be read in the order of their bytes, so that two transactions do not wait for each other.
func (t *Tx) LockLoginFailures(ctx context.Context, counter [32]byte) (LoginFailures, error) {
	row, err := t.q.LockLoginFailures(ctx, counter[:], micros(t.now))
	if err != nil {
		return LoginFailures{}, t.fail("read a count of failures", err)
	}
	return loginFailuresOf(row)
}

// SaveLoginFailures writes a counter that was read in the same transaction.
func (t *Tx) SaveLoginFailures(ctx context.Context, f LoginFailures) error {
	return t.fail("save a count of failures", t.q.SaveLoginFailures(ctx, f.Counter[:], f.Failures, micros(f.NotBefore), micros(f.QuietUntil)))
}

// ForgiveLoginFailure takes one failure back: the attempt was right. brought is the delay that the failure
// brought, and earlier what it was before.
func (t *Tx) ForgiveLoginFailure(ctx context.Context, counter [32]byte, brought, earlier time.Time) error {
	return t.fail("take back a failure", t.q.ForgiveLoginFailure(ctx, micros(brought), micros(earlier), counter[:]))
}

// ForgetLoginFailures sets a counter to nothing.
func (t *Tx) ForgetLoginFailures(ctx context.Context, counter [32]byte) error {
	return t.fail("forget failures", t.q.DeleteLoginFailures(ctx, counter[:]))
}

// NoteLoginNetwork notes that a user signed in from a network.
func (t *Tx) NoteLoginNetwork(ctx context.Context, userID, network string, at time.Time) error {
	return t.fail("note where a user signs in from", t.q.NoteLoginNetwork(ctx, userID, network, micros(at)))
}

// LoginNetworkKnown says whether a user signed in from a network since a time.
func (r *reads) LoginNetworkKnown(ctx context.Context, userID, network string, since time.Time) (bool, error) {
	known, err := r.q.LoginNetworkKnown(ctx, userID, network, micros(since))
	return known, r.fail("look up where a user signs in from", err)
}

func hexOf(digest [32]byte) string { return hex.EncodeToString(digest[:]) }

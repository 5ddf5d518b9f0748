package store

import (
	"context"
	"errors"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// CreateOAuthRequest keeps an authorization request that a client pushed. The row is
// its record.
func (s *Store) CreateOAuthRequest(ctx context.Context, r keystile.OAuthRequest) error {
	if err := s.writable(); err != nil {
		return err
	}
	return s.fail("keep an authorization request", gen.New(s.writer).InsertOAuthRequest(ctx, gen.InsertOAuthRequestParams{
		Digest: r.Digest[:], PepperID: r.PepperID, ClientID: r.ClientID, Parameters: clean(r.Parameters), CreatedAt: micros(r.CreatedAt), ExpiresAt: micros(r.ExpiresAt),
	}))
}

// FindOAuthRequest finds the pushed request with one of 1 to 3 digests, an expired one
// too. None is [keystile.ErrNotFound].
func (s *Store) FindOAuthRequest(ctx context.Context, digests [][32]byte) (keystile.OAuthRequest, error) {
	const op = "look up an authorization request"
	args, err := digestArguments(digests)
	if err != nil {
		return keystile.OAuthRequest{}, err
	}
	rows, err := s.lookups.FindOAuthRequests(s.lookupContext(ctx), args[0], args[1], args[2])
	if err != nil {
		return keystile.OAuthRequest{}, s.fail(op, err)
	}
	if len(rows) == 0 {
		return keystile.OAuthRequest{}, errUnknownDigest
	}
	row := rows[0]
	digest, err := digestOf(row.Digest)
	return keystile.OAuthRequest{
		Digest: digest, PepperID: row.PepperID, ClientID: row.ClientID, Parameters: row.Parameters, CreatedAt: timeOf(row.CreatedAt), ExpiresAt: timeOf(row.ExpiresAt),
	}, s.fail(op, err)
}

// SpendOAuthRequest removes a pushed request and says whether it was there: of any
// number of calls one is true.
func (s *Store) SpendOAuthRequest(ctx context.Context, digest [32]byte) (bool, error) {
	if err := s.writable(); err != nil {
		return false, err
	}
	n, err := gen.New(s.writer).DeleteOAuthRequest(ctx, digest[:])
	return n == 1, s.fail("spend an authorization request", err)
}

// CreateOAuthDevice keeps a device that waits for a user. A user code that is in use is
// [keystile.ErrConflict].
func (s *Store) CreateOAuthDevice(ctx context.Context, d keystile.OAuthDevice) error {
	if err := s.writable(); err != nil {
		return err
	}
	n, err := gen.New(s.writer).InsertOAuthDevice(ctx, gen.InsertOAuthDeviceParams{
		Digest: d.Digest[:], PepperID: d.PepperID, UserCode: d.UserCode, ClientID: d.ClientID, Scopes: joinList(d.Scopes), Audiences: joinList(d.Audiences),
		Thumbprint: d.Thumbprint, PollInterval: int64(d.Interval / time.Second), CreatedAt: micros(d.CreatedAt), ExpiresAt: micros(d.ExpiresAt),
	})
	if err == nil && n == 0 {
		return conflict("the user code is in use")
	}
	return s.fail("keep a device", err)
}

// FindOAuthDevice finds the device with one of 1 to 3 digests of its code. None is
// [keystile.ErrNotFound].
func (s *Store) FindOAuthDevice(ctx context.Context, digests [][32]byte) (keystile.OAuthDevice, error) {
	args, err := digestArguments(digests)
	if err != nil {
		return keystile.OAuthDevice{}, err
	}
	rows, err := s.lookups.FindOAuthDevices(s.lookupContext(ctx), args[0], args[1], args[2])
	if err != nil {
		return keystile.OAuthDevice{}, s.fail("look up a device", err)
	}
	if len(rows) == 0 {
		return keystile.OAuthDevice{}, errUnknownDigest
	}
	return s.oauthDeviceOf(rows[0])
}

// OAuthDeviceByUserCode finds the device that shows a user code. None is
// [keystile.ErrNotFound].
func (s *Store) OAuthDeviceByUserCode(ctx context.Context, userCode string) (keystile.OAuthDevice, error) {
	row, err := s.q.GetOAuthDeviceByUserCode(ctx, clean(userCode))
	if err != nil {
		return keystile.OAuthDevice{}, s.fail("look up a device", err)
	}
	return s.oauthDeviceOf(row)
}

// DecideOAuthDevice writes what a user decided about a device and says whether it did:
// false means that it was decided before, has ended or is not there.
func (s *Store) DecideOAuthDevice(ctx context.Context, d keystile.OAuthDevice, now time.Time) (bool, error) {
	if err := s.writable(); err != nil {
		return false, err
	}
	n, err := gen.New(s.writer).DecideOAuthDevice(ctx, gen.DecideOAuthDeviceParams{
		UserCode: d.UserCode, State: string(d.State), UserID: d.UserID, SessionID: d.SessionID, Methods: joinList(d.Methods),
		AuthenticatedAt: micros(d.AuthenticatedAt), Scopes: joinList(d.Scopes), Now: micros(now),
	})
	return n == 1, s.fail("decide about a device", err)
}

// PollOAuthDevice notes when a device asked last, and how long it has to wait.
func (s *Store) PollOAuthDevice(ctx context.Context, d keystile.OAuthDevice) error {
	if err := s.writable(); err != nil {
		return err
	}
	return s.fail("note that a device asked", gen.New(s.writer).PollOAuthDevice(ctx, micros(d.PolledAt), int64(d.Interval/time.Second), d.Digest[:]))
}

func (s *Store) oauthDeviceOf(row gen.OauthDevice) (keystile.OAuthDevice, error) {
	digest, err := digestOf(row.Digest)
	return keystile.OAuthDevice{
		Digest: digest, PepperID: row.PepperID, UserCode: row.UserCode, ClientID: row.ClientID, Scopes: splitList[keystile.Scope](row.Scopes),
		Audiences: splitList[string](row.Audiences), Thumbprint: row.Thumbprint, State: keystile.DeviceState(row.State), UserID: row.UserID, SessionID: row.SessionID,
		Methods: splitList[keystile.AuthMethod](row.Methods), AuthenticatedAt: timeOf(row.AuthenticatedAt), PolledAt: timeOf(row.PolledAt),
		Interval: time.Duration(row.PollInterval) * time.Second, CreatedAt: timeOf(row.CreatedAt), ExpiresAt: timeOf(row.ExpiresAt),
	}, s.fail("read a device", err)
}

// RegisteredOAuthClients is how many clients registered themselves.
func (r *reads) RegisteredOAuthClients(ctx context.Context) (int64, error) {
	n, err := r.q.CountRegisteredOAuthClients(ctx)
	return n, r.fail("count clients", err)
}

// TouchOAuthClient notes the use of a client that registered itself, where the last one
// noted is older than every. It writes no audit event and no change.
func (s *Store) TouchOAuthClient(ctx context.Context, id string, at time.Time, every time.Duration) error {
	if err := s.writable(); err != nil {
		return err
	}
	return s.fail("note the use of a client", gen.New(s.writer).TouchOAuthClient(ctx, nullMicros(at), id, nullMicros(at.Add(-every))))
}

// PurgeOAuthClients deletes at most limit clients that registered themselves and were
// last used before an instant, and says how many.
func (s *Store) PurgeOAuthClients(ctx context.Context, before time.Time, limit int) (int64, error) {
	ids, err := s.q.ListUnusedOAuthClients(ctx, nullMicros(before), rowLimit(limit))
	if err != nil {
		return 0, s.fail("list unused clients", err)
	}
	for _, id := range ids {
		err := s.Mutate(ctx, Actor{Name: "system"}, func(ctx context.Context, tx *Tx) error { return tx.DeleteOAuthClient(ctx, id) })
		if err != nil && !errors.Is(err, keystile.ErrNotFound) {
			return 0, err
		}
	}
	return int64(len(ids)), nil
}

// spendDevice spends the yes of a device.
func spendDevice(ctx context.Context, q *gen.Queries, digest []byte, now time.Time) (bool, error) {
	n, err := q.ConsumeOAuthDevice(ctx, digest, micros(now))
	return n == 1, err
}

package store

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// Factors lists the TOTP factor and the passkeys of a user, by id.
func (r *reads) Factors(ctx context.Context, userID string) ([]keystile.Factor, error) {
	rows, err := r.q.ListFactors(ctx, userID)
	if err != nil {
		return nil, r.fail("list the factors of user "+clip(userID), err)
	}
	factors := make([]keystile.Factor, len(rows))
	for i, row := range rows {
		factors[i] = factorOf(row)
	}
	return factors, nil
}

// FindPasskey finds the passkey with a credential id; none is [keystile.ErrNotFound].
func (r *reads) FindPasskey(ctx context.Context, credentialID []byte) (keystile.Factor, error) {
	row, err := r.q.FindPasskey(ctx, credentialID)
	if err != nil {
		return keystile.Factor{}, r.fail("look up a passkey", err)
	}
	return factorOf(row), nil
}

// CreateFactor enrols a factor. A second TOTP factor of a user, or a passkey that anybody
// has, is [keystile.ErrConflict].
func (t *Tx) CreateFactor(ctx context.Context, f keystile.Factor) error {
	u, err := t.User(ctx, f.UserID)
	if err != nil {
		return err
	}
	if err := checkID("id", f.ID); err != nil {
		return err
	}
	if err := checkTexts(text{"name", f.Name}); err != nil {
		return err
	}
	if f.Kind != keystile.FactorTOTP && f.Kind != keystile.FactorPasskey || len(f.Sealed) == 0 {
		return keystile.Invalidf("kind", "use totp or passkey, with its secret sealed", "%q is not a factor that is kept so", clip(string(f.Kind)))
	}
	n, err := t.q.InsertFactor(ctx, gen.InsertFactorParams{
		ID: f.ID, UserID: f.UserID, Kind: string(f.Kind), Name: f.Name, Sealed: f.Sealed, CredentialID: f.CredentialID,
		LastStep: f.LastStep, CreatedAt: micros(t.now), LastUsedAt: nullMicros(f.LastUsedAt),
	})
	if err != nil {
		return t.fail("enrol a factor", err)
	}
	if n == 0 {
		return conflict("the factor is enrolled already")
	}
	t.Announce(keystile.ChangeUser, u.ID)
	return t.Record(ctx, u.OrganizationID, "factor.create", "user:"+u.ID, map[string]any{"factor": f.ID, "kind": string(f.Kind), "name": f.Name})
}

// AdvanceFactor accepts a step of a factor: a TOTP time step or a passkey's signature counter, which must be greater than
// every one before. Of any number of calls with one step, one says true (RFC 6238, section 5.2). sealed
// replaces the factor's secret, which a passkey's counters are part of.
func (t *Tx) AdvanceFactor(ctx context.Context, f keystile.Factor, step int64, sealed []byte) (bool, error) {
	n, err := t.q.AdvanceFactor(ctx, step, nullMicros(t.now), sealed, f.ID)
	return n == 1, t.fail("accept a factor", err)
}

// TouchFactor notes the use of a passkey that keeps no counter, and says whether it is one.
func (t *Tx) TouchFactor(ctx context.Context, f keystile.Factor, sealed []byte) (bool, error) {
	n, err := t.q.TouchFactor(ctx, nullMicros(t.now), sealed, f.ID)
	return n == 1, t.fail("note the use of a factor", err)
}

// DeleteFactor removes a factor of a user; somebody else's is [keystile.ErrNotFound].
func (t *Tx) DeleteFactor(ctx context.Context, u keystile.User, id string) error {
	row, err := t.q.GetFactor(ctx, id)
	if err != nil {
		return t.fail("read factor "+clip(id), err)
	}
	if row.UserID != u.ID {
		return notFound("factor", id)
	}
	if _, err := t.q.DeleteFactor(ctx, id); err != nil {
		return t.fail("remove factor "+id, err)
	}
	t.Announce(keystile.ChangeUser, u.ID)
	return t.Record(ctx, u.OrganizationID, "factor.delete", "user:"+u.ID, map[string]any{"factor": id, "kind": row.Kind, "name": row.Name})
}

// RenameFactor changes what a user calls a factor; somebody else's is [keystile.ErrNotFound].
func (t *Tx) RenameFactor(ctx context.Context, u keystile.User, id, name string) error {
	if err := checkTexts(text{"name", name}); err != nil {
		return err
	}
	n, err := t.q.RenameFactor(ctx, name, id, u.ID)
	if err != nil {
		return t.fail("rename factor "+clip(id), err)
	}
	if n == 0 {
		return notFound("factor", id)
	}
	return t.Record(ctx, u.OrganizationID, "factor.rename", "user:"+u.ID, map[string]any{"factor": id, "name": name})
}

// RecoveryCode is the digest of a recovery code that is left.
type RecoveryCode struct {
	Digest    [32]byte
	PepperID  string
	CreatedAt time.Time
}

// RecoveryCodes lists the recovery codes a user has left.
func (r *reads) RecoveryCodes(ctx context.Context, userID string) ([]RecoveryCode, error) {
	rows, err := r.q.ListRecoveryCodes(ctx, userID)
	if err != nil {
		return nil, r.fail("list the recovery codes of user "+clip(userID), err)
	}
	return mapRows(rows, func(row gen.RecoveryCode) (RecoveryCode, error) {
		digest, err := digestOf(row.Digest)
		return RecoveryCode{Digest: digest, PepperID: row.PepperID, CreatedAt: timeOf(row.CreatedAt)}, err
	}, r.fail, "list recovery codes")
}

// ReplaceRecoveryCodes gives a user new recovery codes and ends the old ones.
func (t *Tx) ReplaceRecoveryCodes(ctx context.Context, u keystile.User, codes []RecoveryCode) error {
	const op = "replace recovery codes"
	if _, err := t.q.DeleteRecoveryCodes(ctx, u.ID); err != nil {
		return t.fail(op, err)
	}
	for _, c := range codes {
		if err := t.q.InsertRecoveryCode(ctx, c.Digest[:], c.PepperID, u.ID, micros(t.now)); err != nil {
			return t.fail(op, err)
		}
	}
	t.Announce(keystile.ChangeUser, u.ID)
	return t.Record(ctx, u.OrganizationID, "factor.recovery_codes", "user:"+u.ID, map[string]any{"codes": len(codes)})
}

// TakeRecoveryCode spends a recovery code of a user, given by 1 to 3 digests. Of any number of calls one says true.
func (t *Tx) TakeRecoveryCode(ctx context.Context, userID string, digests [][32]byte) (bool, error) {
	args, err := digestArguments(digests)
	if err != nil {
		return false, err
	}
	n, err := t.q.TakeRecoveryCode(ctx, userID, args[0], args[1], args[2])
	return n > 0, t.fail("spend a recovery code", err)
}

func factorOf(row gen.Factor) keystile.Factor {
	return keystile.Factor{
		ID: row.ID, UserID: row.UserID, Kind: keystile.FactorKind(row.Kind), Name: row.Name, Sealed: row.Sealed, CredentialID: row.CredentialID,
		LastStep: row.LastStep, CreatedAt: timeOf(row.CreatedAt), LastUsedAt: nullTimeOf(row.LastUsedAt),
	}
}

package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
)

// ForeignSecret is the secret of a key as another system hashed it. It is replaced
// by a digest of ours when the key is first used.
type ForeignSecret struct {
	// Lookup finds it: SHA-256 of the head of the key, or the HMAC of the whole key.
	Lookup [32]byte
	KeyID  string
	// Hash is bcrypt or argon2 as text; empty: Lookup is the proof.
	Hash      string
	CreatedAt time.Time
	// ExpiresAt ends it; zero is never.
	ExpiresAt time.Time
}

// ForeignWays say how foreign secrets are looked for.
type ForeignWays struct {
	// Heads are the lengths of heads, in bytes.
	Heads []int `json:"heads,omitempty"`
	// Peppers name the other systems' peppers, which are kept as keysets.
	Peppers []string `json:"peppers,omitempty"`
}

// maxWays bounds both lists: each is a look-up for an unknown key.
const maxWays = 4

const metaForeign = ownMeta + "foreign"

// ForeignWays reads how foreign secrets are looked for; none: there are none.
func (r *reads) ForeignWays(ctx context.Context) (ForeignWays, error) {
	var ways ForeignWays
	text, err := r.Meta(ctx, metaForeign)
	if errors.Is(err, keystile.ErrNotFound) {
		return ways, nil
	}
	if err != nil {
		return ways, err
	}
	if err := json.Unmarshal([]byte(text), &ways); err != nil {
		return ways, fmt.Errorf("read how foreign secrets are looked for: %w", err)
	}
	return ways, nil
}

// AddForeignWays adds ways to look for foreign secrets.
func (t *Tx) AddForeignWays(ctx context.Context, more ForeignWays) error {
	ways, err := t.ForeignWays(ctx)
	if err != nil {
		return err
	}
	before := len(ways.Heads) + len(ways.Peppers)
	for _, head := range more.Heads {
		if !slices.Contains(ways.Heads, head) {
			ways.Heads = append(ways.Heads, head)
		}
	}
	for _, pepper := range more.Peppers {
		if !slices.Contains(ways.Peppers, pepper) {
			ways.Peppers = append(ways.Peppers, pepper)
		}
	}
	if len(ways.Heads) > maxWays || len(ways.Peppers) > maxWays {
		return keystile.Invalidf("prefix", "give prefixes of few lengths", "keys are looked for by at most %d lengths of prefix and %d peppers", maxWays, maxWays)
	}
	if before == len(ways.Heads)+len(ways.Peppers) {
		return nil
	}
	text, err := json.Marshal(ways)
	if err != nil {
		return fmt.Errorf("write how foreign secrets are looked for: %w", err)
	}
	if err := t.q.PutMeta(ctx, metaForeign, string(text)); err != nil {
		return t.fail("note how foreign secrets are looked for", err)
	}
	return nil
}

// ForeignSecret reads the foreign secret with a look-up.
func (s *Store) ForeignSecret(ctx context.Context, lookup [32]byte) (ForeignSecret, error) {
	row, err := s.lookups.GetForeignSecret(ctx, lookup[:])
	if errors.Is(err, sql.ErrNoRows) {
		return ForeignSecret{}, errUnknownDigest
	}
	if err != nil {
		return ForeignSecret{}, s.fail("look up a foreign secret", err)
	}
	return ForeignSecret{
		Lookup: lookup, KeyID: row.KeyID, Hash: row.Hash, CreatedAt: timeOf(row.CreatedAt), ExpiresAt: nullTimeOf(row.ExpiresAt),
	}, nil
}

// AdoptForeignSecret replaces a foreign secret by a digest of ours. One that is
// gone, because another server was faster, is [keystile.ErrNotFound].
func (t *Tx) AdoptForeignSecret(ctx context.Context, foreign ForeignSecret, secret keystile.APIKeySecret, hint string) error {
	k, err := t.APIKey(ctx, foreign.KeyID)
	if err != nil {
		return err
	}
	n, err := t.q.DeleteForeignSecret(ctx, foreign.Lookup[:])
	if err != nil {
		return t.fail("adopt a secret of API key "+k.ID, err)
	}
	if n == 0 {
		return errUnknownDigest
	}
	secret.KeyID, secret.CreatedAt, secret.ExpiresAt = k.ID, foreign.CreatedAt, foreign.ExpiresAt
	if err := t.insertSecret(ctx, secret); err != nil {
		return err
	}
	if k.Hint == "" {
		if err := t.q.SetAPIKeyHint(ctx, k.ID, hint, micros(t.now)); err != nil {
			return t.fail("adopt a secret of API key "+k.ID, err)
		}
	}
	t.Announce(keystile.ChangeKey, k.ID)
	return t.Record(ctx, k.OrganizationID, "api_key.adopt", "api_key:"+k.ID, map[string]any{"hint": hint})
}

const foreignColumns = "foreign_secrets (lookup, key_id, hash, created_at, expires_at)"

// insertForeign inserts keys whose secrets another system hashed.
func (j *importer) insertForeign(ctx context.Context, t *Tx, rows []*ImportRow, state *importState) error {
	if len(rows) == 0 {
		return nil
	}
	c := importCells(t, rows)
	var ways ForeignWays
	for i, row := range rows {
		f := row.Foreign
		if f.Head > 0 && !slices.Contains(ways.Heads, f.Head) {
			ways.Heads = append(ways.Heads, f.Head)
		}
		// In place of the secret that is not known.
		c.secrets[i] = []any{f.Lookup[:], row.Key.ID, f.Hash, c.secrets[i][3], nil}
	}
	if err := t.AddForeignWays(ctx, ways); err != nil {
		return err
	}
	return t.insertLive(ctx, rows, c, foreignColumns, state)
}

// ForeignRow is the secret of a row that another system hashed.
type ForeignRow struct {
	Lookup [32]byte
	// Hash is bcrypt or argon2 as text; empty: Lookup is an HMAC of the whole key.
	Hash string
	// Head is the length of the head that Lookup was made of; 0 with an HMAC.
	Head int
}

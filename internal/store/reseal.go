package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	keystile "keystile.dev/keystile"
)

// sealedColumn is a column whose values are sealed.
type sealedColumn struct {
	table, key, column string
	// digest: the table's key is bytes, in hexadecimal where it names a place.
	digest bool
	// place is what the value in the row with this key is sealed for.
	place func(key string) string
}

// keyed is a place "table/key/column".
func keyed(table, column string) func(string) string {
	return func(key string) string { return table + "/" + key + "/" + column }
}

// sealedColumns are all that values are sealed in, apart from the sealing keyset
// itself. A test keeps every binary column of the schema either here or out.
var sealedColumns = []sealedColumn{
	{"peppers", "id", "sealed", false, keyed("peppers", "sealed")},
	{"keysets", "name", "sealed", false, keyed("keysets", "sealed")},
	{"signing_keys", "id", "sealed_secret", false, keystile.SigningSecretPlace},
	{"identity_providers", "name", "sealed_secret", false, keystile.ProviderSecretPlace},
	{"identity_providers", "name", "sealed_client_secret", false, keystile.ProviderClientSecretPlace},
	{"factors", "id", "sealed", false, keystile.FactorPlace},
	{"auth_tokens", "user_id", "sealed", false, AuthTokenPlace},
	{"webhooks", "id", "sealed_header", false, keystile.WebhookHeaderPlace},
	{"webhooks", "id", "sealed_secret", false, keystile.WebhookSecretPlace},
	{"webhooks", "id", "sealed_previous", false, keystile.WebhookSecretPlace},
	{"challenges", "digest", "sealed", true, keyed("challenges", "secret")},
	{"challenges", "digest", "answer", true, keyed("challenges", "answer")},
	{"oauth_refresh_tokens", "digest", "answer", true, keyed("oauth_refresh_tokens", "answer")},
	{"idempotent_requests", "id", "answer", true, keyed("idempotent_requests", "answer")},
	{"idempotent_requests", "id", "bare", true, keyed("idempotent_requests", "answer")},
}

// sealingKeysets are wrapped by a master key and not sealed.
var sealingKeysets = []string{"sealing", "sealing.before"}

// Resealing says how values are sealed again.
type Resealing struct {
	// Head begins what is sealed under the key in use. Whatever begins otherwise is sealed again.
	Head []byte
	// Again opens a value and seals it anew for the same place.
	Again func(sealed []byte, place string) ([]byte, error)
	// Batch is how many values one transaction changes; 0 is 200.
	Batch int
	// Progress is told after each batch how many values were sealed again so far; nil: nobody.
	Progress func(int64)
}

const defaultResealBatch = 200

// ResealReport says what became of the values.
type ResealReport struct {
	// Resealed is how many values were sealed again, by table.
	Resealed map[string]int64
	// Broken are values that do not open, as "table KEY column"; they were left as they are.
	Broken []string
}

// maxBroken is how many values that do not open are named.
const maxBroken = 20

// Reseal seals every value again that is not under the key in use. It may run
// beside servers and be killed at any moment: each batch is one transaction with
// its audit event, a value that somebody else changes meanwhile is left to them,
// and running it again goes on with what is left. When it returns, only values that
// others sealed meanwhile under an older key are left: see [Store.SealedBefore].
func (s *Store) Reseal(ctx context.Context, a Actor, r Resealing) (ResealReport, error) {
	if r.Batch <= 0 {
		r.Batch = defaultResealBatch
	}
	report := ResealReport{Resealed: map[string]int64{}}
	for _, c := range sealedColumns {
		if err := s.resealColumn(ctx, a, c, r, &report); err != nil {
			return report, s.fail("seal the values of "+c.table+" again", err)
		}
	}
	return report, nil
}

// sealedValue is one value as it was read.
type sealedValue struct {
	// key is the row's, as the database has it: text or bytes.
	key           any
	sealed, again []byte
}

// text is the key as places have it.
func (v sealedValue) text() string {
	if raw, ok := v.key.([]byte); ok {
		return hex.EncodeToString(raw)
	}
	return fmt.Sprint(v.key)
}

func (s *Store) resealColumn(ctx context.Context, a Actor, c sealedColumn, r Resealing, report *ResealReport) error {
	after := any("")
	if c.digest {
		after = []byte{}
	}
	for {
		values, err := s.sealedBefore(ctx, s.reader, c, r, after)
		if err != nil || len(values) == 0 {
			return err
		}
		after = values[len(values)-1].key
		fresh := values[:0:0]
		for _, v := range values {
			if v.again, err = r.Again(v.sealed, c.place(v.text())); err != nil {
				report.broken(c, v)
				continue
			}
			fresh = append(fresh, v)
		}
		if err := s.putResealed(ctx, a, c, fresh, report); err != nil {
			return err
		}
		if r.Progress != nil {
			r.Progress(report.total())
		}
	}
}

func (r *ResealReport) broken(c sealedColumn, v sealedValue) {
	if len(r.Broken) < maxBroken {
		r.Broken = append(r.Broken, c.table+" "+clip(v.text())+" "+c.column)
	}
}

func (r *ResealReport) total() (n int64) {
	for _, count := range r.Resealed {
		n += count
	}
	return n
}

// whereBefore chooses the rows whose value is not under the key in use.
func (c sealedColumn) whereBefore() string {
	where := " WHERE length(" + c.column + ") > 0 AND substr(" + c.column + ", 1, $1) <> $2"
	if c.table == "keysets" {
		where += " AND name NOT IN ('" + sealingKeysets[0] + "', '" + sealingKeysets[1] + "')"
	}
	return where
}

func (s *Store) sealedBefore(ctx context.Context, q searcher, c sealedColumn, r Resealing, after any) (values []sealedValue, err error) {
	rows, err := q.QueryContext(ctx, "SELECT "+c.key+", "+c.column+" FROM "+c.table+c.whereBefore()+
		" AND "+c.key+" > $3 ORDER BY "+c.key+" LIMIT $4", len(r.Head), r.Head, after, r.Batch)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var v sealedValue
		if err := rows.Scan(&v.key, &v.sealed); err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, rows.Err()
}

// putResealed writes a batch. A value that is not as it was read any more stays as
// it is now.
func (s *Store) putResealed(ctx context.Context, a Actor, c sealedColumn, values []sealedValue, report *ResealReport) error {
	if len(values) == 0 {
		return nil
	}
	var done int64
	err := s.Mutate(ctx, a, func(ctx context.Context, tx *Tx) error {
		done = 0
		if _, _, err := tx.lock(ctx, ""); err != nil {
			return err
		}
		for _, v := range values {
			result, err := tx.tx.ExecContext(ctx, "UPDATE "+c.table+" SET "+c.column+" = $1 WHERE "+c.key+" = $2 AND "+c.column+" = $3", v.again, v.key, v.sealed) //nolint:gosec // names of this file
			if err != nil {
				return tx.fail("seal again", err)
			}
			n, err := result.RowsAffected()
			if err != nil {
				return tx.fail("seal again", err)
			}
			done += n
		}
		if done == 0 {
			return nil
		}
		return tx.Record(ctx, "", "master_key.reseal", "table:"+c.table, map[string]any{"column": c.column, "values": done})
	})
	if err == nil && done > 0 {
		report.Resealed[c.table] += done
	}
	return err
}

// SealedBefore counts the values that are not under the key in use, whose values
// begin with head, by table. It reads every sealed value.
func (s *Store) SealedBefore(ctx context.Context, head []byte) (map[string]int64, error) {
	left, err := sealedLeft(ctx, s.reader, head)
	return left, s.fail("count the values under older keys", err)
}

// SealedBefore is the store's, inside a transaction that nobody else changes
// sealed keysets beside.
func (t *Tx) SealedBefore(ctx context.Context, head []byte) (map[string]int64, error) {
	if _, _, err := t.lock(ctx, ""); err != nil {
		return nil, err
	}
	left, err := sealedLeft(ctx, t.tx, head)
	if err != nil {
		return nil, t.fail("count the values under older keys", err)
	}
	return left, nil
}

func sealedLeft(ctx context.Context, q searcher, head []byte) (map[string]int64, error) {
	left := map[string]int64{}
	for _, c := range sealedColumns {
		n, err := count(ctx, q, "SELECT count(*) FROM "+c.table+c.whereBefore(), len(head), head)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			left[c.table] += n
		}
	}
	return left, nil
}

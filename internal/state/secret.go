package state

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/store"
)

// sum is the SHA-256 of an API key.
type sum [sha256.Size]byte

// UnmarshalText implements encoding.TextUnmarshaler: 64 hexadecimal digits.
func (s *sum) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err != nil || len(raw) != len(s) {
		return keystile.Invalidf("", "write the SHA-256 of the key as 64 hexadecimal digits", "is not a SHA-256")
	}
	*s = sum(raw)
	return nil
}

// DescribeSchema implements yamlfile.Describer.
func (*sum) DescribeSchema() map[string]any {
	return map[string]any{"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"}
}

// digest is a secret as a store keeps it: HMAC-SHA-256(pepper, SHA-256(secret)),
// written "hmac-sha256:PEPPER:HEX" or, for a secret that ends by a rotation,
// "hmac-sha256:PEPPER:HEX until 2027-01-01T00:00:00Z".
type digest struct {
	pepper string
	sum    [sha256.Size]byte
	until  time.Time
}

const (
	digestScheme = "hmac-sha256:"
	digestUntil  = " until "
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *digest) UnmarshalText(text []byte) error {
	const remedy = "write hmac-sha256:PEPPER:HEX as keystile export does"
	bad := keystile.Invalidf("", remedy, "is not a keyed digest")
	value, until, timed := strings.Cut(string(text), digestUntil)
	rest, ok := strings.CutPrefix(value, digestScheme)
	if !ok {
		return bad
	}
	pepper, digits, ok := strings.Cut(rest, ":")
	if !ok || !keystile.ValidID(pepper) {
		return bad
	}
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != len(d.sum) {
		return bad
	}
	if timed {
		if err := d.until.UnmarshalText([]byte(until)); err != nil || d.until.Year() < 1970 {
			return keystile.Invalidf("", "write the time as in RFC 3339", "the time after until cannot be read")
		}
		d.until = d.until.UTC().Truncate(time.Microsecond)
	}
	d.pepper, d.sum = pepper, [sha256.Size]byte(raw)
	return nil
}

// String is the form UnmarshalText reads.
func (d digest) String() string {
	text := digestScheme + d.pepper + ":" + hex.EncodeToString(d.sum[:])
	if !d.until.IsZero() {
		text += digestUntil + d.until.UTC().Format(time.RFC3339Nano)
	}
	return text
}

// DescribeSchema implements yamlfile.Describer.
func (*digest) DescribeSchema() map[string]any {
	return map[string]any{"type": "string", "pattern": "^hmac-sha256:[^:]+:[0-9A-Fa-f]{64}( until .+)?$"}
}

// adminTokenHead starts admin tokens, which are no API keys.
const adminTokenHead = "kadm_"

// sumOf is the SHA-256 of the key's one secret; false if the file does not have it.
func (a *apiKey) sumOf() ([sha256.Size]byte, bool) {
	switch {
	case a.Secret != "":
		return apikey.Sum(a.Secret), true
	case a.SHA256 != nil:
		return *a.SHA256, true
	}
	return [sha256.Size]byte{}, false
}

// checkSecrets checks how a key's secret is given. sums holds which key each
// secret was given for: with one secret for two keys it would be a matter of
// chance whose rights a caller gets.
func checkSecrets(c *checker, e *entry[apiKey], sums map[[sha256.Size]byte]string) {
	a := e.value
	given := 0
	for _, is := range []bool{a.Secret != "", a.SHA256 != nil, a.Digest != nil} {
		if is {
			given++
		}
	}
	if given > 1 {
		c.add(e.from, e.path("secret"), "keep one of them", "secret, sha256 and digest exclude each other")
		return
	}
	if a.Secret == "" && e.from.positions.Has(e.path("secret")) {
		c.add(e.from, e.path("secret"), "write the key, or remove the line and one is generated", "is empty")
	}
	if a.Secret != "" {
		c.adopt(e.from, e.path(""), apikey.CheckImport(a.Secret))
		if strings.HasPrefix(a.Secret.Reveal(), adminTokenHead) {
			c.add(e.from, e.path("secret"), "generate a new key", "the text looks like an admin token")
		}
	}
	if a.Hint != "" && a.Digest == nil {
		c.add(e.from, e.path("hint"), "remove it", "stands beside digest only")
	}
	checkUnique(c, e, sums)
}

// checkUnique reports a secret that was given for another key before.
func checkUnique(c *checker, e *entry[apiKey], sums map[[sha256.Size]byte]string) {
	var own [][sha256.Size]byte
	if key, ok := e.value.sumOf(); ok {
		own = append(own, key)
	}
	for _, d := range e.value.Digest {
		own = append(own, d.sum)
	}
	for _, key := range own {
		if key == [sha256.Size]byte{} {
			continue // unreadable, which the decoder reported
		}
		if first, ok := sums[key]; ok {
			c.add(e.from, e.path("secret"), "give each key a secret of its own", "is the secret of %s, too", first)
		}
		sums[key] = "API key " + e.value.ID
	}
}

// updateSecrets makes the secrets of a stored key those of the file. Without
// any in the file they stay. A secret that was rotated out, or is on its way
// out, is not brought back: a file that does not know of the rotation must not
// undo it.
func (k *apiKeys) updateSecrets(ctx context.Context, tx *store.Tx, r *run, e *entry[apiKey], d *diff) error {
	a := e.value
	want, candidates := k.wantedSecrets(r, a)
	if len(want) == 0 {
		return nil
	}
	have, err := tx.APIKeySecrets(ctx, a.ID)
	if err != nil {
		return fmt.Errorf("secrets of API key %s: %w", a.ID, err)
	}
	plan := compare(want, have, candidates, r.service.Now())
	if plan.stale {
		warn(r, e, keystile.Invalidf("secret", "take the old secret out of the file", "API key %s was rotated since, and its newer secret stays", a.ID))
		return nil
	}
	if plan.nothing() {
		return nil
	}
	d.text("secret", "old", "new")
	return k.carryOut(ctx, tx, a, plan, r.service.Now())
}

// carryOut ends and adds secrets. A store ends all secrets of a key but one, so
// where several stay and one must go, the older of those that stay, which was
// on its way out, goes with it.
func (k *apiKeys) carryOut(ctx context.Context, tx *store.Tx, a *apiKey, p plan, now time.Time) error {
	if p.end {
		if err := tx.ExpireAPIKeySecrets(ctx, a.ID, newest(p.kept), now); err != nil {
			return err
		}
	}
	for _, s := range p.missing {
		if err := tx.AddAPIKeySecret(ctx, s, k.hint(a)); err != nil {
			return err
		}
	}
	if p.endAt.IsZero() {
		return nil
	}
	return tx.ExpireAPIKeySecrets(ctx, a.ID, newest(append(p.missing, p.kept...)), p.endAt)
}

// wantedSecrets are the secrets a file gives a key, and all digests that its one
// secret may be stored under (nil where the file holds digests itself).
func (k *apiKeys) wantedSecrets(r *run, a *apiKey) (want []keystile.APIKeySecret, candidates [][sha256.Size]byte) {
	if key, ok := a.sumOf(); ok {
		made, pepper := r.service.Digester.Digest(key)
		candidates = r.service.Digester.Candidates(key, nil)
		return []keystile.APIKeySecret{{KeyID: a.ID, Digest: made, PepperID: pepper}}, candidates
	}
	for _, d := range a.Digest {
		want = append(want, keystile.APIKeySecret{KeyID: a.ID, Digest: d.sum, PepperID: d.pepper, ExpiresAt: d.until})
	}
	return want, nil
}

// plan is how the secrets of a key come to be those of a file.
type plan struct {
	// missing are to be added; kept are there, as the file has them.
	missing, kept []keystile.APIKeySecret
	// end: others are good that must end now.
	end bool
	// endAt is when the first of kept ends by the file but not by the store.
	endAt time.Time
	// stale: one of them ends sooner in the store than in the file.
	stale bool
}

func (p *plan) nothing() bool { return len(p.missing) == 0 && !p.end && p.endAt.IsZero() }

// compare sets the secrets that a file wants beside those that the store has.
// candidates are the digests that the file's one secret may be stored under.
func compare(want, have []keystile.APIKeySecret, candidates [][sha256.Size]byte, now time.Time) plan {
	var p plan
	for _, w := range want {
		stored, ok := find(have, append([][sha256.Size]byte{w.Digest}, candidates...))
		if !ok {
			p.missing = append(p.missing, w)
			continue
		}
		if later(w.ExpiresAt, stored.ExpiresAt) {
			return plan{stale: true}
		}
		if !stored.ExpiresAt.Equal(w.ExpiresAt) && (p.endAt.IsZero() || w.ExpiresAt.Before(p.endAt)) {
			p.endAt = w.ExpiresAt
		}
		p.kept = append(p.kept, w)
		p.kept[len(p.kept)-1].Digest = stored.Digest
	}
	for _, s := range liveBeside(have, p.kept, now) {
		// Beside a secret in clear, ones on their way out live on to their end.
		if candidates == nil || len(p.missing) > 0 || s.ExpiresAt.IsZero() {
			p.end = true
		}
	}
	return p
}

// later says whether a secret that ends at a outlives one that ends at b; the
// zero time is never.
func later(a, b time.Time) bool {
	return !b.IsZero() && (a.IsZero() || a.After(b))
}

func find(have []keystile.APIKeySecret, digests [][sha256.Size]byte) (keystile.APIKeySecret, bool) {
	for _, s := range have {
		for _, d := range digests {
			if s.Digest == d {
				return s, true
			}
		}
	}
	return keystile.APIKeySecret{}, false
}

// liveBeside are the secrets that are good and not among kept.
func liveBeside(have, kept []keystile.APIKeySecret, now time.Time) []keystile.APIKeySecret {
	var live []keystile.APIKeySecret
	for _, s := range have {
		if !s.ExpiresAt.IsZero() && !now.Before(s.ExpiresAt) {
			continue
		}
		if _, ok := find(kept, [][sha256.Size]byte{s.Digest}); !ok {
			live = append(live, s)
		}
	}
	return live
}

// newest is the digest of the secret that has no end; zero if there is none.
func newest(kept []keystile.APIKeySecret) [sha256.Size]byte {
	for _, s := range kept {
		if s.ExpiresAt.IsZero() {
			return s.Digest
		}
	}
	return [sha256.Size]byte{}
}

func (k *apiKeys) hint(a *apiKey) string {
	if a.Secret != "" {
		return apikey.Hint(a.Secret)
	}
	return a.Hint
}

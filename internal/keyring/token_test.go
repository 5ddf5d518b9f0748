package keyring_test

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/jws"
	"keystile.dev/keystile/internal/keyring"
)

const (
	life  = 24 * time.Hour
	ahead = keyring.PublishAhead
)

// tokens are token keys over a set that the test changes.
type tokens struct {
	*keyring.TokenKeys
	t     *testing.T
	mu    sync.Mutex
	set   *keyring.TokenSet
	now   time.Time
	fails error
	reads int
}

func newTokens(t *testing.T, configured keystile.Secret) *tokens {
	t.Helper()
	x := &tokens{t: t, set: &keyring.TokenSet{}, now: time.Unix(1_700_000_000, 0)}
	x.TokenKeys = keyring.NewTokenKeys(keyring.TokenKeysOptions{
		Load: func(context.Context) (*keyring.TokenSet, error) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.reads++
			return x.set, x.fails
		},
		Secret: configured, Now: func() time.Time { return x.now },
	})
	return x
}

// rotate rotates a line and tells of it.
func (x *tokens) rotate(algorithm keystile.SigningAlgorithm, organization string, secret keystile.Secret) keyring.TokenKey {
	x.t.Helper()
	set, key, err := x.set.Rotate(keyring.TokenRotation{
		Algorithm: algorithm, OrganizationID: organization, Secret: secret, Now: x.now, Ahead: ahead, Life: life, Random: rand.Reader,
	})
	if err != nil {
		x.t.Fatal(err)
	}
	x.change(set)
	return key
}

func (x *tokens) change(set *keyring.TokenSet) {
	x.mu.Lock()
	x.set = set
	x.mu.Unlock()
	x.Apply(keystile.Change{Kind: keystile.ChangeTokenKey})
}

func (x *tokens) sign(algorithm keystile.SigningAlgorithm) *jws.Token {
	x.t.Helper()
	return x.parsed(x.Sign(x.t.Context(), algorithm, []byte(`{"a":1}`)))
}

func (x *tokens) signShared(organization string) *jws.Token {
	x.t.Helper()
	return x.parsed(x.SignShared(x.t.Context(), organization, []byte(`{"a":1}`)))
}

func (x *tokens) parsed(text keystile.Secret, err error) *jws.Token {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
	token, err := jws.Parse(text.Reveal())
	if err != nil {
		x.t.Fatal(err)
	}
	return token
}

func (x *tokens) wants(good bool, token *jws.Token) {
	x.t.Helper()
	if got, err := x.Verify(x.t.Context(), token); err != nil || got != good {
		x.t.Errorf("verified %v (%v), want %v", got, err, good)
	}
}

func (x *tokens) wantsShared(good bool, organization string, token *jws.Token) {
	x.t.Helper()
	if got, err := x.VerifyShared(x.t.Context(), organization, token); err != nil || got != good {
		x.t.Errorf("%q: verified %v (%v), want %v", organization, got, err, good)
	}
}

func (x *tokens) published() []string {
	x.t.Helper()
	keys, err := x.Public(x.t.Context())
	if err != nil {
		x.t.Fatal(err)
	}
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

func TestAKeyIsPublishedBeforeItSignsAndVerifiesUntilItsLastTokenHasEnded(t *testing.T) {
	for _, algorithm := range []keystile.SigningAlgorithm{keystile.EdDSA, keystile.ES256, keystile.RS256} {
		t.Run(string(algorithm), func(t *testing.T) {
			x := newTokens(t, "")
			if _, err := x.Sign(t.Context(), algorithm, []byte(`{}`)); !errors.Is(err, keystile.ErrUnavailable) {
				t.Fatalf("signed without a key: %v", err)
			}
			first := x.rotate(algorithm, "", "")
			old := x.sign(algorithm)
			if old.KeyID != first.ID || old.Algorithm != algorithm || old.Type != "JWT" {
				t.Fatalf("signed as %q %q %q, want %q", old.KeyID, old.Algorithm, old.Type, first.ID)
			}
			x.now = x.now.Add(time.Hour)
			second := x.rotate(algorithm, "", "")
			if !slices.Equal(x.published(), []string{first.ID, second.ID}) {
				t.Errorf("published %v", x.published())
			}
			if k := x.sign(algorithm); k.KeyID != first.ID {
				t.Error("the new key signs before others can know it")
			}
			x.now = x.now.Add(ahead - time.Second)
			last := x.sign(algorithm)
			x.now = x.now.Add(time.Second)
			fresh := x.sign(algorithm)
			if last.KeyID != first.ID || fresh.KeyID != second.ID {
				t.Errorf("signed by %q and then %q", last.KeyID, fresh.KeyID)
			}
			for _, token := range []*jws.Token{old, last, fresh} {
				x.wants(true, token)
			}
			x.now = x.now.Add(life) // the last token of the first key ends now
			x.wants(true, last)
			x.now = x.now.Add(5 * time.Minute)
			x.wants(false, last)
			x.wants(true, fresh)
			if !slices.Equal(x.published(), []string{second.ID}) {
				t.Errorf("published %v", x.published())
			}
			x.rotate(algorithm, "", "")
			if keys := x.set.Keys(); len(keys) != 2 {
				t.Errorf("a dead key is kept: %v", keys)
			}
		})
	}
}

func TestAlgorithmsRotateByThemselves(t *testing.T) {
	x := newTokens(t, "")
	ed := x.rotate(keystile.EdDSA, "", "")
	ec := x.rotate(keystile.ES256, "", "")
	x.now = x.now.Add(time.Hour)
	x.rotate(keystile.ES256, "", "")
	x.now = x.now.Add(ahead)
	if x.sign(keystile.EdDSA).KeyID != ed.ID || x.sign(keystile.ES256).KeyID == ec.ID {
		t.Error("one line was rotated with another")
	}
}

func TestThreat27_TokensOfARemovedKeyAreRefusedAtOnce(t *testing.T) {
	x := newTokens(t, "")
	first := x.rotate(keystile.EdDSA, "", "")
	token := x.sign(keystile.EdDSA)
	x.now = x.now.Add(time.Hour)
	second := x.rotate(keystile.EdDSA, "", "")
	x.wants(true, token)
	set, removed, err := x.set.Remove(second.ID, x.now)
	if err != nil || removed.ID != second.ID {
		t.Fatal(removed, err)
	}
	x.change(set)
	x.now = x.now.Add(ahead + life + time.Hour)
	if x.sign(keystile.EdDSA).KeyID != first.ID {
		t.Error("the key before a removed one does not sign")
	}
	if set, _, err = x.set.Remove(first.ID, x.now); err != nil {
		t.Fatal(err)
	}
	x.change(set)
	x.wants(false, token)
	if _, err := x.Sign(t.Context(), keystile.EdDSA, []byte(`{}`)); !errors.Is(err, keystile.ErrUnavailable) {
		t.Errorf("signed without a key: %v", err)
	}
	if _, _, err := x.set.Remove("other", x.now); !errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("removed what is not there: %v", err)
	}
}

func TestThreat01_AKeyOfOneAlgorithmNeverVerifiesAsAnother(t *testing.T) {
	x := newTokens(t, "")
	all := map[keystile.SigningAlgorithm]*jws.Token{}
	for _, algorithm := range []keystile.SigningAlgorithm{keystile.EdDSA, keystile.ES256, keystile.RS256} {
		x.rotate(algorithm, "", "")
		all[algorithm] = x.sign(algorithm)
	}
	x.rotate(keystile.HS256, "", "")
	for algorithm, token := range all {
		x.wants(true, token)
		x.wantsShared(false, "", token)
		for claimed, other := range all {
			if claimed != algorithm {
				mixed := *token
				mixed.KeyID = other.KeyID
				x.wants(false, &mixed)
				mixed.Algorithm = claimed
				x.wants(false, &mixed)
			}
		}
		unnamed := *token
		unnamed.KeyID = ""
		x.wants(false, &unnamed)
	}
	shared := x.signShared("")
	x.wants(false, shared)
	x.wantsShared(true, "", shared)
	for _, k := range x.set.Keys() {
		named := *shared
		named.KeyID = k.ID
		x.wants(false, &named)
		x.wantsShared(false, "", &named)
	}
}

func TestAnOrganizationMayHaveASecretOfItsOwn(t *testing.T) {
	x := newTokens(t, "")
	x.rotate(keystile.HS256, "", "")
	before := x.signShared("acme")
	x.wantsShared(true, "acme", before)
	x.rotate(keystile.HS256, "acme", "a secret of acme of more than thirty-two bytes")
	own := x.signShared("acme")
	x.wantsShared(true, "acme", own)
	x.wantsShared(false, "other", own)
	x.wantsShared(false, "", own)
	x.wantsShared(true, "acme", before) // until it has ended
	x.now = x.now.Add(life + time.Second)
	general := x.signShared("other")
	x.wantsShared(true, "other", general)
	x.wantsShared(false, "acme", general) // whoever holds the general secret signs nothing for acme
	// A secret of its own is rotated like any key.
	x.rotate(keystile.HS256, "acme", "")
	x.wantsShared(true, "acme", own)
	x.now = x.now.Add(ahead)
	if key, ok := x.set.Signing(keystile.HS256, "acme", x.now); !ok || key.OrganizationID != "acme" {
		t.Errorf("%+v", key)
	}
	x.wantsShared(true, "acme", x.signShared("acme"))
	x.wantsShared(true, "acme", own)
	x.now = x.now.Add(life + 5*time.Minute)
	x.wantsShared(false, "acme", own)
}

func TestTheConfiguredSecretIsTheGeneralOneAndNoOtherIs(t *testing.T) {
	const configured = "the configured secret of more than thirty-two bytes"
	drawn := newTokens(t, "")
	drawn.rotate(keystile.HS256, "", "")
	token := drawn.signShared("")
	x := newTokens(t, configured)
	x.change(drawn.set)
	x.wantsShared(false, "", token)
	key, err := jws.NewSecret(configured)
	if err != nil || !key.Verify(x.signShared("acme")) {
		t.Errorf("not signed with the configured secret: %v", err)
	}
	if got := x.parsed(x.SignShared(t.Context(), "", []byte(`{"user_id":"u"}`))); string(got.Payload) != `{"user_id":"u"}` || got.Other || got.KeyID != "" {
		t.Errorf("%+v", got)
	}
}

func TestWeakSecretsAndImpossibleLinesAreRefused(t *testing.T) {
	var set keyring.TokenSet
	for name, r := range map[string]keyring.TokenRotation{
		"a short secret":                 {Algorithm: keystile.HS256, Secret: "short"},
		"31 bytes":                       {Algorithm: keystile.HS256, Secret: keystile.Secret(strings.Repeat("x", 31))},
		"a public key for one":           {Algorithm: keystile.EdDSA, OrganizationID: "acme"},
		"a secret for EdDSA":             {Algorithm: keystile.EdDSA, Secret: keystile.Secret(strings.Repeat("x", 32))},
		"no algorithm":                   {},
		"an algorithm that there is not": {Algorithm: "none"},
	} {
		r.Now, r.Random = time.Now(), rand.Reader
		var invalid *keystile.Invalid
		if _, _, err := set.Rotate(r); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		} else if r.Secret != "" && strings.Contains(err.Error(), r.Secret.Reveal()) {
			t.Errorf("%s: the error shows the secret", name)
		}
	}
}

func TestASetIsSealedAndOpensNowhereElse(t *testing.T) {
	x := newTokens(t, "")
	x.rotate(keystile.EdDSA, "", "")
	x.rotate(keystile.HS256, "acme", "a secret of acme of more than thirty-two bytes")
	s := sealer(t, master(t))
	sealed, err := x.set.Seal(s)
	if err != nil || strings.Contains(string(sealed), "secret of acme") {
		t.Fatal(err)
	}
	again, err := keyring.OpenTokenSet(s, sealed)
	if err != nil || !slices.EqualFunc(again.Keys(), x.set.Keys(), func(a, b keyring.TokenKey) bool { return a.ID == b.ID && a.SignsFrom.Equal(b.SignsFrom) }) {
		t.Errorf("%v %v", again, err)
	}
	if _, err := keyring.OpenTokenSet(sealer(t, master(t)), sealed); err == nil {
		t.Error("opened under another master key")
	}
	if moved, err := s.Seal([]byte("[]"), "elsewhere"); err != nil {
		t.Fatal(err)
	} else if _, err := keyring.OpenTokenSet(s, moved); err == nil {
		t.Error("opened in another place")
	}
	if none, err := keyring.OpenTokenSet(s, nil); err != nil || len(none.Keys()) != 0 {
		t.Error(none, err)
	}
}

func TestThreat04_WhileTheKeysCannotBeReadAgainNothingIsSignedOrVerified(t *testing.T) {
	x := newTokens(t, "")
	key := x.rotate(keystile.EdDSA, "", "")
	token := x.sign(keystile.EdDSA)
	for range 10 {
		x.wants(true, token)
	}
	if x.reads != 1 {
		t.Errorf("the set was read %d times", x.reads)
	}
	x.fails = errors.New("the store is away")
	x.wants(true, token) // nothing changed: what is known is right
	x.Apply(keystile.Change{Kind: keystile.ChangeAll})
	if got, err := x.Verify(t.Context(), token); got || !errors.Is(err, keystile.ErrUnavailable) {
		t.Errorf("verified %v, %v", got, err)
	}
	if _, err := x.Sign(t.Context(), keystile.EdDSA, []byte("{}")); !errors.Is(err, keystile.ErrUnavailable) {
		t.Errorf("signed: %v", err)
	}
	if !slices.Equal(x.published(), []string{key.ID}) {
		t.Error("the public keys are gone with the store")
	}
	x.fails = nil
	x.wants(true, token)
	x.Apply(keystile.Change{Kind: keystile.ChangeKey, ID: "k"})
	x.wants(true, token)
	if x.reads != 5 { // once, and once for each question after the change while it failed
		t.Errorf("the set was read %d times", x.reads)
	}
}

func newIDs(t *testing.T) *keyring.TokenIDs {
	t.Helper()
	s := sealer(t, master(t))
	sealed, err := keyring.NewTokenIDKey(rand.Reader, s)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := keyring.OpenTokenIDs(s, sealed, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

type facts struct {
	form, session   string
	issued, expires int64
}

func TestThreat22_ATokenIDIsGoodForItsFactsAndNoOthers(t *testing.T) {
	ids := newIDs(t)
	ours := func(ids *keyring.TokenIDs, id string, f facts) bool {
		return ids.Ours(id, f.form, f.session, f.issued, f.expires)
	}
	of := facts{"ona", "ses_1", 100, 200}
	id, err := ids.NewID("ona", "ses_1", 100, 200)
	if err != nil || len(id) != 38 || !ours(ids, id, of) {
		t.Fatal(id, err)
	}
	if again, err := ids.NewID("ona", "ses_1", 100, 200); err != nil || again == id {
		t.Error("two ids are one")
	}
	for name, f := range map[string]facts{
		"another session": {"ona", "ses_2", 100, 200},
		"another form":    {"std", "ses_1", 100, 200},
		"moved text":      {"onas", "es_1", 100, 200},
		"a later end":     {"ona", "ses_1", 100, 201},
		"an earlier time": {"ona", "ses_1", 99, 200},
		"exchanged times": {"ona", "ses_1", 200, 100},
		"nothing":         {},
	} {
		if ours(ids, id, f) {
			t.Errorf("good for %s", name)
		}
	}
	if ours(newIDs(t), id, of) {
		t.Error("good under another key")
	}
	for i := range id {
		mutants := []string{id[:i], id[i+1:], id[:i] + id[i+1:]}
		for bit := range 8 {
			flipped := []byte(id)
			flipped[i] ^= 1 << bit
			mutants = append(mutants, string(flipped))
		}
		for _, mutant := range mutants {
			if ours(ids, mutant, of) {
				t.Errorf("a mutant is good: %q", mutant)
			}
		}
	}
	for _, other := range []string{"", strings.Repeat("A", 38), strings.Repeat("A", 37) + "=", id + "=", id + "A", id[:37] + "\n"} {
		if ours(ids, other, of) {
			t.Errorf("good: %q", other)
		}
	}
}

func TestAKeyThatAnotherServerHeardOfFirstIsReadAndAFloodOfUnknownOnesIsNot(t *testing.T) {
	other, x := newTokens(t, ""), newTokens(t, "")
	other.rotate(keystile.EdDSA, "", "")
	other.rotate(keystile.HS256, "", "")
	x.change(other.set)
	x.wants(true, other.sign(keystile.EdDSA))
	other.now = other.now.Add(time.Hour)
	x.now = other.now
	other.rotate(keystile.EdDSA, "", "")
	other.now = other.now.Add(ahead)
	x.now = other.now
	x.set = other.set // and nobody has told x
	fresh := other.sign(keystile.EdDSA)
	x.wants(true, fresh)
	other.rotate(keystile.HS256, "", "")
	other.now = other.now.Add(ahead)
	x.now, x.set = other.now, other.set
	x.wantsShared(true, "", other.signShared(""))
	before := x.reads
	unknown := *fresh
	unknown.KeyID = "unknown"
	x.now = x.now.Add(time.Second)
	for range 100 {
		x.wants(false, &unknown)
		x.wantsShared(false, "", &jws.Token{Algorithm: keystile.HS256})
	}
	if n := x.reads - before; n != 1 {
		t.Errorf("unknown keys had the set read %d times", n)
	}
	// While the store is away an unknown key is unknown, and the known ones go on.
	x.fails, x.now = errors.New("the store is away"), x.now.Add(time.Second)
	x.wants(false, &unknown)
	x.wants(true, fresh)
}

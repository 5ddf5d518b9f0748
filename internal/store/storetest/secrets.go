package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

var secretBehaviours = []behaviour{
	{"a digest leads to its secret, key and organization, whatever pepper it is under", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		revision, err := s.Revision(t.Context())
		noError(t, err)
		want := store.APIKeyLookup{
			Secret: Secret("north-key", "north-secret"), Key: Key("north-key", "north", "north-1"), Organization: Organization("north"), Revision: revision,
		}
		for _, digests := range [][][32]byte{
			{Digest("north-secret")},
			{Digest("other"), Digest("north-secret")},
			{Digest("other"), Digest("another"), Digest("north-secret")},
		} {
			got, err := s.FindAPIKeySecret(t.Context(), digests)
			same(t, err, want, got)
		}
	}},
	{"of several digests that match, the first counts", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		for _, first := range []string{"north", "south"} {
			second := map[string]string{"north": "south", "south": "north"}[first]
			found, err := s.FindAPIKeySecret(t.Context(), [][32]byte{Digest(first + "-secret"), Digest(second + "-secret")})
			if err != nil || found.Key.ID != first+"-key" {
				t.Errorf("found %q, %v; want %s-key", found.Key.ID, err, first)
			}
		}
	}},
	{"a look-up of no digest, or of four, is an error and not an answer", func(t *testing.T, s *store.Store) {
		for _, n := range []int{0, 4} {
			_, err := s.FindAPIKeySecret(t.Context(), make([][32]byte, n))
			if err == nil || errors.Is(err, keystile.ErrNotFound) {
				t.Errorf("%d digests: %v", n, err)
			}
		}
	}},
	{"TestThreat22 no digest that differs in a single bit is found", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		good := Digest("north-secret")
		for bit := range 256 {
			flipped := good
			flipped[bit/8] ^= 1 << (bit % 8)
			if found, err := s.FindAPIKeySecret(t.Context(), [][32]byte{flipped}); !errors.Is(err, keystile.ErrNotFound) {
				t.Fatalf("bit %d flipped finds %q, %v", bit, found.Key.ID, err)
			}
		}
	}},
	{"the same secret cannot be added twice, to any key", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateAPIKey(ctx, Key("k", "south"), Secret("k", "north-secret"))
		})
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error {
			return tx.AddAPIKeySecret(ctx, Secret("south-key", "north-secret"), "")
		})
		if _, err := s.APIKey(t.Context(), "k"); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("the refused key is there: %v", err)
		}
	}},
	{"a secret without a digest or a pepper is refused", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		for _, secret := range []keystile.APIKeySecret{{KeyID: "north-key", PepperID: "p"}, {KeyID: "north-key", Digest: Digest("x")}} {
			invalid(t, s, "secret", func(ctx context.Context, tx *store.Tx) error { return tx.AddAPIKeySecret(ctx, secret, "") })
		}
	}},
	{"a rotation adds a secret, replaces the hint and ends the others at the given time", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		end := T0.Add(time.Hour)
		fresh := Secret("north-key", "fresh")
		fresh.CreatedAt = T0.Add(time.Minute)
		rotate := func(ctx context.Context, tx *store.Tx) error {
			if err := tx.AddAPIKeySecret(ctx, fresh, "opa_prod_NEW1"); err != nil {
				return err
			}
			return tx.ExpireAPIKeySecrets(ctx, "north-key", fresh.Digest, end)
		}
		Must(t, s, rotate)
		old := Secret("north-key", "north-secret")
		old.ExpiresAt = end
		got, err := s.APIKeySecrets(t.Context(), "north-key")
		same(t, err, []keystile.APIKeySecret{old, fresh}, got)
		k, err := s.APIKey(t.Context(), "north-key")
		if err != nil || k.Hint != "opa_prod_NEW1" {
			t.Errorf("hint %q, %v", k.Hint, err)
		}
		// A later end does not give the old secret more time.
		unchanged(t, s, func() {
			Must(t, s, func(ctx context.Context, tx *store.Tx) error {
				return tx.ExpireAPIKeySecrets(ctx, "north-key", fresh.Digest, end.Add(time.Hour))
			})
		})
	}},
	{"a revoked key gets no new secret", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeAPIKey(ctx, "north-key", T0) })
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error {
			return tx.AddAPIKeySecret(ctx, Secret("north-key", "fresh"), "")
		})
	}},
	{"uses are written in a batch: the latest time counts, absent keys do not matter, nothing is announced", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		unchanged(t, s, func() {
			noError(t, s.TouchAPIKeys(t.Context(), []store.APIKeyUse{
				{KeyID: "south-key", At: T0.Add(2 * time.Second)},
				{KeyID: "north-key", At: T0.Add(time.Minute)},
				{KeyID: "north-key", At: T0.Add(time.Second)},
				{KeyID: "gone", At: T0},
			}))
			noError(t, s.TouchAPIKeys(t.Context(), []store.APIKeyUse{{KeyID: "north-key", At: T0}}))
			noError(t, s.TouchAPIKeys(t.Context(), nil))
		})
		for id, want := range map[string]time.Time{"north-key": T0.Add(time.Minute), "south-key": T0.Add(2 * time.Second)} {
			k, err := s.APIKey(t.Context(), id)
			if err != nil || !k.LastUsedAt.Equal(want) {
				t.Errorf("%s was last used at %v, %v; want %v", id, k.LastUsedAt, err, want)
			}
		}
	}},
	{"a secret moves to another pepper when it is used, and only once", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		move := store.Rehash{Old: Digest("north-secret"), New: Digest("north-secret under pepper-2"), PepperID: "pepper-2"}
		use := []store.APIKeyUse{{KeyID: "north-key", At: T0, Rehash: &move}, {KeyID: "north-key", At: T0, Rehash: &move}}
		noError(t, s.TouchAPIKeys(t.Context(), use))
		noError(t, s.TouchAPIKeys(t.Context(), use))
		unknown(t, s, "north-secret")
		found, err := s.FindAPIKeySecret(t.Context(), [][32]byte{move.New})
		if err != nil || found.Key.ID != "north-key" || found.Secret.PepperID != "pepper-2" {
			t.Errorf("found %+v, %v", found.Secret, err)
		}
		// A digest that another key has cannot be moved to.
		noError(t, s.TouchAPIKeys(t.Context(), []store.APIKeyUse{
			{KeyID: "south-key", At: T0, Rehash: &store.Rehash{Old: Digest("south-secret"), New: move.New, PepperID: "pepper-2"}},
		}))
		if found, err := s.FindAPIKeySecret(t.Context(), [][32]byte{Digest("south-secret")}); err != nil || found.Key.ID != "south-key" {
			t.Errorf("the other key: %q, %v", found.Key.ID, err)
		}
	}},
	{"a thousand uses fit one batch", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		uses := make([]store.APIKeyUse, 1201)
		for i := range uses {
			uses[i] = store.APIKeyUse{KeyID: "key-" + time.Duration(i).String(), At: T0}
		}
		uses[1200].KeyID = "south-key"
		noError(t, s.TouchAPIKeys(t.Context(), uses))
		if k, err := s.APIKey(t.Context(), "south-key"); err != nil || !k.LastUsedAt.Equal(T0) {
			t.Errorf("last used %v, %v", k.LastUsedAt, err)
		}
	}},
}

var adminTokenBehaviours = []behaviour{
	{"an admin token comes back by id, by digest and in lists", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		global, ours := AdminToken("global", ""), AdminToken("ours", "north")
		global.Bootstrap, global.ExpiresAt = true, time.Time{}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.CreateAdminToken(ctx, global, Digest("global"), "p"), tx.CreateAdminToken(ctx, ours, Digest("ours"), "p"))
		})
		for _, want := range []keystile.AdminToken{global, ours} {
			got, err := s.AdminToken(t.Context(), want.ID)
			same(t, err, want, got)
			got, err = s.FindAdminToken(t.Context(), [][32]byte{Digest("none"), Digest(want.ID)})
			same(t, err, want, got)
		}
		all, err := s.AdminTokens(t.Context(), store.AdminTokenFilter{})
		same(t, err, []keystile.AdminToken{global, ours}, all)
		list, err := s.AdminTokens(t.Context(), store.AdminTokenFilter{OrganizationID: "north"})
		same(t, err, []keystile.AdminToken{ours}, list)
		if _, err := s.FindAdminToken(t.Context(), [][32]byte{Digest("none")}); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("an unknown token: %v", err)
		}
	}},
	{"an admin token is refused without a digest, for an unknown organization, and twice", func(t *testing.T, s *store.Store) {
		token := AdminToken("a", "")
		invalid(t, s, "secret", func(ctx context.Context, tx *store.Tx) error { return tx.CreateAdminToken(ctx, token, [32]byte{}, "p") })
		invalid(t, s, "organization", func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateAdminToken(ctx, AdminToken("a", "nobody"), Digest("a"), "p")
		})
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateAdminToken(ctx, token, Digest("a"), "p")
		})
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateAdminToken(ctx, token, Digest("b"), "p")
		})
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateAdminToken(ctx, AdminToken("b", ""), Digest("a"), "p")
		})
	}},
	{"only the first use of an admin token is kept, and revoking it stays", func(t *testing.T, s *store.Store) {
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateAdminToken(ctx, AdminToken("a", ""), Digest("a"), "p")
		})
		unchanged(t, s, func() {
			noError(t, s.MarkAdminTokenUsed(t.Context(), "a", T0))
			noError(t, s.MarkAdminTokenUsed(t.Context(), "a", T0.Add(time.Hour)))
		})
		revoke := func(ctx context.Context, tx *store.Tx) error {
			return tx.RevokeAdminToken(ctx, "a", T0.Add(time.Minute))
		}
		Must(t, s, revoke)
		unchanged(t, s, func() { Must(t, s, revoke) })
		a, err := s.AdminToken(t.Context(), "a")
		if err != nil || !a.FirstUsedAt.Equal(T0) || !a.RevokedAt.Equal(T0.Add(time.Minute)) {
			t.Errorf("token %+v, %v", a, err)
		}
	}},
}

var keyringBehaviours = []behaviour{
	{"one pepper is current, and putting it again writes nothing", func(t *testing.T, s *store.Store) {
		put := func(id, sealed string, current bool) {
			Must(t, s, func(ctx context.Context, tx *store.Tx) error {
				return tx.PutPepper(ctx, store.Pepper{ID: id, Sealed: []byte(sealed), Current: current, CreatedAt: T0.Add(time.Duration(len(id)))})
			})
		}
		put("p1", "one", true)
		put("p2", "two", true)
		unchanged(t, s, func() { put("p2", "two", true) })
		put("p1", "one again", false)
		got, err := s.Peppers(t.Context())
		noError(t, err)
		if len(got) != 2 || got[0].Current || !got[1].Current || string(got[0].Sealed) != "one again" {
			t.Errorf("peppers: %+v", got)
		}
	}},
	{"a pepper goes when it is retired and no digest names it", func(t *testing.T, s *store.Store) {
		remove := func(ctx context.Context, tx *store.Tx) error { return tx.DeletePepper(ctx, "pepper-1") }
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.PutPepper(ctx, store.Pepper{ID: "pepper-1", Sealed: []byte("x"), Current: true})
		})
		Seed(t, s)
		refused(t, s, keystile.ErrConflict, remove)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.PutPepper(ctx, store.Pepper{ID: "pepper-2", Sealed: []byte("y"), Current: true})
		})
		refused(t, s, keystile.ErrConflict, remove)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.DeleteAPIKey(ctx, "north-key"), tx.DeleteAPIKey(ctx, "south-key"))
		})
		Must(t, s, remove)
		got, err := s.Peppers(t.Context())
		if err != nil || len(got) != 1 || got[0].ID != "pepper-2" {
			t.Errorf("peppers: %+v, %v", got, err)
		}
	}},
	{"keysets and meta are replaced, and setting the same writes nothing", func(t *testing.T, s *store.Store) {
		for _, value := range []string{"one", "two"} {
			set := func(ctx context.Context, tx *store.Tx) error {
				return errors.Join(tx.PutKeyset(ctx, "signing", []byte(value)), tx.SetMeta(ctx, "demo", value))
			}
			Must(t, s, set)
			unchanged(t, s, func() { Must(t, s, set) })
			keyset, err := s.Keyset(t.Context(), "signing")
			same(t, err, value, string(keyset))
			meta, err := s.Meta(t.Context(), "demo")
			same(t, err, value, meta)
		}
	}},
	{"empty keys and the store's own names are refused", func(t *testing.T, s *store.Store) {
		invalid(t, s, "sealed", func(ctx context.Context, tx *store.Tx) error { return tx.PutKeyset(ctx, "signing", nil) })
		invalid(t, s, "sealed", func(ctx context.Context, tx *store.Tx) error { return tx.PutPepper(ctx, store.Pepper{ID: "p"}) })
		invalid(t, s, "name", func(ctx context.Context, tx *store.Tx) error { return tx.SetMeta(ctx, "store.import", "x") })
	}},
}

var decisionBehaviours = []behaviour{
	{"decisions come back newest first, filtered, whatever bytes a caller sent", func(t *testing.T, s *store.Store) {
		batch := []keystile.DecisionRecord{
			{
				At: T0, RequestID: "r1", OrganizationID: "north", Kind: keystile.KindAPIKey, CredentialID: "k1", RouteID: "GET /x", Point: keystile.PointGateway,
				Method: "GET", Path: "/x", ClientAddr: "10.0.0.1", Allowed: true,
			},
			{At: T0.Add(time.Second), OrganizationID: "south", CredentialID: "k2", Path: "/\xff\x00", Reason: keystile.ReasonRateLimited, Observed: true, Cause: "full"},
			{At: T0.Add(2 * time.Second), OrganizationID: "north", CredentialID: "k1", Reason: keystile.ReasonScopeMissing},
		}
		noError(t, s.RecordDecisions(t.Context(), batch[:1]))
		noError(t, s.RecordDecisions(t.Context(), batch[1:]))
		noError(t, s.RecordDecisions(t.Context(), nil))
		batch[1].Path = "/\uFFFD\uFFFD"
		for i := range batch {
			batch[i].Seq = int64(i + 1)
		}
		for _, c := range []struct {
			filter store.DecisionFilter
			want   []keystile.DecisionRecord
		}{
			{store.DecisionFilter{}, []keystile.DecisionRecord{batch[2], batch[1], batch[0]}},
			{store.DecisionFilter{OrganizationID: "north"}, []keystile.DecisionRecord{batch[2], batch[0]}},
			{store.DecisionFilter{CredentialID: "k1", Reason: keystile.ReasonScopeMissing}, batch[2:]},
			{store.DecisionFilter{Since: T0.Add(time.Second), Until: T0.Add(2 * time.Second)}, batch[1:2]},
			{store.DecisionFilter{Limit: 1, AfterSeq: 3}, batch[1:2]},
			{store.DecisionFilter{Limit: 1, AfterSeq: 1, OldestFirst: true}, batch[1:2]},
			{store.DecisionFilter{RequestID: "r1"}, batch[:1]},
			{store.DecisionFilter{OldestFirst: true}, batch},
		} {
			got, err := s.Decisions(t.Context(), c.filter)
			noError(t, err)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%+v (-want +got):\n%s", c.filter, diff)
			}
		}
		noError(t, s.VerifyChain(t.Context(), store.DecisionsChain))
	}},
}

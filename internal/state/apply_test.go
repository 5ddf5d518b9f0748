package state

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

func TestApplyCreatesTheWorldOfTheFileAndThenChangesNothing(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, st *store.Store) {
		s := shopOn(t, st, newPepper(t))
		first := s.apply(t, full, Options{})
		want := `+ organization sibaya-power
+ organization closed
+ site Sibaya
+ site Other
+ site Elsewhere
+ role role_analyst
+ api_key key_sibaya
+ api_key key_expired
+ api_key key_new
+ api_key key_closed
10 created, 0 updated, 0 deleted
`
		if diff := cmp.Diff(want, first.String()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(first.Secrets) != 2 || first.Secrets[0].KeyID != "key_new" || s.opens(t, first.Secrets[0].Secret.Reveal()) != "key_new" {
			t.Errorf("generated secrets: %v", first.Secrets)
		}
		if len(first.Warnings) != 1 || !strings.HasPrefix(first.Warnings[0].Error(), "world.yaml:32: api_keys[2].allowed_ips[0]: 0.0.0.0/0 allows every address; ") {
			t.Errorf("warnings: %v", first.Warnings)
		}
		if s.opens(t, secretA) != "key_sibaya" || s.opens(t, secretB) != "" || s.opens(t, first.Secrets[1].Secret.Reveal()) != "" {
			t.Error("secrets open the wrong keys")
		}
		second := s.apply(t, full, Options{Prune: true})
		if second.String() != "no changes\n" || len(second.Secrets) != 0 {
			t.Errorf("the second apply: %s", second.String())
		}
		closed, err := st.Organization(t.Context(), "closed")
		if err != nil || !closed.Disabled {
			t.Errorf("closed: %+v, %v", closed, err)
		}
		key, err := st.APIKey(t.Context(), "key_expired")
		if err != nil || key.Limit.Algorithm != keystile.AlgorithmGCRA || key.Environment != keystile.Sandbox || key.Name != "off" || key.ExpiresAt.Year() != 2020 {
			t.Errorf("key_expired: %+v, %v", key, err)
		}
		exported := s.export(t)
		if again := s.apply(t, exported, Options{Prune: true}); again.String() != "no changes\n" || len(again.Warnings) != 1 {
			t.Errorf("export then apply: %s%v", again.String(), again.Warnings)
		}
		if strings.Contains(exported, secretA) {
			t.Error("the export holds a secret")
		}
	})
}

const small = `
organizations: [{id: a}]
sites: [{id: s1, organization: a}, {id: s2, organization: a}]
roles: [{id: r, scopes: ["x:read"]}]
api_keys: [{id: k, organization: a, secret: ` + secretA + `, permitted_site_ids: [s1], limit: 60/1m}]
`

func TestUpdatesShowEachFieldBeforeAndAfter(t *testing.T) {
	s := newShop(t)
	s.apply(t, small, Options{})
	got := s.apply(t, `
organizations: [{id: a, name: "A B", environment: sandbox, key_prefix: abc, disabled: true, tenant_id: 0b0e2f1e-7c3e-4b52-9c61-0e6dae5c8b7b}]
sites: [{id: s1, organization: a, name: One}]
roles: [{id: r, name: R, scopes: ["x:read", "y:*"]}]
api_keys: [{id: k, organization: a, permitted_site_ids: [s2, s1], limit: 120/1m, limit_algorithm: gcra, expires_at: 2020-01-01T00:00:00Z, allowed_ips: [10.0.0.0/8], name: K, scopes: ["x:read"], environment: production}]
`, Options{})
	lines := strings.Split(got.String(), "\n")
	tenant := "" // drawn at random
	for i, line := range lines {
		if strings.HasPrefix(line, "~ organization a: tenant_id: ") {
			tenant, lines[i] = line, "~ tenant"
		}
	}
	want := `~ organization a: name: a -> "A B"
~ organization a: environment: production -> sandbox
~ tenant
~ organization a: key_prefix: opa -> abc
~ organization a: disabled: false -> true
~ site s1: name: s1 -> One
~ role r: name: r -> R
~ role r: scopes: x:read -> x:read,y:*
~ api_key k: name: none -> K
~ api_key k: permitted_site_ids: s1 -> s2,s1
~ api_key k: scopes: none -> x:read
~ api_key k: expires_at: none -> 2020-01-01T00:00:00Z
~ api_key k: limit: 60/1m -> 120/1m
~ api_key k: limit_algorithm: window -> gcra
~ api_key k: allowed_ips: none -> 10.0.0.0/8
0 created, 4 updated, 0 deleted
`
	if diff := cmp.Diff(want, strings.Join(lines, "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.HasSuffix(tenant, " -> 0b0e2f1e-7c3e-4b52-9c61-0e6dae5c8b7b") {
		t.Errorf("tenant: %s", tenant)
	}
	// Without an environment of its own a key has its organisation's.
	got = s.apply(t, "api_keys: [{id: k, organization: a}]", Options{})
	if !strings.Contains(got.String(), "~ api_key k: environment: production -> sandbox\n") {
		t.Errorf("%s", got.String())
	}
}

func TestADanglingReferenceInTheLastLineAppliesNothing(t *testing.T) {
	s := newShop(t)
	before := s.export(t)
	text := small + "  # one more\n"
	text = strings.Replace(text, "limit: 60/1m}]", "limit: 60/1m},\n  {id: k2, organization: a, permitted_site_ids: [s1, s9]},\n  {id: k3, organization: nobody}]", 1)
	s.refuses(t, text, Options{}, strings.TrimSpace(`
world.yaml:6: api_keys[1].permitted_site_ids[1]: organization a has no site s9; name a site of the key's organization
world.yaml:7: api_keys[2].organization: there is no organization nobody; name one that the files or the store have`))
	if diff := cmp.Diff(before, s.export(t)); diff != "" {
		t.Errorf("something was applied:\n%s", diff)
	}
}

func TestAFailureMidwayAppliesNothing(t *testing.T) {
	s := newShop(t)
	before := s.export(t)
	s.Random = &failing{after: 3}
	_, err := Apply(context.Background(), s.Service, cli, parse(t, small+"  \n"), Options{})
	if !errors.Is(err, errNoRandom) {
		t.Fatalf("%v", err)
	}
	if diff := cmp.Diff(before, s.export(t)); diff != "" {
		t.Errorf("something was applied:\n%s", diff)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Apply(ctx, s.Service, cli, parse(t, small), Options{}); err == nil {
		t.Error("a cancelled apply succeeds")
	}
}

var errNoRandom = errors.New("no random bytes")

// failing is a random source that ends: tenant ids of organisations need it.
type failing struct{ after int }

func (f *failing) Read(p []byte) (int, error) {
	f.after -= len(p)
	if f.after < 0 {
		return 0, errNoRandom
	}
	return len(p), nil
}

func TestThreat30ReferencesNeverCrossOrganizations(t *testing.T) {
	s := newShop(t)
	s.apply(t, "organizations: [{id: a}, {id: b}]\nsites: [{id: of-a, organization: a}]\napi_keys: [{id: k, organization: a, secret: "+secretA+"}]", Options{})
	for text, want := range map[string]string{
		"api_keys: [{id: x, organization: b, permitted_site_ids: [of-a]}]":   "world.yaml:1: api_keys[0].permitted_site_ids[0]: organization b has no site of-a; name a site of the key's organization",
		"sites: [{id: of-a, organization: b}]":                               "world.yaml:1: sites[0].organization: the site belongs to another organization, and sites do not move; choose another id, or delete the site there first",
		"api_keys: [{id: k, organization: b}]":                               "world.yaml:1: api_keys[0].organization: the key belongs to another organization, and keys do not move; choose another id, or delete the key there first",
		"sites: [{id: z, organization: c}]":                                  "world.yaml:1: sites[0].organization: there is no organization c; name one that the files or the store have",
		"api_keys: [{id: y, organization: b, secret: " + secretA + "}]":      "world.yaml:1: api_keys[0].id: contradicts what the store holds: create API key \"y\": conflict: the secret of API key \"y\" is in use already; change it here or there",
		"api_keys: [{id: y, organization: b, permitted_site_ids: [absent]}]": "world.yaml:1: api_keys[0].permitted_site_ids[0]: organization b has no site absent; name a site of the key's organization",
	} {
		s.refuses(t, text, Options{}, want)
	}
}

func TestADryRunTellsAndChangesNothing(t *testing.T) {
	s := newShop(t)
	before := s.export(t)
	got := s.apply(t, small+"\n", Options{DryRun: true})
	if !strings.HasSuffix(got.String(), "5 created, 0 updated, 0 deleted\n") {
		t.Errorf("%s", got.String())
	}
	got = s.apply(t, "organizations: [{id: a}]\napi_keys: [{id: k, organization: a}]", Options{DryRun: true})
	if len(got.Secrets) != 0 {
		t.Error("a dry run shows a secret that nobody keeps")
	}
	if diff := cmp.Diff(before, s.export(t)); diff != "" {
		t.Errorf("a dry run changed something:\n%s", diff)
	}
	s.refuses(t, "sites: [{id: z, organization: c}]", Options{DryRun: true},
		"world.yaml:1: sites[0].organization: there is no organization c; name one that the files or the store have")
}

func TestPruneDeletesWhatTheFilesDoNotNameOfTheKindsTheyName(t *testing.T) {
	s := newShop(t)
	s.apply(t, small, Options{})
	if got := s.apply(t, "sites: [{id: s1, organization: a}]", Options{}); got.String() != "no changes\n" {
		t.Errorf("without prune: %s", got.String())
	}
	got := s.apply(t, "sites: [{id: s1, organization: a}]", Options{Prune: true})
	if got.String() != "- site s2\n0 created, 0 updated, 1 deleted\n" {
		t.Errorf("sites alone: %s", got.String())
	}
	s.refuses(t, "sites: []", Options{Prune: true}, `prune: site s1: delete site "s1": conflict: site "s1" is permitted to API keys (k); take it off their sites or revoke them first; name it in the files, or remove what holds it`)
	// The new key takes over the secret of the one that goes.
	got = s.apply(t, "organizations: [{id: a}]\nsites: []\nroles: []\napi_keys: [{id: k2, organization: a, secret: "+secretA+"}]", Options{Prune: true})
	if got.String() != "- api_key k\n+ api_key k2\n- role r\n- site s1\n1 created, 0 updated, 3 deleted\n" {
		t.Errorf("everything: %s", got.String())
	}
	if s.opens(t, secretA) != "k2" {
		t.Error("the secret does not open its new key")
	}
	got = s.apply(t, "organizations: []\napi_keys: []\n", Options{Prune: true})
	if got.String() != "- api_key k2\n- organization a\n0 created, 0 updated, 2 deleted\n" {
		t.Errorf("the rest: %s", got.String())
	}
}

func TestPruneRefusesReferencesToWhatItWouldDelete(t *testing.T) {
	s := newShop(t)
	s.apply(t, small, Options{})
	s.refuses(t, "organizations: [{id: b}]\nsites: [{id: s1, organization: a}]", Options{Prune: true},
		"world.yaml:2: sites[0].organization: there is no organization a; name one that the files or the store have")
	s.refuses(t, "sites: [{id: s1, organization: a}]\napi_keys: [{id: k, organization: a, permitted_site_ids: [s2]}]", Options{Prune: true},
		"world.yaml:2: api_keys[0].permitted_site_ids[0]: organization a has no site s2; name a site of the key's organization")
}

func TestAChangedSecretReplacesAllSecretsOfTheKey(t *testing.T) {
	s := newShop(t)
	s.apply(t, small, Options{})
	got := s.apply(t, strings.Replace(small, secretA, secretB, 1), Options{})
	if got.String() != "~ api_key k: secret: old -> new\n0 created, 1 updated, 0 deleted\n" {
		t.Errorf("%s", got.String())
	}
	if s.opens(t, secretA) != "" || s.opens(t, secretB) != "k" {
		t.Error("the old secret still opens the key, or the new one does not")
	}
	same := strings.Replace(small, "secret: "+secretA, "sha256: "+hexSum(secretB), 1)
	if got := s.apply(t, same, Options{}); got.String() != "no changes\n" {
		t.Errorf("the same secret by its hash: %s", got.String())
	}
	if got := s.apply(t, strings.Replace(small, "secret: "+secretA+", ", "", 1), Options{}); got.String() != "no changes\n" {
		t.Errorf("a file without a secret: %s", got.String())
	}
}

func TestThreat27AFileThatDoesNotKnowOfARotationOrRevocationUndoesNeither(t *testing.T) {
	ctx := context.Background()
	for name, overlap := range map[string]time.Duration{"at once": 0, "with an overlap": time.Hour} {
		t.Run("rotation "+name, func(t *testing.T) {
			s := newShop(t)
			s.apply(t, small, Options{})
			exported := s.export(t)
			_, fresh, err := s.RotateKey(ctx, cli, "k", overlap)
			if err != nil {
				t.Fatal(err)
			}
			for _, stale := range []string{small, exported} {
				got := s.apply(t, stale, Options{})
				if got.String() != "no changes\n" || len(got.Warnings) != 1 || !strings.Contains(got.Warnings.Error(), "was rotated since, and its newer secret stays") {
					t.Errorf("%s%v", got.String(), got.Warnings)
				}
			}
			if s.opens(t, fresh.Reveal()) != "k" {
				t.Error("the file ended the newer secret")
			}
			s.move(2 * time.Hour)
			if s.opens(t, secretA) != "" {
				t.Error("the file kept the older secret alive")
			}
			if got := s.apply(t, strings.Replace(small, secretA, fresh.Reveal(), 1), Options{}); got.String() != "no changes\n" {
				t.Errorf("the file with the newer secret: %s", got.String())
			}
		})
	}
	t.Run("revocation", func(t *testing.T) {
		s := newShop(t)
		s.apply(t, small, Options{})
		if _, err := s.RevokeKey(ctx, cli, "k"); err != nil {
			t.Fatal(err)
		}
		got := s.apply(t, strings.Replace(small, secretA, secretB, 1), Options{})
		if got.String() != "no changes\n" || !strings.Contains(got.Warnings.Error(), "world.yaml:5: api_keys[0]: API key k was revoked at ") {
			t.Errorf("%s%v", got.String(), got.Warnings)
		}
		if s.opens(t, secretA) != "" || s.opens(t, secretB) != "" {
			t.Error("a revoked key is open")
		}
	})
}

func TestARotationMidwayIsExportedAndTakenBack(t *testing.T) {
	s := newShop(t)
	s.apply(t, small, Options{})
	older := s.export(t)
	_, fresh, err := s.RotateKey(context.Background(), cli, "k", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	newer := s.export(t)
	if got := s.apply(t, newer, Options{Prune: true}); got.String() != "no changes\n" || len(got.Warnings) != 0 {
		t.Errorf("%s%v", got.String(), got.Warnings)
	}
	// On a store as it was before, with the same pepper: the newer export brings
	// the new secret and ends the old one when the overlap ends.
	other := newShop(t)
	other.Digester = s.Digester
	other.apply(t, older, Options{})
	if got := other.apply(t, newer, Options{}); got.String() != "~ api_key k: secret: old -> new\n0 created, 1 updated, 0 deleted\n" {
		t.Errorf("%s", got.String())
	}
	if other.opens(t, secretA) != "k" || other.opens(t, fresh.Reveal()) != "k" {
		t.Error("a secret of the rotation does not open the key")
	}
	if got := other.apply(t, newer, Options{}); got.String() != "no changes\n" {
		t.Errorf("again: %s", got.String())
	}
	other.move(2 * time.Hour)
	if other.opens(t, secretA) != "" || other.opens(t, fresh.Reveal()) != "k" {
		t.Error("the overlap does not end")
	}
}

func TestAnExportAppliesToAnotherStoreWithTheSamePeppersOnly(t *testing.T) {
	s := newShop(t)
	s.apply(t, full, Options{})
	exported := s.export(t)
	twin := newShop(t)
	twin.Digester = s.Digester
	twin.apply(t, exported, Options{})
	if diff := cmp.Diff(exported, twin.export(t)); diff != "" {
		t.Errorf("the twin differs:\n%s", diff)
	}
	if twin.opens(t, secretA) != "key_sibaya" {
		t.Error("the key does not open the twin")
	}
	stranger := newShop(t)
	_, err := Apply(context.Background(), stranger.Service, cli, parse(t, exported), Options{})
	if err == nil || !strings.Contains(err.Error(), "digest[0]: was made with pepper pep_") || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("a store without the pepper: %v", err)
	}
}

func TestAKeyWithoutASecretIsExportedAsSuch(t *testing.T) {
	s := newShop(t)
	got := s.apply(t, "organizations: [{id: a}]\napi_keys: [{id: k, organization: a, digest: [], limit: 5/1s}]", Options{})
	if len(got.Secrets) != 0 || !strings.Contains(s.export(t), "  - id: k\n    digest: []\n    organization: a\n    environment: production\n") {
		t.Errorf("%v\n%s", got.Secrets, s.export(t))
	}
	if got := s.apply(t, s.export(t), Options{Prune: true}); got.String() != "no changes\n" {
		t.Errorf("%s", got.String())
	}
}

func TestARevokedKeyWhoseSiteIsGoneIsExported(t *testing.T) {
	s := newShop(t)
	s.apply(t, small, Options{})
	if _, err := s.RevokeKey(context.Background(), cli, "k"); err != nil {
		t.Fatal(err)
	}
	s.apply(t, "sites: []", Options{Prune: true})
	exported := s.export(t)
	if got := s.apply(t, exported, Options{Prune: true}); got.String() != "no changes\n" || len(got.Warnings) != 0 {
		t.Errorf("%s%v", got.String(), got.Warnings)
	}
	twin := newShop(t)
	twin.Digester = s.Digester
	twin.apply(t, exported, Options{})
	if twin.opens(t, secretA) != "" {
		t.Error("a revoked key came back to life elsewhere")
	}
}

func TestConcurrentAppliesOfOneFileAgree(t *testing.T) {
	s := newShop(t)
	var wait sync.WaitGroup
	results := make([]string, 4)
	for i := range results {
		w := parse(t, small)
		wait.Go(func() {
			got, err := Apply(context.Background(), s.Service, cli, w, Options{})
			if err != nil {
				results[i] = err.Error()
				return
			}
			results[i] = got.String()
		})
	}
	wait.Wait()
	count := map[bool]int{}
	for _, text := range results {
		if text != "no changes\n" && !strings.HasSuffix(text, "5 created, 0 updated, 0 deleted\n") {
			t.Errorf("%s", text)
		}
		count[text == "no changes\n"]++
	}
	if count[false] != 1 {
		t.Errorf("%d applies created the world", count[false])
	}
}

func TestEveryProblemOfAnApplyIsToldAtOnce(t *testing.T) {
	s := newShop(t)
	s.apply(t, "organizations: [{id: off, disabled: true}]", Options{})
	s.refuses(t, "organizations: [{id: a, key_prefix: kadm}, {id: b, tenant_id: 0b0e2f1e-7c3e-4b52-9c61-0e6dae5c8b7b}, {id: c, tenant_id: 0b0e2f1e-7c3e-4b52-9c61-0e6dae5c8b7b}, {id: off, disabled: true}]\napi_keys:\n- {id: self, organization: b}\n- {id: k, organization: off}\n", Options{}, strings.TrimSpace(`
world.yaml:1: organizations[0].key_prefix: not a usable key prefix; use 1 to 16 of a-z 0-9 and no prefix that names another kind of credential
world.yaml:1: organizations[2].id: contradicts what the store holds: create organization "c": conflict: another organization has the tenant id "0b0e2f1e-7c3e-4b52-9c61-0e6dae5c8b7b"; change it here or there
world.yaml:3: api_keys[0].id: "self" is part of the API's own paths; choose another id
world.yaml:4: api_keys[1].organization: the organization is disabled; enable the organization first`))
}

func TestFetchFindsFewAmongManyAndManyAmongMany(t *testing.T) {
	var all []string
	for i := range 5000 {
		all = append(all, fmt.Sprintf("k%05d", i))
	}
	rows := 0
	list := func(_ context.Context, after string, limit int) ([]string, error) {
		var page []string
		for _, id := range all {
			if id > after && len(page) < limit {
				page = append(page, id)
			}
		}
		rows += len(page)
		return page, nil
	}
	self := func(s *string) string { return *s }
	few := []string{"k00007", "a", "k04999", "k01000x", "z", "k02500", "k02500", "k0"}
	got, err := fetch(context.Background(), list, self, few)
	if err != nil || len(got) != 3 || rows > 200 {
		t.Errorf("few: %v, %d rows, %v", got, rows, err)
	}
	rows = 0
	got, err = fetch(context.Background(), list, self, append(all, "nope"))
	if err != nil || len(got) != 5000 || rows > 6000 {
		t.Errorf("many: %d, %d rows, %v", len(got), rows, err)
	}
}

func BenchmarkApplyTwentyThousandKeys(b *testing.B) {
	var text strings.Builder
	text.WriteString("organizations: [{id: a}]\nsites:\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "- {id: s%d, organization: a}\n", i)
	}
	text.WriteString("api_keys:\n")
	for i := range 20_000 {
		fmt.Fprintf(&text, "- {id: k%d, organization: a, secret: secret-of-another-system-%d, permitted_site_ids: [s%d, s%d], scopes: ['a:read']}\n", i, i, i%1000, (i+1)%1000)
	}
	for b.Loop() {
		s := newShop(b)
		s.apply(b, text.String(), Options{})
		first := b.Elapsed()
		if got := s.apply(b, text.String(), Options{Prune: true}); got.String() != "no changes\n" {
			b.Fatal(got.String())
		}
		b.ReportMetric((b.Elapsed() - first).Seconds(), "s/second-apply")
	}
}

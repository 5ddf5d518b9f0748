package state

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	yaml "go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// names that YAML readers could take for something else.
var trickyNames = []string{
	"off", "NULL", "~", "1e3", "0x10", "007", "- a", "a: b", "#x", "'", `"\`, " lead", "trail ", "é ü ☀ 𝒳", "{}", "[a]", "!tag", "&a", "*a", "2027-01-01", "a\u00a0b", "=", "<<", "%", "@", "`", "|", ">", "?",
}

// draw makes a world through the operations that people use.
func draw(t *rapid.T, s *shop) {
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	name := rapid.SampledFrom(trickyNames)
	scopes := func(label string) []keystile.Scope {
		return rapid.SliceOfNDistinct(rapid.SampledFrom([]keystile.Scope{"a:read", "a:*", "plain", "x.y:z", "on:off"}), 0, 3, rapid.ID).Draw(t, label)
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "organizations") {
		org := keystile.Organization{ID: fmt.Sprintf("org:%d", i), Name: name.Draw(t, "name"), Environment: rapid.SampledFrom([]keystile.Environment{keystile.Production, keystile.Sandbox}).Draw(t, "environment")}
		_, err := s.CreateOrganization(ctx, cli, org)
		must(err)
		var sites []string
		for j := range rapid.IntRange(0, 3).Draw(t, "sites") {
			id := fmt.Sprintf("%d.%d", i, j)
			_, err := s.CreateSite(ctx, cli, keystile.Site{ID: id, OrganizationID: org.ID, Name: name.Draw(t, "site name")})
			must(err)
			sites = append(sites, id)
		}
		for j := range rapid.IntRange(0, 3).Draw(t, "keys") {
			key := manage.NewKey{
				ID: fmt.Sprintf("key-%d-%d", i, j), OrganizationID: org.ID, Name: name.Draw(t, "key name"),
				PermittedSiteIDs: sites[:rapid.IntRange(0, len(sites)).Draw(t, "permitted")], Scopes: scopes("key scopes"),
				Limit: rapid.SampledFrom([]*keystile.Rate{nil, {Requests: 60, Window: 90 * time.Second, Algorithm: keystile.AlgorithmWindow}, {Requests: 50_000, Window: time.Hour, Algorithm: keystile.AlgorithmGCRA}}).Draw(t, "limit"),
			}
			if rapid.Bool().Draw(t, "expires") {
				key.ExpiresAt = s.clock().Add(rapid.SampledFrom([]time.Duration{time.Minute, 1500 * time.Microsecond, 24 * time.Hour}).Draw(t, "expiry"))
			}
			if rapid.Bool().Draw(t, "addresses") {
				key.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
			}
			_, _, err := s.CreateKey(ctx, cli, key)
			must(err)
			for _, overlap := range rapid.SliceOfN(rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour}), 0, 2).Draw(t, "rotations") {
				_, _, err := s.RotateKey(ctx, cli, key.ID, overlap)
				must(err)
			}
			if rapid.Bool().Draw(t, "revoked") {
				_, err := s.RevokeKey(ctx, cli, key.ID)
				must(err)
			}
		}
		if rapid.Bool().Draw(t, "disabled") {
			_, err := s.UpdateOrganization(ctx, cli, org.ID, func(o *keystile.Organization) error { o.Disabled = true; return nil })
			must(err)
		}
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "roles") {
		_, err := s.CreateRole(ctx, cli, keystile.Role{ID: fmt.Sprintf("role_%d", i), Name: name.Draw(t, "role name"), Scopes: scopes("role scopes")})
		must(err)
	}
	s.move(time.Duration(rapid.IntRange(0, 120).Draw(t, "minutes")) * time.Minute)
}

func TestWhateverTheWorldExportThenApplyChangesNothingAndMakesATwinElsewhere(t *testing.T) {
	const nothing = "organizations: []\nsites: []\nroles: []\napi_keys: []\nsigning_keys: []\n"
	s, twin := newShop(t), newShop(t)
	twin.Digester = s.Digester
	rapid.Check(t, func(rt *rapid.T) {
		s.apply(t, nothing, Options{Prune: true})
		twin.apply(t, nothing, Options{Prune: true})
		draw(rt, s)
		exported := s.export(t)
		if again := s.export(t); again != exported {
			rt.Fatal("two exports of one world differ")
		}
		w, err := Parse(File{Name: "export.yaml", Data: []byte(exported)})
		if err != nil {
			rt.Fatalf("%v in\n%s", err, exported)
		}
		got, err := Apply(context.Background(), s.Service, cli, w, Options{Prune: true})
		if err != nil || got.String() != "no changes\n" {
			rt.Fatalf("%s%v in\n%s", got.String(), err, exported)
		}
		twin.move(s.clock().Sub(twin.clock()))
		if _, err := Apply(context.Background(), twin.Service, cli, w, Options{}); err != nil {
			rt.Fatalf("%v in\n%s", err, exported)
		}
		if diff := cmp.Diff(exported, twin.export(t)); diff != "" {
			rt.Fatalf("the twin differs:\n%s", diff)
		}
		if got, err := Apply(context.Background(), twin.Service, cli, w, Options{Prune: true}); err != nil || got.String() != "no changes\n" {
			rt.Fatalf("applying to the twin again: %s%v", got.String(), err)
		}
	})
}

func TestExportedTextIsTheSameForOtherYAMLReaders(t *testing.T) {
	for _, text := range append(trickyNames, "plain", "key_1", "yes", "a.b-c", "a\u0085b", "\u2028", "\x7f", "\a") {
		var got struct {
			Name any `yaml:"name"`
		}
		if err := yaml.Unmarshal([]byte("name: "+scalar(text)), &got); err != nil || got.Name != text {
			t.Errorf("%q is written %s and read as %v (%v)", text, scalar(text), got.Name, err)
		}
	}
}

func TestAnEmptyStoreIsExportedAsEmptySections(t *testing.T) {
	want := exportHead + "organizations: []\nsites: []\nroles: []\nusers: []\napi_keys: []\nsigning_keys: []\nidentity_providers: []\n"
	if got := newShop(t).export(t); got != want {
		t.Errorf("%s", got)
	}
}

func TestAnExportDuringChangesFitsTogether(t *testing.T) {
	s := newShop(t)
	s.apply(t, small, Options{})
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			err := s.Store.Mutate(context.Background(), cli, func(ctx context.Context, tx *store.Tx) error {
				if i%2 == 1 {
					if err := tx.DeleteAPIKey(ctx, "moving"); err != nil {
						return err
					}
					return tx.DeleteSite(ctx, "moving")
				}
				if err := tx.CreateSite(ctx, keystile.Site{ID: "moving", OrganizationID: "a", Name: "moving"}); err != nil {
					return err
				}
				return tx.CreateAPIKey(ctx, keystile.APIKey{ID: "moving", OrganizationID: "a", Environment: keystile.Production, PermittedSiteIDs: []string{"moving"}})
			})
			if err != nil {
				done <- err
				return
			}
		}
	}()
	for range 30 {
		exported := s.export(t)
		if strings.Count(exported, "permitted_site_ids: [moving]") > strings.Count(exported, "  - id: moving\n    organization: a\n    name: moving\n") {
			t.Errorf("a key refers to a site that is not there:\n%s", exported)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

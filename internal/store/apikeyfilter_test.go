package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// crowd opens a store twice with more keys than a step of a walk looks at, after
// which come a few that differ from all of them: with a clock that stands, and with
// one that a minute has gone by on whenever it is looked at.
func crowd(t *testing.T, address string) (still, hasty *store.Store) {
	t.Helper()
	s := storetest.OpenURL(t, address)
	storetest.Must(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.CreateOrganization(ctx, storetest.Organization("north")), tx.CreateSite(ctx, storetest.Site("north-1", "north")),
			tx.CreateSite(ctx, storetest.Site("north-2", "north")),
			tx.CreateUser(ctx, keystile.User{ID: "ada", OrganizationID: "north", Username: "ada"}, store.SignInName{Name: "ada", Skeleton: "ada"}))
	})
	rows := storetest.ImportRows(10_050)
	for i := range rows {
		rows[i].Key.ExpiresAt = time.Time{}
		rows[i].Key.Hint = []string{"opa_prod_V24M", "load"}[i%2]
	}
	_, err := s.ImportAPIKeys(t.Context(), storetest.Actor, store.ImportOptions{JobID: "crowd"}, storetest.Source(rows, 1000), nil)
	noError(t, err)
	now := time.Now()
	storetest.Must(t, s, func(ctx context.Context, tx *store.Tx) error {
		var errs []error
		for id, change := range map[string]func(*keystile.APIKey){
			"rare-head":  func(k *keystile.APIKey) { k.Hint = "opa_prod_Zebr" },
			"rare-short": func(k *keystile.APIKey) { k.Hint = "opa_pz" },
			"rare-hers":  func(k *keystile.APIKey) { k.UserID = "ada" },
			"rare-gone":  func(k *keystile.APIKey) { k.RevokedAt = now },
			"rare-ended": func(k *keystile.APIKey) { k.ExpiresAt = now.Add(-time.Hour) },
			"rare-ends":  func(k *keystile.APIKey) { k.ExpiresAt = now.Add(100 * 24 * time.Hour) },
			"rare-site":  func(k *keystile.APIKey) { k.PermittedSiteIDs = []string{"north-2"} },
		} {
			key := storetest.Key(id, "north", "north-1")
			key.ExpiresAt, key.Hint = time.Time{}, "load"
			change(&key)
			errs = append(errs, tx.CreateAPIKey(ctx, key))
		}
		return errors.Join(errs...)
	})
	open := func(clock func() time.Time) *store.Store {
		s, err := store.Open(t.Context(), store.Options{URL: address, Now: clock})
		noError(t, err)
		t.Cleanup(func() { noError(t, s.Close()) })
		return s
	}
	running := now
	return open(func() time.Time { return now }), open(func() time.Time { running = running.Add(time.Minute); return running })
}

func ids(keys []keystile.APIKey) []string {
	found := []string{}
	for _, k := range keys {
		found = append(found, k.ID)
	}
	return found
}

func TestWhatFewKeysHaveIsFoundInTheFirstPageHoweverManyOthersThereAre(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		_, s := crowd(t, address)
		soon := time.Now().Add(200 * 24 * time.Hour)
		for name, c := range map[string]struct {
			filter store.APIKeyFilter
			want   []string
		}{
			"by how it begins":                    {store.APIKeyFilter{Head: "opa_prod_Ze"}, []string{"rare-head"}},
			"by more than is kept":                {store.APIKeyFilter{Head: "opa_prod_Zebra"}, []string{"rare-head"}},
			"by all that is kept, and by less":    {store.APIKeyFilter{Head: "opa_pz"}, []string{"rare-short"}},
			"by more than the short one's":        {store.APIKeyFilter{Head: "opa_pz4711"}, []string{"rare-short"}},
			"by a beginning that none has":        {store.APIKeyFilter{Head: "zzz"}, []string{}},
			"by a character that none has":        {store.APIKeyFilter{Head: "é\U0010FFFFz"}, []string{}},
			"by its user":                         {store.APIKeyFilter{UserID: "ada"}, []string{"rare-hers"}},
			"by a user who has none":              {store.APIKeyFilter{UserID: "bob"}, []string{}},
			"revoked":                             {store.APIKeyFilter{State: "revoked"}, []string{"rare-gone"}},
			"expired":                             {store.APIKeyFilter{State: "expired"}, []string{"rare-ended"}},
			"about to end":                        {store.APIKeyFilter{State: "active", ExpiresBefore: soon}, []string{"rare-ends"}},
			"ended or about to":                   {store.APIKeyFilter{ExpiresBefore: soon}, []string{"rare-ended", "rare-ends"}},
			"by its user, and how another begins": {store.APIKeyFilter{UserID: "ada", Head: "opa_prod_Zebr"}, []string{}},
			"by a site of another organization":   {store.APIKeyFilter{SiteID: "north-2", OrganizationID: "south"}, []string{}},
		} {
			t.Run(name, func(t *testing.T) {
				for _, organization := range []string{c.filter.OrganizationID, "north"} {
					if c.filter.OrganizationID != "" && organization == "north" {
						continue
					}
					for _, limit := range []int{1, 50} {
						f := c.filter
						f.OrganizationID, f.Limit = organization, limit
						got := []string{}
						for range max(1, len(c.want)/limit) {
							keys, through, err := s.FilterAPIKeys(t.Context(), f)
							noError(t, err)
							got, f.AfterID = append(got, ids(keys)...), through
						}
						if !slices.Equal(got, c.want) {
							t.Errorf("of organization %q, %d at a time: %q, want %q", organization, limit, got, c.want)
						}
						if limit == 50 && f.AfterID != "" {
							t.Errorf("of organization %q: the page is not the last", organization)
						}
					}
				}
			})
		}
	})
}

func TestAPageIsNotEmptyWhileThereIsTimeToLookOn(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		still, hasty := crowd(t, address)
		rare := store.APIKeyFilter{SiteID: "north-2"}
		keys, through, err := still.FilterAPIKeys(t.Context(), rare)
		noError(t, err)
		if got := ids(keys); !slices.Equal(got, []string{"rare-site"}) || through != "" {
			t.Errorf("%q, on from %q", got, through)
		}
		// Without time a page ends after a step, and the next goes on from there.
		keys, through, err = hasty.FilterAPIKeys(t.Context(), rare)
		noError(t, err)
		if len(keys) != 0 || through == "" {
			t.Fatalf("after a step: %q, on from %q", ids(keys), through)
		}
		rare.AfterID = through
		keys, through, err = hasty.FilterAPIKeys(t.Context(), rare)
		noError(t, err)
		if got := ids(keys); !slices.Equal(got, []string{"rare-site"}) || through != "" {
			t.Errorf("%q, on from %q", got, through)
		}
	})
}

func TestWhatManyKeysHaveIsWalkedById(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		_, s := crowd(t, address)
		// More than an index is read for: half of the crowd begins so.
		f := store.APIKeyFilter{Head: "opa_prod_V", Page: store.Page{Limit: 1000}}
		got := []string{}
		for {
			keys, through, err := s.FilterAPIKeys(t.Context(), f)
			noError(t, err)
			got = append(got, ids(keys)...)
			if f.AfterID = through; through == "" {
				break
			}
		}
		if len(got) != 5025 || !slices.IsSorted(got) {
			t.Errorf("%d keys, sorted: %t", len(got), slices.IsSorted(got))
		}
	})
}

package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

var organizationBehaviours = []behaviour{
	{"an organization comes back as it was created", func(t *testing.T, s *store.Store) {
		want := Organization("north")
		want.Disabled = true
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.CreateOrganization(ctx, want) })
		got, err := s.Organization(t.Context(), "north")
		same(t, err, want, got)
	}},
	{"an organization is updated, and an update that changes nothing writes nothing", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		want, err := s.Organization(t.Context(), "north")
		noError(t, err)
		want.Name, want.Disabled = "North & Sons", true
		unchanged(t, s, func() {
			o, err := s.Organization(t.Context(), "north")
			noError(t, err)
			Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateOrganization(ctx, o) })
		})
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateOrganization(ctx, want) })
		got, err := s.Organization(t.Context(), "north")
		if !got.UpdatedAt.After(want.UpdatedAt) {
			t.Errorf("the time of the update is %v, not after %v", got.UpdatedAt, want.UpdatedAt)
		}
		got.UpdatedAt = want.UpdatedAt
		same(t, err, want, got)
	}},
	{"a duplicate organization or tenant id is a conflict", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		other := Organization("west")
		other.TenantID = "tenant-north"
		south := Organization("south")
		south.TenantID = "tenant-north"
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateOrganization(ctx, Organization("north"))
		})
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error { return tx.CreateOrganization(ctx, other) })
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateOrganization(ctx, south) })
	}},
	{"organizations without a tenant id do not get in each other's way", func(t *testing.T, s *store.Store) {
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			for _, id := range []string{"a", "b"} {
				o := Organization(id)
				o.TenantID = ""
				if err := tx.CreateOrganization(ctx, o); err != nil {
					return err
				}
			}
			return nil
		})
	}},
	{"an organization that still has something is not deleted, and the refusal says what to do", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		remove := func(ctx context.Context, tx *store.Tx) error { return tx.DeleteOrganization(ctx, "north") }
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateAdminToken(ctx, AdminToken("north-token", "north"), Digest("north-token"), "pepper-1")
		})
		for _, step := range []struct {
			names string
			clear func(context.Context, *store.Tx) error
		}{
			{"delete its sites first", func(ctx context.Context, tx *store.Tx) error {
				return errors.Join(tx.RevokeAPIKey(ctx, "north-key", T0), tx.DeleteSite(ctx, "north-1"), tx.DeleteSite(ctx, "north-2"))
			}},
			{"delete its API keys first", func(ctx context.Context, tx *store.Tx) error { return tx.DeleteAPIKey(ctx, "north-key") }},
			{"revoke its admin tokens first", func(ctx context.Context, tx *store.Tx) error { return tx.RevokeAdminToken(ctx, "north-token", T0) }},
		} {
			err := refusal(t, s, keystile.ErrConflict, remove)
			if !strings.Contains(err.Error(), step.names) {
				t.Errorf("the refusal is %q; it should say %q", err, step.names)
			}
			Must(t, s, step.clear)
		}
		Must(t, s, remove)
		if _, err := s.Organization(t.Context(), "north"); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("the deleted organization is still there: %v", err)
		}
		if _, err := s.AdminToken(t.Context(), "north-token"); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("its admin token is still there: %v", err)
		}
	}},
	{"what is not there is not found", func(t *testing.T, s *store.Store) {
		for name, read := range map[string]func(context.Context) error{
			"organization": func(ctx context.Context) error { _, err := s.Organization(ctx, "x"); return err },
			"site":         func(ctx context.Context) error { _, err := s.Site(ctx, "x"); return err },
			"role":         func(ctx context.Context) error { _, err := s.Role(ctx, "x"); return err },
			"key":          func(ctx context.Context) error { _, err := s.APIKey(ctx, "x"); return err },
			"admin token":  func(ctx context.Context) error { _, err := s.AdminToken(ctx, "x"); return err },
			"keyset":       func(ctx context.Context) error { _, err := s.Keyset(ctx, "x"); return err },
			"meta":         func(ctx context.Context) error { _, err := s.Meta(ctx, "x"); return err },
		} {
			if err := read(t.Context()); !errors.Is(err, keystile.ErrNotFound) || errors.Is(err, keystile.ErrUnavailable) {
				t.Errorf("%s: %v, want not found", name, err)
			}
		}
		for name, change := range map[string]func(context.Context, *store.Tx) error{
			"update organization": func(ctx context.Context, tx *store.Tx) error { return tx.UpdateOrganization(ctx, Organization("x")) },
			"delete organization": func(ctx context.Context, tx *store.Tx) error { return tx.DeleteOrganization(ctx, "x") },
			"update site":         func(ctx context.Context, tx *store.Tx) error { return tx.UpdateSite(ctx, Site("x", "y")) },
			"delete site":         func(ctx context.Context, tx *store.Tx) error { return tx.DeleteSite(ctx, "x") },
			"update role":         func(ctx context.Context, tx *store.Tx) error { return tx.UpdateRole(ctx, Role("x")) },
			"delete role":         func(ctx context.Context, tx *store.Tx) error { return tx.DeleteRole(ctx, "x") },
			"update key":          func(ctx context.Context, tx *store.Tx) error { return tx.UpdateAPIKey(ctx, Key("x", "y")) },
			"revoke key":          func(ctx context.Context, tx *store.Tx) error { return tx.RevokeAPIKey(ctx, "x", T0) },
			"delete key":          func(ctx context.Context, tx *store.Tx) error { return tx.DeleteAPIKey(ctx, "x") },
			"add secret":          func(ctx context.Context, tx *store.Tx) error { return tx.AddAPIKeySecret(ctx, Secret("x", "w"), "") },
			"expire secrets": func(ctx context.Context, tx *store.Tx) error {
				return tx.ExpireAPIKeySecrets(ctx, "x", Digest("w"), T0)
			},
			"revoke admin token": func(ctx context.Context, tx *store.Tx) error { return tx.RevokeAdminToken(ctx, "x", T0) },
			"delete pepper":      func(ctx context.Context, tx *store.Tx) error { return tx.DeletePepper(ctx, "x") },
		} {
			if err := s.Mutate(t.Context(), Actor, change); !errors.Is(err, keystile.ErrNotFound) {
				t.Errorf("%s: %v, want not found", name, err)
			}
		}
	}},
	{"lists go by id in bytes, page by page", func(t *testing.T, s *store.Store) {
		ids := []string{"A", "B-1", "B.1", "B_1", "Z", "a", "b", "ba", "z"}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			for i := range ids {
				if err := tx.CreateOrganization(ctx, Organization(ids[(i*5)%len(ids)])); err != nil {
					return err
				}
			}
			return nil
		})
		var got []string
		for page := (store.Page{Limit: 2}); ; {
			list, err := s.Organizations(t.Context(), page)
			noError(t, err)
			if len(list) == 0 {
				break
			}
			for _, o := range list {
				got = append(got, o.ID)
			}
			page.AfterID = list[len(list)-1].ID
		}
		if diff := cmp.Diff(ids, got); diff != "" {
			t.Errorf("order of the pages (-want +got):\n%s", diff)
		}
	}},
	{"ids and texts that could not be kept are invalid, and named", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		for _, c := range []struct {
			field  string
			change func(context.Context, *store.Tx) error
		}{
			{"id", func(ctx context.Context, tx *store.Tx) error { return tx.CreateOrganization(ctx, Organization("a b")) }},
			{"id", func(ctx context.Context, tx *store.Tx) error { return tx.CreateOrganization(ctx, Organization("")) }},
			{"name", func(ctx context.Context, tx *store.Tx) error {
				o := Organization("west")
				o.Name = "nul \x00"
				return tx.CreateOrganization(ctx, o)
			}},
			{"name", func(ctx context.Context, tx *store.Tx) error {
				site := Site("s", "north")
				site.Name = "\xff\xfe"
				return tx.CreateSite(ctx, site)
			}},
			{"scopes[1]", func(ctx context.Context, tx *store.Tx) error {
				k := Key("k", "north")
				k.Scopes = []keystile.Scope{"a:b", "c:d e:f"}
				return tx.CreateAPIKey(ctx, k)
			}},
			{"scopes[0]", func(ctx context.Context, tx *store.Tx) error {
				r := Role("r")
				r.Scopes = []keystile.Scope{""}
				return tx.CreateRole(ctx, r)
			}},
		} {
			invalid(t, s, c.field, c.change)
		}
	}},
}

// same fails the test unless a read succeeded and brought what was wanted.
func same[T any](t *testing.T, err error, want, got T) {
	t.Helper()
	noError(t, err)
	if diff := cmp.Diff(want, got, cmp.Comparer(samePrefix)); diff != "" {
		t.Errorf("it came back different (-want +got):\n%s", diff)
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused fails the test unless the change is refused with the given error.
func refused(t *testing.T, s *store.Store, want error, fn func(context.Context, *store.Tx) error) {
	t.Helper()
	if err := refusal(t, s, want, fn); err == nil {
		t.Fatal("the change was not refused")
	}
}

// refusal is refused for tests that read the refusal.
func refusal(t *testing.T, s *store.Store, want error, fn func(context.Context, *store.Tx) error) error {
	t.Helper()
	err := s.Mutate(t.Context(), Actor, fn)
	if !errors.Is(err, want) {
		t.Fatalf("the change: %v, want %v", err, want)
	}
	return err
}

// invalid fails the test unless the change is refused for the given field.
func invalid(t *testing.T, s *store.Store, field string, fn func(context.Context, *store.Tx) error) {
	t.Helper()
	err := s.Mutate(t.Context(), Actor, fn)
	var problem *keystile.Invalid
	if !errors.As(err, &problem) {
		t.Errorf("the change: %v, want %s invalid", err, field)
		return
	}
	if problem.Field != field || problem.Remedy == "" {
		t.Errorf("the refusal is %+v, want field %q and a remedy", problem, field)
	}
}

// unchanged fails the test if fn leaves a trace in audit log or feed.
func unchanged(t *testing.T, s *store.Store, fn func()) {
	t.Helper()
	before := traces(t, s)
	fn()
	if after := traces(t, s); before != after {
		t.Errorf("the store has %s, and had %s before a change that changes nothing", after, before)
	}
}

func traces(t *testing.T, s *store.Store) string {
	t.Helper()
	revision, err := s.Revision(t.Context())
	noError(t, err)
	chains, err := s.Chains(t.Context())
	noError(t, err)
	events := 0
	for _, c := range chains {
		list, err := s.Events(t.Context(), store.EventFilter{OrganizationID: c})
		noError(t, err)
		events += len(list)
	}
	return fmt.Sprintf("revision %d and %d events", revision, events)
}

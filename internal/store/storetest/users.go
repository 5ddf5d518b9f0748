package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// User is a user with every member set that a new one has; the role must exist.
// They sign in as "ID@example.com" (see Names).
func User(id, organization, role string) keystile.User {
	return keystile.User{
		ID: id, OrganizationID: organization, Username: id + "@Example.com", Email: id + "@example.com", Name: "User " + id,
		RoleID: role, AdminRole: keystile.OrgDeveloper, CustomerIDs: []string{"cust-1", "cust-2"}, GroupID: "grp-1", SkinID: "skin-1",
		MFA: keystile.MFARequired, MustChangePassword: true, CreatedAt: T0, UpdatedAt: T0,
	}
}

// Names are the names of the user of an id.
func Names(id string) []store.SignInName {
	return []store.SignInName{{Name: id + "@example.com", Skeleton: "like " + id}}
}

// CreateUser adds User(id, organization, "").
func CreateUser(id, organization string) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		return tx.CreateUser(ctx, User(id, organization, ""), Names(id)...)
	}
}

var userBehaviours = []behaviour{
	{"a user comes back as they were created, by id, by name and in lists", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		role := Role("analyst")
		role.MFA = keystile.MFAOff
		full, south := User("full", "north", "analyst"), User("other", "south", "")
		bare := keystile.User{ID: "bare", OrganizationID: "north", Username: "bare", CreatedAt: T0, UpdatedAt: T0, Disabled: true}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.CreateRole(ctx, role), tx.CreateUser(ctx, full, Names("full")...),
				tx.CreateUser(ctx, bare, Names("bare")...), tx.CreateUser(ctx, south, Names("other")...))
		})
		revision, err := s.Revision(t.Context())
		noError(t, err)
		for _, u := range []keystile.User{full, bare, south} {
			got, err := s.User(t.Context(), u.ID)
			same(t, err, u, got)
			want := store.UserLookup{User: u, Organization: Organization(u.OrganizationID), Revision: revision}
			if u.RoleID != "" {
				want.Role = role
			}
			found, err := s.FindUser(t.Context(), u.ID+"@example.com")
			same(t, err, want, found)
			found, err = s.FindUserByID(t.Context(), u.ID)
			same(t, err, want, found)
		}
		list, err := s.Users(t.Context(), store.UserFilter{OrganizationID: "north"})
		same(t, err, []keystile.User{bare, full}, list)
		list, err = s.Users(t.Context(), store.UserFilter{Page: store.Page{AfterID: "bare", Limit: 1}})
		same(t, err, []keystile.User{full}, list)
		sites, err := s.SiteIDs(t.Context(), "north")
		same(t, err, []string{"north-1", "north-2"}, sites)
	}},
	{"a user is found by the exact canonical name alone, and never by a skeleton", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, CreateUser("a", "north"))
		for _, name := range []string{"", "A@example.com", "a@example.com ", "a@example.co", "like a", "a", "a@example.com\x00", "%", "\xff"} {
			if found, err := s.FindUser(t.Context(), name); !errors.Is(err, keystile.ErrNotFound) {
				t.Errorf("%q finds %q, %v", name, found.User.ID, err)
			}
		}
	}},
	{"TestThreat30 nobody is given a name or address that another user of any organization has, or one that looks like it", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		two := []store.SignInName{{Name: "ann", Skeleton: "ann"}, {Name: "ann@example.com", Skeleton: "ann@"}}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateUser(ctx, User("ann", "north", ""), two...)
		})
		for _, names := range [][]store.SignInName{
			{{Name: "ann", Skeleton: "x"}},
			{{Name: "ann@example.com", Skeleton: "x"}}, // as a username, too: there is one index
			{{Name: "bob", Skeleton: "bob"}, {Name: "ann@example.com", Skeleton: "x"}},
			{{Name: "аnn", Skeleton: "ann"}},
		} {
			refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error {
				return tx.CreateUser(ctx, User("bob", "south", ""), names...)
			})
		}
		Must(t, s, CreateUser("bob", "south"))
		refused(t, s, keystile.ErrConflict, func(ctx context.Context, tx *store.Tx) error {
			return tx.UpdateUser(ctx, User("bob", "south", ""), two[0])
		})
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.CreateUser(ctx, User("eve", "south", ""), two[1]); !errors.Is(err, keystile.ErrConflict) {
				return fmt.Errorf("within a transaction: %w", err)
			}
			if err := tx.UpdateUser(ctx, User("bob", "south", ""), two[1]); !errors.Is(err, keystile.ErrConflict) {
				return fmt.Errorf("within a transaction: %w", err)
			}
			return nil // what was refused must leave nothing, though this is committed
		})
		if _, err := s.User(t.Context(), "eve"); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("the refused user is there: %v", err)
		}
		if found, err := s.FindUser(t.Context(), "bob@example.com"); err != nil || found.User.ID != "bob" {
			t.Errorf("the user who was not renamed has lost their name: %+v, %v", found, err)
		}
		invalid(t, s, "email", func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateUser(ctx, User("own", "south", ""), store.SignInName{Name: "q", Skeleton: "q"}, store.SignInName{Name: "qq", Skeleton: "q"})
		})
		invalid(t, s, "username", func(ctx context.Context, tx *store.Tx) error { return tx.CreateUser(ctx, User("own", "south", "")) })
	}},
	{"a name is free again once its user is renamed or deleted", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, CreateUser("a", "north"))
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.UpdateUser(ctx, User("a", "north", ""), Names("b")...)
		})
		if _, err := s.FindUser(t.Context(), "a@example.com"); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("the old name still finds somebody: %v", err)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateUser(ctx, User("c", "south", ""), Names("a")...)
		})
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, "a") })
		Must(t, s, CreateUser("b", "south"))
		if found, err := s.FindUser(t.Context(), "b@example.com"); err != nil || found.User.ID != "b" {
			t.Errorf("%+v, %v", found, err)
		}
	}},
	{"of 16 that ask for one name at once, one gets it", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		won := make([]bool, 16)
		together(t, len(won), func(i int) error {
			id := fmt.Sprintf("user-%d", i)
			err := s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error {
				names := []store.SignInName{{Name: id, Skeleton: id}, {Name: "wanted", Skeleton: "wanted"}}
				return tx.CreateUser(ctx, User(id, []string{"north", "south"}[i%2], ""), names...)
			})
			won[i] = err == nil
			if errors.Is(err, keystile.ErrConflict) {
				return nil
			}
			return err
		})
		n := 0
		for _, w := range won {
			if w {
				n++
			}
		}
		users, err := s.Users(t.Context(), store.UserFilter{})
		noError(t, err)
		if n != 1 || len(users) != 1 {
			t.Errorf("%d got it, %d users are there", n, len(users))
		}
	}},
	{"a user's update is written once and leaves their history alone", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, CreateUser("u", "north"))
		u, names := User("u", "north", ""), Names("u")
		update := func(ctx context.Context, tx *store.Tx) error { return tx.UpdateUser(ctx, u, names...) }
		unchanged(t, s, func() { Must(t, s, update) })
		u.Username, u.Email, u.Name, u.AdminRole, u.CustomerIDs, u.GroupID, u.SkinID = "v", "", "", keystile.AdminNone, nil, "", ""
		u.MFA, u.MustChangePassword, u.Disabled = keystile.MFAInherit, false, true
		u.LastLoginAt = T0
		names = []store.SignInName{{Name: "z", Skeleton: "z"}, {Name: "v", Skeleton: "v"}}
		Must(t, s, update)
		got, err := s.User(t.Context(), "u")
		u.LastLoginAt, u.UpdatedAt = time.Time{}, got.UpdatedAt
		same(t, err, u, got)
		unchanged(t, s, func() { Must(t, s, update) })
		u.OrganizationID = "south"
		invalid(t, s, "organization", update)
	}},
	{"a user who would contradict themselves is refused", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		for field, spoil := range map[string]func(*keystile.User){
			"id":              func(u *keystile.User) { u.ID = "a/b" },
			"username":        func(u *keystile.User) { u.Username = "" },
			"email":           func(u *keystile.User) { u.Email = "a\x00" },
			"role_id":         func(u *keystile.User) { u.RoleID = "nobody" },
			"admin_role":      func(u *keystile.User) { u.AdminRole = "root" },
			"mfa":             func(u *keystile.User) { u.MFA = "never" },
			"customer_ids[1]": func(u *keystile.User) { u.CustomerIDs = []string{"a", "b c"} },
			"organization":    func(u *keystile.User) { u.OrganizationID = "nobody" },
		} {
			u := User("u", "north", "")
			spoil(&u)
			invalid(t, s, field, func(ctx context.Context, tx *store.Tx) error { return tx.CreateUser(ctx, u, Names("u")...) })
		}
	}},
	{"TestThreat30 a role or organization is not free for others while a user has it", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.CreateRole(ctx, Role("r")), tx.CreateUser(ctx, User("u", "north", "r"), Names("u")...),
				tx.DeleteAPIKey(ctx, "north-key"), tx.DeleteSite(ctx, "north-1"), tx.DeleteSite(ctx, "north-2"))
		})
		for what, remove := range map[string]func(context.Context, *store.Tx) error{
			"give them another or none first": func(ctx context.Context, tx *store.Tx) error { return tx.DeleteRole(ctx, "r") },
			"delete its users first":          func(ctx context.Context, tx *store.Tx) error { return tx.DeleteOrganization(ctx, "north") },
		} {
			if err := refusal(t, s, keystile.ErrConflict, remove); !strings.Contains(err.Error(), what) {
				t.Errorf("the refusal is %q", err)
			}
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.DeleteUser(ctx, "u"), tx.DeleteRole(ctx, "r"), tx.DeleteOrganization(ctx, "north"))
		})
	}},
	{"every change of a user has its event and is announced", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		before, err := s.Revision(t.Context())
		noError(t, err)
		Must(t, s, CreateUser("u", "north"))
		u := User("u", "north", "")
		u.Disabled = true
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateUser(ctx, u, Names("v")...) })
		unchanged(t, s, func() {
			Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.NoteLogin(ctx, "u", T0.Add(time.Hour)) })
			Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.NoteLogin(ctx, "u", T0) })
		})
		if got, err := s.User(t.Context(), "u"); err != nil || !got.LastLoginAt.Equal(T0.Add(time.Hour)) {
			t.Errorf("last login %v, %v", got.LastLoginAt, err)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, "u") })
		events, err := s.Events(t.Context(), store.EventFilter{OrganizationID: "north", AfterSeq: 4})
		noError(t, err)
		var actions []string
		for _, e := range events {
			actions = append(actions, e.Action+" "+e.Target)
		}
		same(t, nil, []string{"user.create user:u", "user.update user:u", "user.delete user:u"}, actions)
		if len(events) > 1 && events[1].Detail != `{"disabled":{"from":false,"to":true},"names":{"from":["u@example.com"],"to":["v@example.com"]}}` {
			t.Errorf("the update says %s", events[1].Detail)
		}
		changes, _, err := s.Changes(t.Context(), before, 10)
		noError(t, err)
		if len(changes) != 2 {
			t.Errorf("%d changes are announced: %v", len(changes), changes)
		}
		for _, c := range changes {
			if c.Kind != keystile.ChangeUser || c.ID != "u" {
				t.Errorf("change %+v", c)
			}
		}
	}},
	{"TestThreat28 a personal API key brings its user, and goes with them", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		key := Key("personal", "north")
		key.UserID = "u"
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.CreateRole(ctx, Role("r")), tx.CreateUser(ctx, User("u", "north", "r"), Names("u")...),
				tx.CreateAPIKey(ctx, key, Secret("personal", "mine")))
		})
		for _, digests := range [][][32]byte{{Digest("mine")}, {Digest("other pepper"), Digest("mine")}} {
			found, err := s.FindAPIKeySecret(t.Context(), digests)
			noError(t, err)
			same(t, nil, &store.KeyOwner{User: User("u", "north", "r"), Role: Role("r"), SiteIDs: []string{"north-1", "north-2"}}, found.Owner)
			same(t, nil, "u", found.Key.UserID)
		}
		found, err := s.FindAPIKeySecret(t.Context(), [][32]byte{Digest("north-secret")})
		if err != nil || found.Owner != nil || found.Key.UserID != "" {
			t.Errorf("a key of nobody's has the owner %+v, %v", found.Owner, err)
		}
		key.UserID = ""
		invalid(t, s, "user", func(ctx context.Context, tx *store.Tx) error { return tx.UpdateAPIKey(ctx, key) })
		for _, user := range []string{"u", "nobody"} {
			other := Key("other", "south")
			other.UserID = user
			invalid(t, s, "user", func(ctx context.Context, tx *store.Tx) error { return tx.CreateAPIKey(ctx, other) })
		}
		keys, err := s.APIKeysOfUser(t.Context(), "u")
		if err != nil || len(keys) != 1 || keys[0].ID != "personal" {
			t.Errorf("keys of the user: %+v, %v", keys, err)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, "u") })
		unknown(t, s, "mine")
		if _, err := s.APIKey(t.Context(), "personal"); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("the key is still there: %v", err)
		}
	}},
	{"a user that is not there is not found", func(t *testing.T, s *store.Store) {
		for name, read := range map[string]func() error{
			"read":    func() error { _, err := s.User(t.Context(), "x"); return err },
			"look up": func() error { _, err := s.FindUserByID(t.Context(), "x"); return err },
			"update": func() error {
				return s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateUser(ctx, User("x", "y", "")) })
			},
			"delete": func() error {
				return s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, "x") })
			},
		} {
			if err := read(); !errors.Is(err, keystile.ErrNotFound) {
				t.Errorf("%s: %v, want not found", name, err)
			}
		}
	}},
	{"roles and organizations keep what they ask of second factors", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		role, org := Role("r"), Organization("north")
		role.MFA, org.MFA = keystile.MFARequired, keystile.MFAOptional
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.CreateRole(ctx, role), tx.UpdateOrganization(ctx, org))
		})
		gotRole, err := s.Role(t.Context(), "r")
		same(t, err, role, gotRole)
		gotOrg, err := s.Organization(t.Context(), "north")
		org.UpdatedAt = gotOrg.UpdatedAt
		same(t, err, org, gotOrg)
		role.MFA, org.MFA = "never", "never"
		invalid(t, s, "mfa", func(ctx context.Context, tx *store.Tx) error { return tx.UpdateRole(ctx, role) })
		invalid(t, s, "mfa", func(ctx context.Context, tx *store.Tx) error { return tx.UpdateOrganization(ctx, org) })
	}},
}

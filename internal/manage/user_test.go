package manage_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login/password"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

const goodPassword = keystile.Secret("seventeen otters juggle quietly")

// newPeople is a world with passwords and the organisations north and south.
func newPeople(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	w.Passwords = must(password.New(password.Options{Random: rand.Reader}))(t)
	w.organization(t, "north", "north-1")
	w.organization(t, "south", "south-1")
	return w
}

func (w *world) person(t testing.TB, name, organization string) keystile.User {
	t.Helper()
	return must(w.CreateUser(t.Context(), operator, manage.NewUser{User: keystile.User{Username: name, OrganizationID: organization}}))(t)
}

func (w *world) narrowed(organization string, scopes ...keystile.Scope) *manage.Service {
	return w.For(keystile.AdminToken{ID: "adm", OrganizationID: organization, Scopes: scopes})
}

func fields(err error) (names []string) {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, one := range joined.Unwrap() {
			names = append(names, fields(one)...)
		}
		return names
	}
	var invalid *keystile.Invalid
	if errors.As(err, &invalid) {
		return []string{invalid.Field}
	}
	return nil
}

func TestAUserHasTheMomentAsAnIDAndAnAddressAsUsernameAndMail(t *testing.T) {
	w := newPeople(t)
	first, second := w.person(t, " Ann@Example.com ", "north"), w.person(t, "bob", "north")
	if first.ID != "user_20260301120000000000" || second.ID != "user_20260301120000000001" {
		t.Errorf("ids %q, %q", first.ID, second.ID)
	}
	if first.Username != "Ann@Example.com" || first.Email != first.Username || second.Email != "" {
		t.Errorf("%+v, %+v", first, second)
	}
	for _, name := range []string{"ann@example.com", "ANN@EXAMPLE.COM.", "ａnn@example.com"} {
		found := must(w.FindUser(t.Context(), name))(t)
		if found.ID != first.ID {
			t.Errorf("%q finds %q", name, found.ID)
		}
	}
	renamed := must(w.UpdateUser(t.Context(), operator, first.ID, func(u *keystile.User) error { u.Username = "ann@example.org"; return nil }))(t)
	if renamed.Email != "ann@example.org" {
		t.Errorf("the address is still %q", renamed.Email)
	}
}

func TestThreat35_NobodyTakesAnothersAddressOrOneThatLooksLikeIt(t *testing.T) {
	w := newPeople(t)
	w.person(t, "cape@example.com", "north")
	must(w.CreateUser(t.Context(), operator, manage.NewUser{User: keystile.User{Username: "bob", Email: "bob@example.com", OrganizationID: "north"}}))(t)
	for _, u := range []keystile.User{
		{Username: "CAPE@example.com"},
		{Username: "cape", Email: "cape@EXAMPLE.com"},
		{Username: "саре@example.com"}, // Cyrillic
		{Username: "bob@example.com"},
		{Username: "eve", Email: "Bob@example.com"},
	} {
		u.OrganizationID = "south"
		if _, err := w.CreateUser(t.Context(), operator, manage.NewUser{User: u}); !errors.Is(err, keystile.ErrConflict) {
			t.Errorf("%q %q: %v", u.Username, u.Email, err)
		}
	}
	for _, u := range []keystile.User{{Username: "a@b@c"}, {Username: "x", Email: "a@b@c"}, {Username: "x", Email: "no address"}, {Username: "a@example.com", Email: "b@example.com"}} {
		u.OrganizationID = "south"
		if _, err := w.CreateUser(t.Context(), operator, manage.NewUser{User: u}); len(fields(err)) != 1 {
			t.Errorf("%q %q: %v", u.Username, u.Email, err)
		}
	}
}

func TestEverythingThatIsWrongWithAUserIsToldAtOnce(t *testing.T) {
	w := newPeople(t)
	_, err := w.CreateUser(t.Context(), operator, manage.NewUser{
		User: keystile.User{
			ID: "a/b", Username: "a b", Name: "x\n", RoleID: "a b", AdminRole: "root", MFA: "never", CustomerIDs: []string{"ok", "not ok"}, GroupID: "a,b", OrganizationID: "nobody",
		},
		Password: "short",
	})
	got := strings.Join(fields(err), " ")
	for _, field := range []string{"id", "username", "name", "role_id", "admin_role", "mfa", "customer_ids[1]", "group_id", "organization", "password"} {
		if !strings.Contains(" "+got+" ", " "+field+" ") {
			t.Errorf("nothing is said of %s: %s", field, got)
		}
	}
}

func TestAPasswordIsKeptAsAHashAndSettingOneEndsSessions(t *testing.T) {
	w := newPeople(t)
	ctx := t.Context()
	u := must(w.CreateUser(ctx, operator, manage.NewUser{User: keystile.User{Username: "ann", OrganizationID: "north"}, Password: goodPassword}))(t)
	kept := must(w.Store.Password(ctx, u.ID))(t)
	if ok, err := w.VerifyPassword(ctx, kept.Hash, goodPassword); !ok || err != nil {
		t.Errorf("the password does not verify: %v", err)
	}
	session := keystile.Session{ID: "ses_1", UserID: u.ID, OrganizationID: "north", Door: keystile.DoorWeb, CreatedAt: w.Now(), AuthenticatedAt: w.Now(), ExpiresAt: w.Now().Add(time.Hour)}
	openSession := func() {
		if err := w.Store.Mutate(ctx, operator, func(ctx context.Context, tx *store.Tx) error { return tx.CreateSession(ctx, session) }); err != nil {
			t.Fatal(err)
		}
	}
	openSession()
	changed := must(w.SetPassword(ctx, operator, u.ID, manage.NewPassword{Password: "eleven badgers whistle at noon", MustChange: true}))(t)
	if !changed.MustChangePassword {
		t.Error("the user need not change it")
	}
	if got := must(w.Store.Session(ctx, "ses_1"))(t); got.RevokedAt.IsZero() {
		t.Error("the session lives on")
	}
	if again := must(w.Store.Password(ctx, u.ID))(t); again.Hash == kept.Hash {
		t.Error("the hash is the old one")
	}
	for _, weak := range []keystile.Secret{"", "short", "password123", "ann-ann-ann", "a\x00bcdefghijkl"} {
		if _, err := w.SetPassword(ctx, operator, u.ID, manage.NewPassword{Password: weak}); len(fields(err)) != 1 {
			t.Errorf("%d bytes: %v", len(weak), err)
		}
	}
	hash := keystile.Secret(must(bcrypt.GenerateFromPassword([]byte("any"), bcrypt.MinCost))(t))
	if _, err := w.CreateUser(ctx, operator, manage.NewUser{User: keystile.User{Username: "x", OrganizationID: "north"}, Hash: "not a hash"}); len(fields(err)) != 1 {
		t.Errorf("what is no hash: %v", err)
	}
	must(w.CreateUser(ctx, operator, manage.NewUser{User: keystile.User{Username: "y", OrganizationID: "north"}, Hash: hash}))(t)
}

func TestResettingMFARemovesEveryFactorAndEnrollingMakesOne(t *testing.T) {
	w := newPeople(t)
	ctx := t.Context()
	u := w.person(t, "ann", "north")
	made := must(w.EnrolTOTP(ctx, operator, u.ID))(t)
	if !strings.HasPrefix(made.URI.Reveal(), "otpauth://totp/Keystile:ann?") {
		t.Errorf("the URI is %q", made.URI.Reveal())
	}
	if _, err := w.EnrolTOTP(ctx, operator, u.ID); !errors.Is(err, keystile.ErrConflict) {
		t.Errorf("a second factor: %v", err)
	}
	must(w.ResetMFA(ctx, operator, u.ID))(t)
	if left := must(w.Store.Factors(ctx, u.ID))(t); len(left) != 0 {
		t.Errorf("%d factors are left", len(left))
	}
	must(w.EnrolTOTP(ctx, operator, u.ID))(t)
}

func TestThreat30_ATokenOfOneOrganizationNeitherSeesNorChangesUsersOfAnother(t *testing.T) {
	w := newPeople(t)
	ctx := t.Context()
	theirs := w.person(t, "theirs", "south")
	own := w.narrowed("north", "users:*", "identity_providers:*", "applications:*", "authorizations:*", "keys:*", "sites:*", "organizations:*", "sessions:*", "signing_keys:*", "audit:read", "admin_tokens:*")
	must(w.CreateIdentityProvider(ctx, operator, provider("sso", "south")))(t)
	for name, err := range map[string]error{
		"read":            second(own.User(ctx, theirs.ID)),
		"find":            second(own.FindUser(ctx, "theirs")),
		"update":          second(own.UpdateUser(ctx, operator, theirs.ID, func(*keystile.User) error { return nil })),
		"set password":    second(own.SetPassword(ctx, operator, theirs.ID, manage.NewPassword{Password: goodPassword})),
		"reset MFA":       second(own.ResetMFA(ctx, operator, theirs.ID)),
		"enrol":           second(own.EnrolTOTP(ctx, operator, theirs.ID)),
		"delete":          own.DeleteUser(ctx, operator, theirs.ID),
		"read provider":   second(own.IdentityProvider(ctx, "sso")),
		"update provider": second(own.UpdateIdentityProvider(ctx, operator, "sso", func(*manage.NewIdentityProvider) error { return nil })),
		"delete provider": own.DeleteIdentityProvider(ctx, operator, "sso"),
	} {
		if !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("%s: %v, want not found", name, err)
		}
	}
	for _, organization := range []string{"south", "nowhere"} {
		_, err := own.CreateUser(ctx, operator, manage.NewUser{User: keystile.User{Username: "x", OrganizationID: organization}})
		if got := fields(err); len(got) != 1 || got[0] != "organization" {
			t.Errorf("create in %s: %v", organization, err)
		}
		_, err = own.CreateIdentityProvider(ctx, operator, provider("x", organization))
		if got := fields(err); len(got) != 1 || got[0] != "organization" {
			t.Errorf("create a provider in %s: %v", organization, err)
		}
	}
	if users := must(own.Users(ctx, manage.UserFilter{}))(t); len(users) != 0 {
		t.Errorf("it lists %d users", len(users))
	}
	if users := must(own.Users(ctx, manage.UserFilter{OrganizationID: "south"}))(t); len(users) != 0 {
		t.Errorf("it lists %d users of another", len(users))
	}
}

func TestATokenActsOnNobodyWhoMayDoMoreThanItself(t *testing.T) {
	w := newPeople(t)
	ctx := t.Context()
	people := map[keystile.AdminRole]keystile.User{}
	for _, role := range append([]keystile.AdminRole{keystile.AdminNone}, keystile.AdminRoles...) {
		people[role] = must(w.CreateUser(ctx, operator, manage.NewUser{User: keystile.User{Username: "u-" + string(role), OrganizationID: "north", AdminRole: role}}))(t)
	}
	everything := []keystile.Scope{"users:*", "identity_providers:*", "keys:*", "sites:*", "organizations:*", "sessions:*", "signing_keys:*", "audit:*", "admin_tokens:*", "applications:*", "authorizations:*"}
	for name, c := range map[string]struct {
		service *manage.Service
		may     []keystile.AdminRole
	}{
		"users only":                     {w.narrowed("north", "users:*"), []keystile.AdminRole{keystile.AdminNone}},
		"users and keys":                 {w.narrowed("north", "users:*", "keys:*"), []keystile.AdminRole{keystile.AdminNone}},
		"users, keys and applications":   {w.narrowed("north", "users:*", "keys:*", "applications:*"), []keystile.AdminRole{keystile.AdminNone, keystile.OrgDeveloper}},
		"all of an organization":         {w.narrowed("north", everything...), []keystile.AdminRole{keystile.AdminNone, keystile.OrgDeveloper, keystile.OrgAdmin}},
		"global, users only":             {w.narrowed("", "users:*"), []keystile.AdminRole{keystile.AdminNone}},
		"global, all of an organization": {w.narrowed("", everything...), []keystile.AdminRole{keystile.AdminNone, keystile.OrgDeveloper, keystile.OrgAdmin}},
		"everything":                     {w.narrowed("", keystile.AdminScopes...), append([]keystile.AdminRole{keystile.AdminNone}, keystile.AdminRoles...)},
	} {
		for role, u := range people {
			allowed := false
			for _, r := range c.may {
				allowed = allowed || r == role
			}
			_, errReset := c.service.ResetMFA(ctx, operator, u.ID)
			_, errSet := c.service.SetPassword(ctx, operator, u.ID, manage.NewPassword{Password: "x"})
			_, errUpdate := c.service.UpdateUser(ctx, operator, u.ID, func(u *keystile.User) error { u.MFA = keystile.MFAOff; return nil })
			_, errGrant := c.service.UpdateUser(ctx, operator, people[keystile.AdminNone].ID, func(u *keystile.User) error { u.AdminRole = role; return nil })
			must(w.UpdateUser(ctx, operator, people[keystile.AdminNone].ID, func(u *keystile.User) error { u.AdminRole = ""; return nil }))(t)
			must(w.UpdateUser(ctx, operator, u.ID, func(u *keystile.User) error { u.MFA = ""; return nil }))(t)
			for what, err := range map[string]error{"reset MFA": errReset, "set password": errSet, "update": errUpdate, "grant": errGrant} {
				if errors.Is(err, manage.ErrNotPermitted) == allowed {
					t.Errorf("%s: %s of %q: %v, want allowed %v", name, what, role, err, allowed)
				}
			}
		}
	}
	_, err := w.narrowed("north", "identity_providers:*", "users:*").CreateIdentityProvider(ctx, operator, provider("x", "north"))
	if !errors.Is(err, manage.ErrNotPermitted) {
		t.Errorf("a provider that could sign in an org_admin: %v", err)
	}
	must(w.narrowed("north", everything...).CreateIdentityProvider(ctx, operator, provider("x", "north")))(t)
}

func TestThreat28_APersonalKeyIsChangedByNobodyElseAndEndsWithItsReplacement(t *testing.T) {
	w := newPeople(t)
	ctx := t.Context()
	u := w.person(t, "ann", "north")
	bring := func(text keystile.Secret) {
		t.Helper()
		if err := w.Store.Mutate(ctx, operator, func(ctx context.Context, tx *store.Tx) error {
			return w.ImportAuthTokenTx(ctx, tx, u, manage.NewAuthToken{Text: text})
		}); err != nil {
			t.Fatal(err)
		}
	}
	bring("first-personal-key-0123456789abc")
	first := must(w.Store.APIKeysOfUser(ctx, u.ID))(t)[0]
	if _, _, err := w.RotateKey(ctx, operator, first.ID, 0); !errors.Is(err, keystile.ErrConflict) {
		t.Errorf("rotate: %v", err)
	}
	if _, err := w.UpdateKey(ctx, operator, first.ID, func(k *keystile.APIKey) error { k.Name = "x"; return nil }); !errors.Is(err, keystile.ErrConflict) {
		t.Errorf("update: %v", err)
	}
	bring("second-personal-key-0123456789ab")
	if got := must(w.APIKey(ctx, first.ID))(t); got.RevokedAt.IsZero() {
		t.Error("the replaced key lives on")
	}
}

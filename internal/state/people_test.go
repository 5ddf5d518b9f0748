package state

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
	"pgregory.net/rapid"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

const people = `
organizations: [{id: a, mfa: optional}, {id: b}]
roles: [{id: analyst, scopes: ["telemetry:read"], mfa: "off"}]
users:
  - username: Ann@Example.com
    password: x
    organization: a
    role_id: analyst
    admin_role: org_admin
    customer_ids: [cust-1, cust-2]
    group_id: grp-1
    skin_id: skin-1
    mfa: off
    totp_secret: jbsw y3dp ehpk 3pxp
    auth_token: personal-key-of-ann-0123456789
  - {username: bob, email: bob@example.com, password_hash: "%s", organization: b, disabled: true, name: Bob}
identity_providers:
  - {name: sso, organization: a, roles: [analyst], issuer: https://sso.example.com, audience: keystile, algorithms: [RS256], jwks_url: https://sso.example.com/jwks, claims: {username: email, role_id: role}, create_users: true}
  - {name: shared, organization: b, issuer: partner, audience: keystile, algorithms: [HS256], secret: canary-secret-of-a-provider-0123456789}
  - {name: set, organization: b, issuer: i, audience: k, algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE}]}}
`

func bcryptHash(t testing.TB, text string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(text), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func (s *shop) userNamed(t testing.TB, name string) keystile.User {
	t.Helper()
	u, err := s.FindUser(context.Background(), name)
	if err != nil {
		t.Fatalf("find %s: %v", name, err)
	}
	return u
}

func (s *shop) verifies(t testing.TB, name, password string) bool {
	t.Helper()
	stored, err := s.Store.Password(context.Background(), s.userNamed(t, name).ID)
	if err != nil {
		t.Fatal(err)
	}
	ok, err := s.VerifyPassword(context.Background(), stored.Hash, keystile.Secret(password))
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestPeopleAreCreatedFromTheFileAndThenNothingChanges(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, st *store.Store) {
		s := shopOn(t, st, newPepper(t))
		text := fmt.Sprintf(people, bcryptHash(t, "bobs"))
		first := s.apply(t, text, Options{})
		if !strings.Contains(first.String(), "+ user Ann@Example.com\n+ user bob\n+ identity_provider sso\n") {
			t.Errorf("%s", first.String())
		}
		if again := s.apply(t, text, Options{Prune: true}); again.String() != "no changes\n" || len(again.Warnings) != 0 {
			t.Errorf("again: %s%v", again.String(), again.Warnings)
		}
		ann, bob := s.userNamed(t, "ann@example.com"), s.userNamed(t, "bob@EXAMPLE.com")
		if ann.Email != "Ann@Example.com" || ann.MFA != keystile.MFAOff || ann.AdminRole != keystile.OrgAdmin || ann.RoleID != "analyst" || !bob.Disabled {
			t.Errorf("%+v\n%+v", ann, bob)
		}
		if !s.verifies(t, "ann@example.com", "x") || !s.verifies(t, "bob", "bobs") || s.verifies(t, "bob", "x") {
			t.Error("the passwords are not those of the file")
		}
		key, err := s.Store.APIKeysOfUser(context.Background(), ann.ID)
		if err != nil || len(key) != 1 || s.opens(t, "personal-key-of-ann-0123456789") != key[0].ID {
			t.Errorf("personal key: %+v, %v", key, err)
		}
		exported := s.export(t)
		for _, canary := range []string{"canary", "JBSWY3DP", "personal-key"} {
			if strings.Contains(exported, canary) {
				t.Errorf("the export shows %s", canary)
			}
		}
		if got := s.apply(t, exported, Options{Prune: true}); got.String() != "no changes\n" || len(got.Warnings) != 0 {
			t.Errorf("the export applied: %s%v\n%s", got.String(), got.Warnings, exported)
		}
	})
}

func TestAnExportOfPeopleMakesATwinUnderTheSameMasterKeyAndIsRefusedUnderAnother(t *testing.T) {
	s := newShop(t)
	s.apply(t, fmt.Sprintf(people, bcryptHash(t, "bobs")), Options{})
	exported := s.export(t)
	twin := newShop(t)
	if _, err := Apply(t.Context(), twin.Service, cli, parse(t, exported), Options{}); err == nil || strings.Count(err.Error(), "was sealed under master key "+s.Sealer.MasterID()) != 3 {
		t.Errorf("under another master key: %v", err)
	}
	twin.Sealer, twin.Digester = s.Sealer, s.Digester
	twin.apply(t, exported, Options{})
	if diff := cmp.Diff(exported, twin.export(t)); diff != "" {
		t.Errorf("the twin differs:\n%s", diff)
	}
	if twin.opens(t, "personal-key-of-ann-0123456789") == "" || !twin.verifies(t, "ann@example.com", "x") {
		t.Error("what opened the one does not open the other")
	}
}

func TestChangesOfPeopleShowEachFieldAndNeverASecret(t *testing.T) {
	s := newShop(t)
	s.apply(t, fmt.Sprintf(people, bcryptHash(t, "bobs")), Options{})
	changed := `
users:
  - {username: ANN@example.com, password: y, organization: a, mfa: required, name: Ann}
  - {username: bob, organization: b, email: bob@example.org}
identity_providers:
  - {name: sso, organization: a, issuer: other, audience: k, algorithms: [HS256], secret: canary-secret-0123456789-0123456789, disabled: true}
  - {name: shared, organization: b, issuer: partner, audience: keystile, algorithms: [HS256], secret: canary-secret-of-a-provider-other-one}
`
	dry := s.apply(t, changed, Options{DryRun: true})
	got := s.apply(t, changed, Options{})
	want := `~ user ANN@example.com: username: Ann@Example.com -> ANN@example.com
~ user ANN@example.com: email: Ann@Example.com -> ANN@example.com
~ user ANN@example.com: name: none -> Ann
~ user ANN@example.com: role_id: analyst -> none
~ user ANN@example.com: admin_role: org_admin -> none
~ user ANN@example.com: customer_ids: cust-1,cust-2 -> none
~ user ANN@example.com: group_id: grp-1 -> none
~ user ANN@example.com: skin_id: skin-1 -> none
~ user ANN@example.com: mfa: off -> required
~ user ANN@example.com: password: old -> new
~ user bob: email: bob@example.com -> bob@example.org
~ user bob: name: Bob -> none
~ user bob: disabled: true -> false
~ identity_provider sso: roles: analyst -> none
~ identity_provider sso: issuer: https://sso.example.com -> other
~ identity_provider sso: audience: keystile -> k
~ identity_provider sso: algorithms: RS256 -> HS256
~ identity_provider sso: jwks_url: https://sso.example.com/jwks -> none
~ identity_provider sso: claims: role_id:role,username:email -> none
~ identity_provider sso: create_users: true -> false
~ identity_provider sso: disabled: false -> true
~ identity_provider sso: secret: none -> new
~ identity_provider shared: secret: old -> new
0 created, 4 updated, 0 deleted
`
	for name, summary := range map[string]Summary{"dry run": dry, "apply": got} {
		if diff := cmp.Diff(want, summary.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if again := s.apply(t, changed, Options{}); again.String() != "no changes\n" {
		t.Errorf("again: %s", again.String())
	}
	if !s.verifies(t, "ann@example.com", "y") {
		t.Error("the password is not the new one")
	}
}

func TestThreat27AFileThatDoesNotKnowWhatAUserDidSinceUndoesNoneOfIt(t *testing.T) {
	s := newShop(t)
	ctx := t.Context()
	text := fmt.Sprintf(people, bcryptHash(t, "bobs")) + "  - {name: x, organization: a, issuer: i, audience: k, algorithms: [RS256], jwks_url: https://x.example/}\n"
	text = strings.Replace(text, "    password: x\n", "    password: x\n    must_change_password: true\n", 1)
	s.apply(t, text, Options{})
	ann, bob := s.userNamed(t, "ann@example.com"), s.userNamed(t, "bob")
	own, err := s.HashPassword(ctx, "her own choice")
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := s.HashPassword(ctx, "bobs")
	if err != nil {
		t.Fatal(err)
	}
	storetest.Must(t, s.Store, func(ctx context.Context, tx *store.Tx) error {
		if err := s.SetPasswordHashTx(ctx, tx, ann.ID, own); err != nil {
			return err
		}
		if err := s.SetPasswordHashTx(ctx, tx, bob.ID, renewed); err != nil {
			return err
		}
		return s.ImportAuthTokenTx(ctx, tx, ann, manage.NewAuthToken{Text: "the-new-personal-key-of-ann-01"})
	})
	if _, err := s.ResetMFA(ctx, cli, ann.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.EnrolTOTP(ctx, cli, ann.ID); err != nil {
		t.Fatal(err)
	}
	got := s.apply(t, text, Options{})
	if got.String() != "no changes\n" || len(got.Warnings) != 3 {
		t.Errorf("%s%v", got.String(), got.Warnings)
	}
	if s.verifies(t, "ann@example.com", "x") || !s.verifies(t, "ann@example.com", "her own choice") || s.opens(t, "the-new-personal-key-of-ann-01") == "" {
		t.Error("something was undone")
	}
}

func TestPruneDeletesPeopleTheFilesDoNotNameWithTheirKeysAndFreesTheirNames(t *testing.T) {
	s := newShop(t)
	s.apply(t, fmt.Sprintf(people, bcryptHash(t, "bobs")), Options{})
	ann := s.userNamed(t, "ann@example.com")
	got := s.apply(t, "api_keys: []\n", Options{Prune: true})
	if got.String() != "no changes\n" {
		t.Errorf("a personal key is no key of the files: %s", got.String())
	}
	got = s.apply(t, "users: [{username: carl, email: ann@example.com, organization: b}]\nroles: []\nidentity_providers: []\n", Options{Prune: true})
	want := `- identity_provider set
- identity_provider shared
- identity_provider sso
- user Ann@Example.com
- user bob
+ user carl
- role analyst
1 created, 0 updated, 6 deleted
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if keys, err := s.Store.APIKeysOfUser(t.Context(), ann.ID); err != nil || len(keys) != 0 {
		t.Errorf("keys of the deleted: %v, %v", keys, err)
	}
}

func TestAUserIsRenamedByTheirID(t *testing.T) {
	s := newShop(t)
	s.apply(t, "organizations: [{id: a}]\nusers: [{id: u1, username: old@example.com, organization: a}]\n", Options{})
	got := s.apply(t, "users: [{id: u1, username: new@example.com, organization: a}]\n", Options{Prune: true})
	if !strings.Contains(got.String(), "~ user new@example.com: username: old@example.com -> new@example.com") || s.userNamed(t, "new@example.com").ID != "u1" {
		t.Errorf("%s", got.String())
	}
}

func TestWhatPeopleContradictOrMissIsToldWithItsLine(t *testing.T) {
	s := newShop(t)
	s.apply(t, "organizations: [{id: a}, {id: b}]\nusers: [{id: u1, username: ann, email: ann@example.com, organization: a}]\nidentity_providers: [{name: sso, organization: a, issuer: i, audience: k, algorithms: [RS256], jwks_url: https://x.example/}]\napi_keys: [{id: k, organization: a}]\n", Options{})
	s.apply(t, "users: [{id: u1, username: ann, email: ann@example.com, organization: a, auth_token: personal-key-of-ann-0123}]\n", Options{})
	personal, err := s.Store.APIKeysOfUser(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	s.refuses(t, `users:
  - {username: ann, organization: b}
  - {username: ann@example.com, organization: a}
  - {username: x, organization: nowhere}
  - {username: y, organization: a, role_id: none}
identity_providers:
  - {name: sso, organization: b, issuer: i, audience: k, algorithms: [RS256], jwks_url: https://x.example/, roles: [none]}
api_keys:
  - {id: `+personal[0].ID+`, organization: a}
`, Options{}, `world.yaml:2: users[0].organization: the user belongs to another organization, and users do not move; delete the user there first
world.yaml:3: users[1].username: is the e-mail address of another user; choose another, or write that user's username
world.yaml:4: users[2].organization: there is no organization nowhere; name one that the files or the store have
world.yaml:5: users[3].role_id: there is no role none; name one that the files or the store have
world.yaml:7: identity_providers[0].organization: the provider belongs to another organization, and providers do not move; choose another name, or delete the provider there first
world.yaml:7: identity_providers[0].roles[0]: there is no role none; name one that the files or the store have
world.yaml:9: api_keys[0].id: is the personal API key of a user; choose another id; a personal key is the auth_token of its user`)
	s.refuses(t, "users: [{id: u2, username: ANN., organization: a}]\n", Options{},
		`world.yaml:1: users[0].id: the user of this name has the id u1; write that id, or none`)
}

func TestPeopleWhoCannotBeAreRefusedBeforeTheStoreIsAsked(t *testing.T) {
	_, err := Parse(File{Name: "w.yaml", Data: []byte(`users:
  - {username: a@b@c, organization: a}
  - {username: ann, organization: a, password: x, password_hash: "$2b$04$abcdefghijklmnopqrstuu"}
  - {username: "аnn", organization: a}
  - {username: capa, organization: a, password: ""}
  - {username: "сара", organization: a, email: none}
  - {username: Capa., organization: a, group_id: "a b"}
  - {username: x, organization: a, totp_secret: "189", auth_token: short, customer_ids: ["a b"]}
identity_providers:
  - {name: p, organization: a, issuer: i, audience: k, algorithms: [RS256, HS256], jwks_url: http://x.example/}
  - {name: p, organization: a, issuer: i, audience: k, algorithms: [RS256], jwks_url: https://x.example/, claims: {admin_role: x}}
  - {name: q, organization: a, issuer: i, audience: k, algorithms: [RS256], jwks_url: https://x.example/, claims: {admin_role: x}}
  - {name: r, organization: a, issuer: i, audience: k, algorithms: [HS256], secret: x, sealed: "mk_0:AA=="}
`)})
	if err == nil {
		t.Fatal("accepted")
	}
	want := `w.yaml:2: users[0].username: has more than one @; use an address with one @
w.yaml:3: users[1].password_hash: password and password_hash exclude each other; keep one of them
w.yaml:3: users[1].password_hash: is not a password hash of a known form; give a PHC string such as $argon2id$v=19$m=19456,t=2,p=1$SALT$TAG, a bcrypt, scrypt or PBKDF2 hash
w.yaml:4: users[2].username: mixes letters that look alike, of Cyrillic and Latin; write it in one script
w.yaml:5: users[3].password: is empty; write it, or remove the line
w.yaml:6: users[4].email: is not an e-mail address; write it as name@example.com
w.yaml:7: users[5].username: "capa" is given, or can be mistaken for one that is given, a second time (first at w.yaml:5); keep one
w.yaml:7: users[5].group_id: "a b" is not a valid id; use 1 to 128 of A-Z a-z 0-9 . _ : -
w.yaml:8: users[6].customer_ids[0]: "a b" is not a valid id; use 1 to 128 of A-Z a-z 0-9 . _ : -
w.yaml:8: users[6].totp_secret: is not a TOTP secret; write 1 to 64 bytes in base32: A-Z and 2-7
w.yaml:8: users[6].auth_token: the key has fewer than 8 characters; use at least 20 characters of a random key
w.yaml:10: identity_providers[0].algorithms[1]: HS256 needs a secret: with a public key anybody could sign; give a secret, or use RS256, ES256 or EdDSA
w.yaml:11: identity_providers[1].name: "p" is named a second time (first at w.yaml:10); keep one
w.yaml:12: identity_providers[2].claims: "admin_role" is not a member of a user that a claim can fill; use username, email, name, role_id, customer_ids, group_id, skin_id
w.yaml:13: identity_providers[3].sealed: secret and sealed exclude each other; keep one of them`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhateverThePeopleExportThenApplyChangesNothingAndMakesATwinElsewhere(t *testing.T) {
	const nothing = "organizations: []\nsites: []\nroles: []\nusers: []\napi_keys: []\nsigning_keys: []\nidentity_providers: []\n"
	s, twin := newShop(t), newShop(t)
	twin.Digester, twin.Sealer = s.Digester, s.Sealer
	hash := bcryptHash(t, "x")
	rapid.Check(t, func(rt *rapid.T) {
		s.apply(t, nothing, Options{Prune: true})
		twin.apply(t, nothing, Options{Prune: true})
		drawPeople(rt, s, hash)
		exported := s.export(t)
		w, err := Parse(File{Name: "export.yaml", Data: []byte(exported)})
		if err != nil {
			rt.Fatalf("%v in\n%s", err, exported)
		}
		got, err := Apply(context.Background(), s.Service, cli, w, Options{Prune: true})
		if err != nil || got.String() != "no changes\n" || len(got.Warnings) != 0 {
			rt.Fatalf("%s%v%v in\n%s", got.String(), got.Warnings, err, exported)
		}
		if _, err := Apply(context.Background(), twin.Service, cli, w, Options{}); err != nil {
			rt.Fatalf("%v in\n%s", err, exported)
		}
		if diff := cmp.Diff(exported, twin.export(t)); diff != "" {
			rt.Fatalf("the twin differs:\n%s", diff)
		}
	})
}

func drawPeople(t *rapid.T, s *shop, hash string) {
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	policy := rapid.SampledFrom([]keystile.MFAPolicy{"", keystile.MFARequired, keystile.MFAOptional, keystile.MFAOff})
	_, err := s.CreateOrganization(ctx, cli, keystile.Organization{ID: "a", MFA: policy.Draw(t, "of the organization")})
	must(err)
	_, err = s.CreateRole(ctx, cli, keystile.Role{ID: "r", MFA: policy.Draw(t, "of the role")})
	must(err)
	name := rapid.SampledFrom([]string{"off%d", "user%d@example.com", "Null%d", "иван%d@example.com", "o'neil+%d@example.com", "a\"%d", "%%%d"})
	for i := range rapid.IntRange(0, 3).Draw(t, "users") {
		in := keystile.User{
			Username: fmt.Sprintf(name.Draw(t, "username"), i), OrganizationID: "a", Name: rapid.SampledFrom(trickyNames).Draw(t, "name"), MFA: policy.Draw(t, "mfa"),
			RoleID: rapid.SampledFrom([]string{"", "r"}).Draw(t, "role"), AdminRole: rapid.SampledFrom(append(keystile.AdminRoles, "")).Draw(t, "admin role"),
			MustChangePassword: rapid.Bool().Draw(t, "must change"), Disabled: rapid.Bool().Draw(t, "disabled"), GroupID: rapid.SampledFrom([]string{"", "null", "1e3"}).Draw(t, "group"),
		}
		if !strings.Contains(in.Username, "@") && rapid.Bool().Draw(t, "has an address") {
			in.Email = fmt.Sprintf("Mail%d@Example.com", i)
		}
		if rapid.Bool().Draw(t, "has customers") {
			in.CustomerIDs = []string{"on", "c-2"}
		}
		u := manage.NewUser{User: in}
		if rapid.Bool().Draw(t, "has a password") {
			u.Hash = keystile.Secret(hash)
		}
		made, err := s.CreateUser(ctx, cli, u)
		must(err)
		if rapid.Bool().Draw(t, "has a factor") {
			_, err := s.EnrolTOTP(ctx, cli, made.ID)
			must(err)
		}
		if rapid.Bool().Draw(t, "has a key") {
			must(s.Store.Mutate(ctx, cli, func(ctx context.Context, tx *store.Tx) error {
				return s.ImportAuthTokenTx(ctx, tx, made, manage.NewAuthToken{Text: keystile.Secret(fmt.Sprintf("personal-key-0123456789-%d", i))})
			}))
		}
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "providers") {
		in := manage.NewIdentityProvider{Provider: keystile.IdentityProvider{
			Name: fmt.Sprintf("p%d", i), OrganizationID: "a", Issuer: rapid.SampledFrom([]string{"yes", "https://sso.example.com/a?b=c", "!x"}).Draw(t, "issuer"), Audience: "0x10",
			CreateUsers: rapid.Bool().Draw(t, "creates"), Disabled: rapid.Bool().Draw(t, "is off"),
		}}
		switch rapid.IntRange(0, 3).Draw(t, "keys") {
		case 0:
			in.Provider.JWKSURL, in.Provider.Algorithms = "https://sso.example.com/jwks?a=%20", []keystile.SigningAlgorithm{keystile.RS256, keystile.EdDSA}
		case 1:
			in.Provider.JWKS, in.Provider.Algorithms = `{"keys": [{"kty":"EC","x5t":"\u00e9: #\"","n":1}], "more": true}`, []keystile.SigningAlgorithm{keystile.ES256}
		case 2:
			in.Provider.PublicKey, in.Provider.Algorithms = storetest.PublicKey, []keystile.SigningAlgorithm{keystile.EdDSA}
		default:
			in.Secret, in.Provider.Algorithms = "0123456789", []keystile.SigningAlgorithm{keystile.HS256}
		}
		if rapid.Bool().Draw(t, "maps claims") {
			in.Provider.Claims, in.Provider.Roles = map[string]string{"username": "upn", "name": "https://example.com/name:#"}, []string{"r"}
		}
		if rapid.Bool().Draw(t, "is signed in at") {
			in.Provider.Issuer = "https://sso.example.com/a?b=c"
			in.Provider.SignIn = &keystile.ProviderSignIn{
				ClientID: rapid.SampledFrom([]string{"0oa1", "yes", "a:b#{}"}).Draw(t, "client"), Label: rapid.SampledFrom([]string{"", "Sign in: \"Corp\" {x}, #1"}).Draw(t, "label"),
				LinkByEmail: rapid.Bool().Draw(t, "links"), Unlisted: rapid.Bool().Draw(t, "is unlisted"),
			}
			if rapid.Bool().Draw(t, "has a client secret") {
				in.ClientSecret = "client: {secret} #"
			}
			if rapid.Bool().Draw(t, "has words") {
				in.Provider.SignIn.Scopes, in.Provider.SignIn.TrustedAMR = []string{"openid", "https://x.example/s:#"}, []string{"mfa", "true"}
			}
		}
		_, err := s.CreateIdentityProvider(ctx, cli, in)
		must(err)
	}
}

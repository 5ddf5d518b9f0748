package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/client"
	"keystile.dev/keystile/internal/jws"
	"keystile.dev/keystile/internal/store"
)

const peopleWorld = `organizations: [{id: acme, name: Acme}, {id: other, name: Other}]
sites: [{id: Roof, organization: acme}, {id: Plant, organization: other}]
roles: [{id: role_analyst, scopes: ["things:read"]}, {id: role_guest, scopes: []}]
api_keys:
  - {id: key_good, secret: good-0123456789abcdef-key, organization: acme, permitted_site_ids: [Roof], scopes: ["things:read"]}
`

const peopleRoutes = `
trusted_proxies: [192.0.2.77/32]
routes:
  - match:    {path: /things/**}
    upstream: "{upstream}"
    accept:   [api_key, session_jwt]
    resource: {type: site, id: query.site}
    scopes:   ["things:read"]
  - match:    {path: /keys/**}
    upstream: "{upstream}"
    accept:   [api_key]
  - match:    {path: /admin-things/**}
    upstream: "{upstream}"
    accept:   [session_jwt]
    auth:     {methods: [otp, hwk], max_age: 10m}
`

// signedIn is a person with a live session.
type signedIn struct {
	session keystile.Session
	user    keystile.User
}

// signIn makes a user of an organisation and a session of theirs.
func (r *running) signIn(name, organization, role string, methods ...keystile.AuthMethod) signedIn {
	r.t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	p := signedIn{
		user: keystile.User{ID: "user_" + name, OrganizationID: organization, Username: name + "@" + organization + ".example", RoleID: role, CustomerIDs: []string{"cust-1"}},
		session: keystile.Session{
			ID: "ses_" + name, UserID: "user_" + name, OrganizationID: organization, Door: keystile.DoorOna, Methods: methods,
			AuthenticatedAt: now, CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(30 * 24 * time.Hour),
		},
	}
	r.mutate(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.CreateUser(ctx, p.user, nameOf(p.user)); err != nil {
			return err
		}
		return tx.CreateSession(ctx, p.session)
	})
	return p
}

// nameOf is the name that a user of these tests signs in with.
func nameOf(u keystile.User) store.SignInName {
	return store.SignInName{Name: u.Username, Skeleton: u.Username}
}

// mutate changes the store within the server, as its own doors do.
func (r *running) mutate(fn func(context.Context, *store.Tx) error) {
	r.t.Helper()
	check(r.t, r.server.house.store.Mutate(r.t.Context(), store.Actor{Name: "test"}, fn))
}

func (r *running) ona(p signedIn) string {
	r.t.Helper()
	token, _, err := r.minter.Ona(r.t.Context(), p.session, p.user)
	check(r.t, err)
	return token.Reveal()
}

func (r *running) standard(p signedIn) string {
	r.t.Helper()
	token, _, err := r.minter.Standard(r.t.Context(), p.session, p.user, "", time.Hour)
	check(r.t, err)
	return token.Reveal()
}

// with asks every point with an Authorization field and wants one status and reason.
func (r *running) with(authorization, path string, status int, code keystile.Reason) {
	r.t.Helper()
	header := http.Header{"Authorization": {authorization}}
	if w := r.ask(r.public, asked{target: path, header: header}); w.Code != status {
		r.t.Errorf("gateway: %s: %d %s, want %d", path, w.Code, w.Body, status)
	}
	forwarded := header.Clone()
	for name, value := range map[string]string{"Method": "GET", "Proto": "http", "Host": "127.0.0.1:8080", "Uri": path, "For": "192.0.2.1"} {
		forwarded.Set("X-Forwarded-"+name, value)
	}
	if w := r.ask(r.public, asked{target: "/forward-auth", from: "192.0.2.77", header: forwarded}); w.Code != status {
		r.t.Errorf("forward-auth: %s: %d, want %d", path, w.Code, status)
	}
	question := must(json.Marshal(map[string]any{
		"method": "GET", "url": "http://127.0.0.1:8080" + path, "headers": map[string][]string{"authorization": {authorization}}, "ip": "192.0.2.1",
	}))(r.t)
	w := r.ask(r.public, asked{method: http.MethodPost, target: "/v1/decisions", body: string(question), header: bearerOf(r.token)})
	var d struct {
		Status int             `json:"status"`
		Code   keystile.Reason `json:"code"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || d.Status != status || d.Code != code {
		r.t.Errorf("decisions: %s: %s, want %d %q", path, w.Body, status, code)
	}
}

func TestASessionTokenOpensItsRoutesUntilTheSessionEndsAndNoLonger(t *testing.T) {
	r := startServer(t, peopleRoutes, peopleWorld)
	p := r.signIn("ann", "acme", "role_analyst", keystile.MethodPassword)
	for _, token := range []string{r.ona(p), r.standard(p)} {
		for _, authorization := range []string{"Bearer " + token, token} {
			r.with(authorization, "/things/a?site=Roof", 200, "")
			r.with(authorization, "/things/a?site=Plant", 403, keystile.ReasonResourceNotPermitted)
			r.with(authorization, "/keys/a", 401, keystile.ReasonKindNotAccepted)
		}
	}
	tokens := []string{r.ona(p), r.standard(p)}
	for _, token := range tokens {
		r.with(token, "/things/a?site=Roof", 200, "")
	}
	r.mutate(func(ctx context.Context, tx *store.Tx) error { return tx.RevokeSession(ctx, p.session.ID) })
	for _, token := range tokens { // the next request, not a later one
		r.with(token, "/things/a?site=Roof", 401, keystile.ReasonCredentialRevoked)
	}
	for _, token := range tokens {
		if part := strings.Split(token, ".")[2]; strings.Contains(r.log.String(), part) {
			t.Error("the log holds a token")
		}
	}
}

func TestThreat27_APersonWhoIsDisabledDemotedOrMovedIsSoAtTheNextRequest(t *testing.T) {
	for name, c := range map[string]struct {
		change func(context.Context, *store.Tx, keystile.User) error
		status int
		code   keystile.Reason
	}{
		"disabled": {func(ctx context.Context, tx *store.Tx, u keystile.User) error {
			u.Disabled = true
			return tx.UpdateUser(ctx, u, nameOf(u))
		}, 401, keystile.ReasonCredentialRevoked},
		"demoted": {func(ctx context.Context, tx *store.Tx, u keystile.User) error {
			u.RoleID = "role_guest"
			return tx.UpdateUser(ctx, u, nameOf(u))
		}, 403, keystile.ReasonScopeMissing},
		"of a role that was narrowed": {func(ctx context.Context, tx *store.Tx, _ keystile.User) error {
			role, err := tx.Role(ctx, "role_analyst")
			if err != nil {
				return err
			}
			role.Scopes = nil
			return tx.UpdateRole(ctx, role)
		}, 403, keystile.ReasonScopeMissing},
		"of a disabled organisation": {func(ctx context.Context, tx *store.Tx, _ keystile.User) error {
			o, err := tx.Organization(ctx, "acme")
			if err != nil {
				return err
			}
			o.Disabled = true
			return tx.UpdateOrganization(ctx, o)
		}, 401, keystile.ReasonCredentialRevoked},
		"signed out everywhere": {func(ctx context.Context, tx *store.Tx, u keystile.User) error {
			return tx.RevokeSessionsOfUser(ctx, u, "")
		}, 401, keystile.ReasonCredentialRevoked},
		"whose site was taken away": {func(ctx context.Context, tx *store.Tx, _ keystile.User) error {
			return tx.DeleteSite(ctx, "Roof")
		}, 403, keystile.ReasonResourceNotPermitted},
	} {
		t.Run(name, func(t *testing.T) {
			r := startServer(t, peopleRoutes, strings.Replace(peopleWorld, "permitted_site_ids: [Roof], ", "", 1))
			p := r.signIn("ann", "acme", "role_analyst", keystile.MethodPassword)
			tokens := []string{r.ona(p), r.standard(p)}
			for _, token := range tokens {
				r.with(token, "/things/a?site=Roof", 200, "")
			}
			r.mutate(func(ctx context.Context, tx *store.Tx) error {
				u, err := tx.User(ctx, p.user.ID)
				if err != nil {
					return err
				}
				return c.change(ctx, tx, u)
			})
			for _, token := range tokens {
				r.with(token, "/things/a?site=Roof", c.status, c.code)
			}
		})
	}
}

func TestThreat30_PeopleOfTwoTenantsAreMirrorsThatNeverMeet(t *testing.T) {
	r := startServer(t, peopleRoutes, peopleWorld)
	for organization, own := range map[string]string{"acme": "Roof", "other": "Plant"} {
		p := r.signIn("of-"+organization, organization, "role_analyst", keystile.MethodPassword)
		for _, site := range []string{"Roof", "Plant"} {
			if site == own {
				r.with(r.ona(p), "/things/a?site="+site, 200, "")
			} else {
				r.with(r.ona(p), "/things/a?site="+site, 403, keystile.ReasonResourceNotPermitted)
			}
		}
	}
}

func TestAStepUpRouteAsksForTheMethodAndTheAgeOfTheSignIn(t *testing.T) {
	r := startServer(t, peopleRoutes, peopleWorld)
	password := r.signIn("ann", "acme", "role_analyst", keystile.MethodPassword)
	r.with(r.ona(password), "/admin-things/a", 401, keystile.ReasonConditionFailed)
	both := r.signIn("bob", "acme", "role_analyst", keystile.MethodPassword, keystile.MethodTOTP, keystile.MethodMFA)
	r.with(r.ona(both), "/admin-things/a", 200, "")
	passkey := r.signIn("cat", "acme", "role_analyst", keystile.MethodPasskey)
	r.with(r.ona(passkey), "/admin-things/a", 200, "")

	header := http.Header{"Authorization": {r.ona(password)}}
	w := r.ask(r.public, asked{target: "/admin-things/a", header: header})
	challenge := w.Header().Get("WWW-Authenticate")
	for _, part := range []string{`Bearer realm="keystile"`, `error="insufficient_user_authentication"`, `max_age="600"`, `amr_values="otp hwk"`} {
		if !strings.Contains(challenge, part) {
			t.Errorf("the challenge is %s, without %s", challenge, part)
		}
	}
	if !strings.Contains(w.Body.String(), `"insufficient_user_authentication"`) {
		t.Errorf("the body is %s", w.Body)
	}

	// A session whose sign-in is older than the route asks for.
	old := both
	old.session.ID, old.session.AuthenticatedAt = "ses_old", time.Now().UTC().Add(-11*time.Minute)
	r.mutate(func(ctx context.Context, tx *store.Tx) error { return tx.CreateSession(ctx, old.session) })
	r.with(r.ona(old), "/admin-things/a", 401, keystile.ReasonConditionFailed)
	r.with(r.ona(old), "/things/a?site=Roof", 200, "")
}

func TestThreat02_EveryTokenKindIsRefusedAtEveryEndpointOfAnother(t *testing.T) {
	r := startServer(t, peopleRoutes, peopleWorld)
	p := r.signIn("ann", "acme", "role_analyst", keystile.MethodPassword, keystile.MethodTOTP)
	foreign, _, err := r.minter.Standard(t.Context(), p.session, p.user, "https://api.example.com", time.Hour)
	check(t, err)
	w := r.ask(r.public, asked{target: "/things/a?site=Roof", header: http.Header{"Authorization": {r.ona(p)}}})
	if w.Code != 200 {
		t.Fatal(w.Code)
	}
	r.upstream.mu.Lock()
	assertion := r.upstream.seen[len(r.upstream.seen)-1].Header.Get("Keystile-Assertion")
	r.upstream.mu.Unlock()
	tokens := map[string]string{
		"an Ona token": r.ona(p), "a standard token": r.standard(p), "a token for another audience": foreign.Reveal(), "an assertion": assertion,
		"a session id": p.session.ID, "a user id": p.user.ID, "an API key": goodKey, "an admin token": r.token,
	}
	good := map[string][]string{
		"/things/a?site=Roof": {"an Ona token", "a standard token", "an API key"},
		"/keys/a":             {"an API key"},
		"/v1/keys":            {"an admin token"},
		"/v1/token-keys":      {"an admin token"},
		"/v1/keys/self":       {"an API key"},
		"/metrics":            {"an admin token"},
	}
	for path, opens := range good {
		for name, token := range tokens {
			for _, authorization := range []string{"Bearer " + token, token} {
				w := r.ask(r.public, asked{target: path, header: http.Header{"Authorization": {authorization}}})
				raw := authorization == token
				want := slices.Contains(opens, name)
				if want && raw && strings.HasPrefix(path, "/v1") || want && raw && path == "/metrics" {
					continue // the management API takes Bearer alone, which is tested there
				}
				if got := w.Code == 200; got != want {
					t.Errorf("%s with %s: %d %s", path, name, w.Code, w.Body)
				}
			}
			// In the field of an API key only an API key is one.
			if strings.HasPrefix(path, "/v1") || path == "/metrics" {
				continue
			}
			w := r.ask(r.public, asked{target: path, header: http.Header{"X-Api-Key": {token}}})
			if got := w.Code == 200; got != (name == "an API key") {
				t.Errorf("%s with %s as x-api-key: %d", path, name, w.Code)
			}
		}
	}
}

func TestTheUpstreamLearnsWhoThePersonIs(t *testing.T) {
	r := startServer(t, peopleRoutes, peopleWorld)
	p := r.signIn("ann", "acme", "role_analyst", keystile.MethodPassword)
	if w := r.ask(r.public, asked{target: "/things/a?site=Roof", header: http.Header{"Authorization": {"Bearer " + r.ona(p)}}}); w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	r.upstream.mu.Lock()
	seen := r.upstream.seen[len(r.upstream.seen)-1].Header
	r.upstream.mu.Unlock()
	got := map[string]string{}
	for _, name := range []string{"Keystile-Subject", "Keystile-Organization", "Keystile-Credential", "Keystile-Scopes", "Keystile-Sites", "Authorization"} {
		got[name] = seen.Get(name)
	}
	want := map[string]string{
		"Keystile-Subject": "user:user_ann", "Keystile-Organization": "acme", "Keystile-Credential": "session_jwt:ses_ann",
		"Keystile-Scopes": `"things:read"`, "Keystile-Sites": `"Roof"`, "Authorization": "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	set := must(jws.ParseSet(r.ask(r.public, asked{target: "/.well-known/jwks.json"}).Body.Bytes()))(t)
	assertion := must(jws.Parse(seen.Get("Keystile-Assertion")))(t)
	standard := must(jws.Parse(r.standard(p)))(t)
	if !set.Verify(assertion) || !set.Verify(standard) {
		t.Error("the JWKS does not verify what was minted")
	}
	var claims map[string]any
	check(t, json.Unmarshal(assertion.Payload, &claims))
	if claims["sub"] != "user:user_ann" || claims["username"] != "ann@acme.example" || claims["role"] != "role_analyst" || claims["sid"] != "ses_ann" {
		t.Errorf("%v", claims)
	}
}

func TestTokenKeysRotateWithoutAnyTokenBecomingBad(t *testing.T) {
	r := startServer(t, peopleRoutes, peopleWorld)
	p := r.signIn("ann", "acme", "role_analyst", keystile.MethodPassword)
	kids := func() (ids []string) {
		var set struct{ Keys []struct{ Kid, Kty string } }
		check(t, json.Unmarshal(r.ask(r.public, asked{target: "/.well-known/jwks.json"}).Body.Bytes(), &set))
		for _, k := range set.Keys {
			if k.Kty == "oct" {
				t.Error("a secret is published")
			}
			ids = append(ids, k.Kid)
		}
		return ids
	}
	before := kids()
	old := []string{r.standard(p), r.ona(p)}
	made := must(r.client().RotateTokenKey(t.Context(), client.TokenKeyRotate{}))(t)
	if made.Secret != "" || !slices.Contains(kids(), made.ID) || len(kids()) != len(before)+1 {
		t.Errorf("%+v, published %v", made, kids())
	}
	if kid := must(jws.Parse(r.standard(p)))(t).KeyID; kid == made.ID {
		t.Error("the new key signs before others can know it")
	}
	now := int64(0)
	next := must(r.client().RotateTokenKey(t.Context(), client.TokenKeyRotate{AheadSeconds: &now}))(t)
	fresh := r.standard(p)
	if kid := must(jws.Parse(fresh))(t).KeyID; kid != next.ID {
		t.Errorf("signed by %s, want %s", kid, next.ID)
	}
	hs := must(r.client().RotateTokenKey(t.Context(), client.TokenKeyRotate{Algorithm: "HS256"}))(t)
	if len(hs.Secret) < 32 {
		t.Error("the drawn secret is not shown")
	}
	key := must(jws.NewSecret(keystile.Secret(hs.Secret)))(t)
	ona := r.ona(p)
	if !key.Verify(must(jws.Parse(ona))(t)) {
		t.Error("not signed with the new secret")
	}
	for _, token := range append(old, fresh, ona) {
		r.with(token, "/things/a?site=Roof", 200, "")
	}
	// A key that is revoked takes its tokens with it, remembered or not.
	must(r.client().RevokeTokenKey(t.Context(), next.ID))(t)
	r.with(fresh, "/things/a?site=Roof", 401, keystile.ReasonSignatureInvalid)
	r.with(old[0], "/things/a?site=Roof", 200, "")
	r.with(r.standard(p), "/things/a?site=Roof", 200, "")
}

func TestAnOrganizationsOwnSecretSignsItsTokens(t *testing.T) {
	r := startServer(t, peopleRoutes, peopleWorld)
	p := r.signIn("ann", "acme", "role_analyst", keystile.MethodPassword)
	const secret = "a secret of acme of more than thirty-two bytes"
	made := must(r.client().RotateTokenKey(t.Context(), client.TokenKeyRotate{Algorithm: "HS256", Organization: "acme", Secret: secret}))(t)
	if made.Secret != "" || made.Organization != "acme" {
		t.Errorf("%+v", made)
	}
	token := r.ona(p)
	if !must(jws.NewSecret(secret))(t).Verify(must(jws.Parse(token))(t)) {
		t.Error("not signed with the organisation's secret")
	}
	r.with(token, "/things/a?site=Roof", 200, "")
	if _, err := r.client().RotateTokenKey(t.Context(), client.TokenKeyRotate{Algorithm: "HS256", Organization: "nobody"}); err == nil {
		t.Error("a secret for an organisation that is not there")
	}
	if _, err := r.client().RotateTokenKey(t.Context(), client.TokenKeyRotate{Algorithm: "HS256", Secret: "short"}); err == nil || strings.Contains(err.Error(), "short ") {
		t.Errorf("a short secret: %v", err)
	}
}

func TestTokenInspectTellsWhatATokenIsAndWhetherItIsGood(t *testing.T) {
	r := startServer(t, "\npublic_url: http://auth.example.com"+strings.ReplaceAll(peopleRoutes, "    accept:", "    same_origin: true\n    accept:"), peopleWorld)
	p := r.signIn("ann", "acme", "role_analyst", keystile.MethodPassword)
	ona := r.ona(p)
	inspect := func(text string) (status int, seen inspected) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "token")
		check(t, os.WriteFile(file, []byte(text+"\n"), 0o600))
		status, out, problems := command(t, "token", "inspect", "@"+file, "--config", filepath.Join(r.dir, "keystile.yaml"), "-o", "json")
		if err := json.Unmarshal([]byte(out), &seen); err != nil {
			t.Fatalf("%d %s %s", status, out, problems)
		}
		return status, seen
	}
	r.ask(r.public, asked{target: "/things/a?site=Roof", header: http.Header{"Authorization": {ona}}})
	r.upstream.mu.Lock()
	assertion := r.upstream.seen[len(r.upstream.seen)-1].Header.Get("Keystile-Assertion")
	r.upstream.mu.Unlock()
	for name, c := range map[string]struct {
		text    string
		kind    keystile.KindName
		code    keystile.Reason
		subject string
		claims  string
	}{
		"an API key":          {goodKey, keystile.KindAPIKey, "", "key:key_good", ""},
		"an unknown key":      {"nobody-0123456789abcdef-key", keystile.KindAPIKey, keystile.ReasonCredentialUnknown, "", ""},
		"an Ona token":        {ona, keystile.KindSessionJWT, "", "user:user_ann", `"customer_ids"`},
		"a standard token":    {r.standard(p), keystile.KindSessionJWT, "", "user:user_ann", `"amr"`},
		"a changed token":     {ona[:len(ona)-3] + "AAA", keystile.KindSessionJWT, keystile.ReasonSignatureInvalid, "", `"sid"`},
		"an assertion":        {assertion, kindAssertion, "", "user:user_ann", `"route"`},
		"a changed assertion": {assertion[:len(assertion)-3] + "AAA", kindAssertion, keystile.ReasonSignatureInvalid, "", `"route"`},
		"a temporary key":     {"tk_test_fd1cc8562360ff06b6e524aa", keystile.KindPartner, keystile.ReasonCredentialUnknown, "", ""},
		"a one-time token":    {"eyJvcmdhbml6YXRpb24iOiJhY21lIn0=", keystile.KindOneTime, keystile.ReasonCredentialMalformed, "", `"organization"`},
	} {
		status, seen := inspect(c.text)
		if seen.Kind != c.kind || seen.Code != c.code || seen.Verified != (c.code == "") || (status == 0) != seen.Verified || seen.Subject != c.subject || !strings.Contains(string(seen.Claims), c.claims) {
			t.Errorf("%s: %d %+v", name, status, seen)
		}
	}
	r.mutate(func(ctx context.Context, tx *store.Tx) error { return tx.RevokeSession(ctx, p.session.ID) })
	if _, seen := inspect(ona); seen.Code != keystile.ReasonCredentialRevoked {
		t.Errorf("%+v", seen)
	}
	if status, out, _ := command(t, "token", "inspect", "-", "--config", filepath.Join(r.dir, "keystile.yaml")); status != 1 {
		t.Errorf("nothing: %d %s", status, out)
	}
	// For people, too, and the exit status says it.
	status, out, problems := command(t, "token", "inspect", goodKey, "--config", filepath.Join(r.dir, "keystile.yaml"))
	if status != 0 || !strings.Contains(out, "key:key_good") || strings.Contains(out+problems, goodKey) {
		t.Errorf("%d %s %s", status, out, problems)
	}
}

func TestExplainWalksASessionToken(t *testing.T) {
	r := startServer(t, peopleRoutes, peopleWorld)
	p := r.signIn("ann", "acme", "role_analyst", keystile.MethodPassword)
	explain := func(path string) string {
		t.Helper()
		_, out, problems := command(t, "explain", "-H", "Authorization: "+r.ona(p), "http://127.0.0.1:8080"+path, "--config", filepath.Join(r.dir, "keystile.yaml"))
		return out + problems
	}
	if out := explain("/things/a?site=Roof"); !strings.Contains(out, "session_jwt") || !strings.Contains(out, "user:user_ann") || !strings.Contains(out, "\nallowed") {
		t.Error(out)
	}
	if out := explain("/admin-things/a"); !strings.Contains(out, "condition_failed") || !strings.Contains(out, "none of the methods") {
		t.Error(out)
	}
	r.mutate(func(ctx context.Context, tx *store.Tx) error { return tx.RevokeSession(ctx, p.session.ID) })
	if out := explain("/things/a?site=Roof"); !strings.Contains(out, "credential_revoked") {
		t.Error(out)
	}
}

func TestTheUseOfASessionIsNoted(t *testing.T) {
	r := startServer(t, peopleRoutes, peopleWorld)
	p := r.signIn("ann", "acme", "role_analyst", keystile.MethodPassword)
	r.mutate(func(ctx context.Context, tx *store.Tx) error {
		s := p.session
		s.ID, s.LastUsedAt = "ses_unused", s.CreatedAt.Add(-time.Hour)
		return tx.CreateSession(ctx, s)
	})
	p.session.ID = "ses_unused"
	r.with(r.ona(p), "/things/a?site=Roof", 200, "")
	eventually(t, func() error {
		s, err := r.server.house.store.Session(t.Context(), "ses_unused")
		if err == nil && s.LastUsedAt.Before(p.session.CreatedAt) {
			err = fmt.Errorf("last used %s", s.LastUsedAt)
		}
		return err
	})
}

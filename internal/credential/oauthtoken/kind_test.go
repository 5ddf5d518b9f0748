package oauthtoken_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/credentialtest"
	"keystile.dev/keystile/internal/credential/oauthtoken"
	"keystile.dev/keystile/internal/dpop"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a store of access tokens in memory.
type world struct {
	mu      sync.Mutex
	records map[[32]byte]*oauthtoken.Record
	broken  bool
	kind    *oauthtoken.Kind
	clock   time.Time
	spent   map[string]bool
}

func (w *world) Claim(_ context.Context, n dpop.Nonce) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.spent[n.Scope+n.Value] {
		return keystile.ErrReplayed
	}
	if w.spent == nil {
		w.spent = map[string]bool{}
	}
	w.spent[n.Scope+n.Value] = true
	return nil
}

func (w *world) Spent(_ context.Context, n dpop.Nonce) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.spent[n.Scope+n.Value] {
		return keystile.ErrReplayed
	}
	return nil
}

// plain is a digester without a pepper.
type plain struct{}

func (plain) Candidates(sum [32]byte, buf [][32]byte) [][32]byte {
	return append(buf, sha256.Sum256(sum[:]))
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{records: map[[32]byte]*oauthtoken.Record{}, clock: now}
	var err error
	w.kind, err = oauthtoken.New(oauthtoken.Options{Find: w.find, Digester: plain{}, Ledger: w, Fresh: func(time.Time) bool { return true }, Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.kind.Close)
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) find(_ context.Context, digests [][32]byte) (oauthtoken.Record, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return oauthtoken.Record{}, keystile.ErrUnavailable
	}
	for _, d := range digests {
		if r, ok := w.records[d]; ok {
			return *r, nil
		}
	}
	return oauthtoken.Record{}, keystile.ErrNotFound
}

// add makes a token of a user of "south" for application "app" of "north".
func (w *world) add(t testing.TB) (keystile.Found, *oauthtoken.Record) {
	t.Helper()
	secret, err := oauthtoken.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return w.keep(secret), w.records[digestOf(secret)]
}

func digestOf(secret keystile.Secret) [32]byte {
	sum := oauthtoken.Sum(secret)
	return sha256.Sum256(sum[:])
}

func (w *world) keep(secret keystile.Secret) keystile.Found {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records[digestOf(secret)] = &oauthtoken.Record{
		Token: keystile.OAuthToken{
			ID: fmt.Sprintf("oat_%d", len(w.records)), GrantID: "gra_1", ClientID: "client", UserID: "user_1",
			Scopes: []keystile.Scope{"openid", "roof:read", "array:*", "other:read"}, ExpiresAt: now.Add(2 * time.Hour),
		},
		Client: keystile.OAuthClient{ID: "client", ApplicationID: "app", Scopes: []keystile.Scope{"openid", "roof:*", "array:*", "other:*"}},
		Grant:  keystile.OAuthGrant{ID: "gra_1", SessionID: "ses_1", Methods: []keystile.AuthMethod{keystile.MethodPassword}, AuthenticatedAt: now},
		Review: keystile.ReviewApproved, Environment: keystile.Production, Owner: keystile.Organization{ID: "north"},
		User:       keystile.User{ID: "user_1", OrganizationID: "south", Username: "ann", RoleID: "role_1"},
		Tenant:     keystile.Organization{ID: "south", TenantID: "wire-south", Environment: keystile.Production},
		RoleScopes: []keystile.Scope{"roof:*", "array:read"}, SiteIDs: []string{"s1"},
	}
	return keystile.Found{Kind: keystile.KindOAuthToken, Header: "Authorization", Scheme: keystile.SchemeBearer, Value: secret}
}

func (w *world) change(fn func(), c keystile.Change) {
	w.mu.Lock()
	fn()
	w.mu.Unlock()
	w.kind.Apply(c)
}

func (w *world) verify(found keystile.Found) (*keystile.Principal, error) {
	p, err := w.kind.Parse(&keystile.Request{}, found)
	if err != nil {
		return nil, err
	}
	return w.kind.Verify(context.Background(), p)
}

func reason(err error) keystile.Reason {
	var r *keystile.Rejection
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

func TestAccessTokensBehaveAsEveryKindMust(t *testing.T) {
	credentialtest.Run(t, func(t *testing.T) credentialtest.Fixture {
		w := newWorld(t)
		last := map[keystile.Secret]*oauthtoken.Record{}
		return credentialtest.Fixture{
			Kind: w.kind,
			Good: func(t *testing.T) (keystile.Found, keystile.Principal) {
				found, r := w.add(t)
				last[found.Value] = r
				return found, keystile.Principal{CredentialID: r.Token.ID, OrganizationID: "south"}
			},
			Revoke: func(_ *testing.T, f keystile.Found) {
				w.change(func() { last[f.Value].Token.RevokedAt = now }, keystile.Change{Kind: keystile.ChangeOAuthToken, ID: last[f.Value].Token.ID})
			},
			DisableOrganization: func(*testing.T) {
				w.change(func() {
					for _, r := range w.records {
						r.Tenant.Disabled = true
					}
				}, keystile.Change{Kind: keystile.ChangeOrganization, ID: "south"})
			},
			BreakStore: func(*testing.T) { w.change(func() { w.broken = true }, keystile.Change{Kind: keystile.ChangeAll}) },
		}
	})
}

func TestATokenMayDoWhatWasGrantedAndWhatItsUserMayDoAndNothingElse(t *testing.T) {
	w := newWorld(t)
	found, _ := w.add(t)
	p, err := w.verify(found)
	if err != nil {
		t.Fatal(err)
	}
	if want := []keystile.Scope{"openid", "roof:read", "array:read"}; !slices.Equal(p.Scopes, want) {
		t.Errorf("scopes %v, want %v", p.Scopes, want)
	}
	if p.Subject != "user:user_1" || p.ApplicationID != "app" || p.OrganizationID != "south" || p.TenantID != "wire-south" || p.UserID != "user_1" ||
		p.GrantID != "gra_1" || p.SessionID != "ses_1" || p.AuthenticatedAt != now {
		t.Errorf("principal %+v", p)
	}
}

func TestATokenOfNobodyIsItsClients(t *testing.T) {
	w := newWorld(t)
	found, r := w.add(t)
	r.Token.UserID, r.Token.GrantID, r.User, r.Tenant, r.RoleScopes = "", "", keystile.User{}, keystile.Organization{}, nil
	p, err := w.verify(found)
	if err != nil {
		t.Fatal(err)
	}
	if p.Subject != "client:client" || p.OrganizationID != "north" || p.UserID != "" || !slices.Contains(p.Scopes, keystile.Scope("other:read")) {
		t.Errorf("principal %+v", p)
	}
}

// TestThreat27_EverythingATokenHangsOnEndsItAtOnce warms the token first, so that only
// the change can have dropped it.
func TestThreat27_EverythingATokenHangsOnEndsItAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(*oauthtoken.Record)
		change keystile.Change
		want   keystile.Reason
	}{
		"the token is revoked":         {func(r *oauthtoken.Record) { r.Token.RevokedAt = now }, keystile.Change{Kind: keystile.ChangeOAuthToken, ID: "ID"}, keystile.ReasonCredentialRevoked},
		"the grant is revoked":         {func(r *oauthtoken.Record) { r.GrantGone = true }, keystile.Change{Kind: keystile.ChangeOAuthGrant, ID: "gra_1"}, keystile.ReasonCredentialRevoked},
		"the client is revoked":        {func(r *oauthtoken.Record) { r.Client.RevokedAt = now }, keystile.Change{Kind: keystile.ChangeApplication, ID: "app"}, keystile.ReasonCredentialRevoked},
		"the application is suspended": {func(r *oauthtoken.Record) { r.Review = keystile.ReviewSuspended }, keystile.Change{Kind: keystile.ChangeApplication, ID: "app"}, keystile.ReasonCredentialRevoked},
		"the application is a draft":   {func(r *oauthtoken.Record) { r.Review = keystile.ReviewDraft }, keystile.Change{Kind: keystile.ChangeApplication, ID: "app"}, keystile.ReasonCredentialRevoked},
		"the partner is disabled":      {func(r *oauthtoken.Record) { r.Owner.Disabled = true }, keystile.Change{Kind: keystile.ChangeOrganization, ID: "north"}, keystile.ReasonCredentialRevoked},
		"the user is disabled":         {func(r *oauthtoken.Record) { r.UserGone = true }, keystile.Change{Kind: keystile.ChangeUser, ID: "user_1"}, keystile.ReasonCredentialRevoked},
		"the tenant is disabled":       {func(r *oauthtoken.Record) { r.Tenant.Disabled = true }, keystile.Change{Kind: keystile.ChangeOrganization, ID: "south"}, keystile.ReasonCredentialRevoked},
		"the tenant moves world":       {func(r *oauthtoken.Record) { r.Tenant.Environment = keystile.Sandbox }, keystile.Change{Kind: keystile.ChangeOrganization, ID: "south"}, keystile.ReasonEnvironmentMismatch},
		"the rows do not belong":       {func(r *oauthtoken.Record) { r.Client.ID = "other" }, keystile.Change{Kind: keystile.ChangeApplication, ID: "app"}, keystile.ReasonCredentialUnknown},
	} {
		w := newWorld(t)
		found, r := w.add(t)
		if _, err := w.verify(found); err != nil {
			t.Fatal(err)
		}
		if c.change.ID == "ID" {
			c.change.ID = r.Token.ID
		}
		w.change(func() { c.end(r) }, c.change)
		if _, err := w.verify(found); reason(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestThreat27_ADemotionNarrowsATokenAtOnce(t *testing.T) {
	w := newWorld(t)
	found, r := w.add(t)
	if p, err := w.verify(found); err != nil || !p.HasScope("roof:read") {
		t.Fatal(p, err)
	}
	w.change(func() { r.RoleScopes = nil }, keystile.Change{Kind: keystile.ChangeRole, ID: "role_1"})
	if p, err := w.verify(found); err != nil || p.HasScope("roof:read") {
		t.Errorf("%+v, %v", p, err)
	}
	w.change(func() { r.RoleScopes, r.Client.Scopes = []keystile.Scope{"roof:*"}, []keystile.Scope{"openid"} }, keystile.Change{Kind: keystile.ChangeApplication, ID: "app"})
	if p, err := w.verify(found); err != nil || p.HasScope("roof:read") {
		t.Errorf("what the client may no longer ask for: %+v, %v", p, err)
	}
}

func TestATokenEndsOnTime(t *testing.T) {
	w := newWorld(t)
	found, r := w.add(t)
	if _, err := w.verify(found); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.clock = r.Token.ExpiresAt
	w.mu.Unlock()
	if _, err := w.verify(found); reason(err) != keystile.ReasonCredentialExpired {
		t.Errorf("%v", err)
	}
}

// TestThreat01_ATokenThatWasNotIssuedIsUnknownWhateverItSays: no algorithm, key or
// claim of it is looked at.
func TestThreat01_ATokenThatWasNotIssuedIsUnknownWhateverItSays(t *testing.T) {
	w := newWorld(t)
	issued := w.keep("eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJ1c2VyXzEifQ.c2lnbmF0dXJl")
	if _, err := w.verify(issued); err != nil {
		t.Fatal(err)
	}
	for _, text := range []keystile.Secret{
		"eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJzdWIiOiJ1c2VyXzEifQ.",
		"eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJ1c2VyXzEifQ.c2lnbmF0dXJl",
		"eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJ1c2VyXzIifQ.c2lnbmF0dXJl",
	} {
		forged := issued
		forged.Value = text
		if _, err := w.verify(forged); reason(err) != keystile.ReasonCredentialUnknown {
			t.Errorf("%s: %v", text.Reveal(), err)
		}
	}
}

func TestATokenStandsAfterBearerAndNowhereElse(t *testing.T) {
	w := newWorld(t)
	good, _ := w.add(t)
	for name, spoil := range map[string]func(*keystile.Found){
		"raw":                func(f *keystile.Found) { f.Scheme = keystile.SchemeNone },
		"in an API key's":    func(f *keystile.Found) { f.Header = "X-Api-Key" },
		"in a query":         func(f *keystile.Found) { f.Header, f.Query = "", "access_token" },
		"shorter":            func(f *keystile.Found) { f.Value = f.Value[:len(f.Value)-1] },
		"with other letters": func(f *keystile.Found) { f.Value = f.Value[:len(f.Value)-1] + "-" },
	} {
		found := good
		spoil(&found)
		if _, err := w.verify(found); !errors.Is(err, keystile.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("ot_0123456789012345678901234567890123456789")
	f.Add("a.b.c")
	w := &world{records: map[[32]byte]*oauthtoken.Record{}, clock: now}
	kind, err := oauthtoken.New(oauthtoken.Options{Find: w.find, Digester: plain{}, Fresh: func(time.Time) bool { return true }, Now: w.now})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(kind.Close)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := kind.Parse(&keystile.Request{}, keystile.Found{Header: "Authorization", Scheme: keystile.SchemeBearer, Value: keystile.Secret(text)})
		if err != nil && !errors.Is(err, keystile.ErrMalformed) {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && p.Digest != sha256.Sum256([]byte(text)) {
			t.Errorf("%q: another digest", text)
		}
	})
}

func TestThreat09_ATokenBoundToACertificateIsGoodWithThatCertificateAlone(t *testing.T) {
	w := newWorld(t)
	free, _ := w.add(t)
	bound, r := w.add(t)
	r.Token.Certificate = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
	both, r := w.add(t)
	r.Token.Certificate, r.Token.Thumbprint = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	verify := func(f keystile.Found, certificate string) error {
		p, err := w.kind.Parse(&keystile.Request{Certificate: certificate}, f)
		if err != nil {
			return err
		}
		_, err = w.kind.Verify(t.Context(), p)
		return err
	}
	for range 2 { // cold and warm
		for name, c := range map[string]struct {
			found       keystile.Found
			certificate string
			good        bool
		}{
			"its own":                              {bound, "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0", true},
			"another":                              {bound, "B4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0", false},
			"none, or it cannot be told":           {bound, "", false},
			"a token that is bound to none":        {free, "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0", true},
			"bound to a key as well, and no proof": {both, "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0", false},
		} {
			if err := verify(c.found, c.certificate); c.good && err != nil || !c.good && reason(err) != keystile.ReasonSignatureInvalid {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// BenchmarkVerifyWarm is what the gate asks of the kind for a token it has seen before. Beside it in
// internal/credential/apikey stands the same for an API key.
func BenchmarkVerifyWarm(b *testing.B) {
	w := newWorld(b)
	found, _ := w.add(b)
	r := &keystile.Request{ClientAddr: netip.MustParseAddr("192.0.2.1"), Method: "GET", Scheme: "https", Host: "api.example.com", Path: "/a"}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		p, err := w.kind.Parse(r, found)
		if err != nil {
			b.Fatal(err)
		}
		p.At = now // as the gate says
		if _, err := w.kind.Verify(ctx, p); err != nil {
			b.Fatal(err)
		}
	}
}

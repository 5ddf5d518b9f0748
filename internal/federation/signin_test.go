package federation_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/federation"
	"keystile.dev/keystile/internal/federation/federationtest"
	"keystile.dev/keystile/internal/outbound"
)

const callbackURL = "https://auth.example.com/login/with/corp/callback"

// upstream is a provider, and what signs in at it through the real outbound guard.
type upstream struct {
	t  *testing.T
	at *federationtest.Provider
	p  keystile.IdentityProvider
	*federation.SignIns
}

func newUpstream(t *testing.T, allowed ...string) *upstream {
	t.Helper()
	at := must(federationtest.New(callbackURL))(t)
	t.Cleanup(at.Close)
	u := &upstream{t: t, at: at, p: keystile.IdentityProvider{
		Name: "corp", OrganizationID: "acme", Issuer: at.URL, Audience: "keystile", Algorithms: []keystile.SigningAlgorithm{keystile.RS256},
		SignIn: &keystile.ProviderSignIn{
			ClientID: federationtest.ClientID, SealedSecret: []byte(keystile.ProviderClientSecretPlace("corp") + "=" + federationtest.ClientSecret), TrustedAMR: []string{"mfa", "hwk"},
		},
	}}
	if allowed == nil {
		allowed = []string{"127.0.0.0/8"}
	}
	o := outbound.Options{Timeout: 5 * time.Second}
	for _, text := range allowed {
		o.AllowPrivate = append(o.AllowPrivate, netip.MustParsePrefix(text))
	}
	client := outbound.New(o)
	verifier := must(federation.New(federation.Options{
		Find: func(_ context.Context, name string) (keystile.IdentityProvider, keystile.Organization, error) {
			if name != u.p.Name {
				return keystile.IdentityProvider{}, keystile.Organization{}, keystile.ErrNotFound
			}
			return u.p, keystile.Organization{ID: "acme"}, nil
		},
		Open: func(sealed []byte, place string) ([]byte, error) {
			text, ok := strings.CutPrefix(string(sealed), place+"=")
			if !ok {
				return nil, errors.New("sealed for another place")
			}
			return []byte(text), nil
		},
		Fetch: client.Get, Now: time.Now,
	}))(t)
	u.SignIns = must(federation.NewSignIns(federation.SignInOptions{
		Verifier: verifier, Ask: client.Do, Random: rand.Reader,
		Callback: func(provider string) string { return "https://auth.example.com/login/with/" + provider + "/callback" },
	}))(t)
	return u
}

// visit is what a browser does: it goes to the provider and comes back with an answer.
func (u *upstream) visit(address string) url.Values {
	u.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r := must(http.NewRequestWithContext(u.t.Context(), http.MethodGet, address, http.NoBody))(u.t)
	answer := must(client.Do(r))(u.t)
	body := must(io.ReadAll(answer.Body))(u.t)
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusFound {
		u.t.Fatalf("the provider answers %d: %s", answer.StatusCode, body)
	}
	return must(url.Parse(answer.Header.Get("Location")))(u.t).Query()
}

// signIn goes all the way.
func (u *upstream) signIn(anew bool) (federation.Identity, error) {
	u.t.Helper()
	address, pending, err := u.Begin(u.t.Context(), "corp", anew)
	if err != nil {
		return federation.Identity{}, err
	}
	return u.Finish(u.t.Context(), "corp", pending, u.visit(address))
}

func (u *upstream) refused(what string, id federation.Identity, err error) {
	u.t.Helper()
	if !errors.Is(err, federation.ErrInvalidToken) || !errors.Is(err, keystile.ErrRejected) || id.Subject != "" {
		u.t.Errorf("%s: %+v, %v", what, id, err)
	}
}

func TestSomebodySignsInAtAProvider(t *testing.T) {
	u := newUpstream(t)
	id, err := u.signIn(false)
	if err != nil {
		t.Fatal(err)
	}
	if id.Subject != "person-1" || id.Issuer != u.at.URL || id.Email != "ann@acme.example" || id.Name != "Ann" || !id.EmailProven || id.SecondFactor ||
		!id.AuthenticatedAt.IsZero() || id.Provider.Audience != "keystile" {
		t.Errorf("%+v", id)
	}
	for what, change := range map[string]func(){
		"secret in the form":  func() { u.at.Configuration = methods("client_secret_post") },
		"keys of its own URL": func() { u.p.JWKSURL = u.at.URL + "/jwks" },
		"an issuer that never": func() {
			u.at.Configuration = func(d map[string]any) { delete(d, "authorization_response_iss_parameter_supported") }
		},
	} {
		u := newUpstream(t)
		u.at.Change(func(*federationtest.Provider) { change() })
		if _, err := u.signIn(false); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	asked := u.at.Requests()[0]
	if asked.Get("scope") != "openid email profile" || asked.Has("prompt") || asked.Get("redirect_uri") != callbackURL {
		t.Errorf("asked with %v", asked)
	}
}

// TestAProviderIsAskedForTheClaimsThatAreRead: one that tells what scopes ask for at its
// userinfo endpoint (OpenID Connect Core, section 5.4) puts them into the ID token then.
func TestAProviderIsAskedForTheClaimsThatAreRead(t *testing.T) {
	u := newUpstream(t)
	u.p.Claims = map[string]string{"username": "upn", "email": "email", "name": ""}
	u.at.Change(func(p *federationtest.Provider) { p.Strict, p.Person["upn"] = true, "ann" })
	id, err := u.signIn(false)
	if err != nil || id.Username != "ann" || id.Email != "ann@acme.example" || !id.EmailProven || id.Name != "" {
		t.Fatalf("%+v, %v", id, err)
	}
	if asked := u.at.Requests()[0].Get("claims"); asked != `{"id_token":{"email":null,"email_verified":null,"upn":null}}` {
		t.Errorf("asked with %s", asked)
	}
	// One that does not say that it takes the parameter is not sent it.
	u = newUpstream(t)
	if _, err := u.signIn(false); err != nil || u.at.Requests()[0].Has("claims") {
		t.Errorf("%v, %v", u.at.Requests()[0], err)
	}
}

func methods(names ...string) func(map[string]any) {
	return func(d map[string]any) { d["token_endpoint_auth_methods_supported"] = names }
}

func TestWhatAProviderSaysOfTheProofIsTakenAsItSaysIt(t *testing.T) {
	u := newUpstream(t)
	for what, c := range map[string]struct {
		claims         map[string]any
		second, proven bool
	}{
		"a second factor it is trusted with":     {map[string]any{"amr": []string{"pwd", "mfa"}}, true, true},
		"one it is not trusted with":             {map[string]any{"amr": []string{"pwd", "sms"}}, false, true},
		"one text":                               {map[string]any{"amr": "mfa"}, true, true},
		"nothing of the address":                 {map[string]any{"email_verified": nil}, false, false},
		"an address verified and none mentioned": {map[string]any{"amr": []string{}}, false, true},
	} {
		u.at.Change(func(p *federationtest.Provider) {
			p.Spoil = func(claims map[string]any) {
				for name, value := range c.claims {
					claims[name] = value
					if value == nil {
						delete(claims, name)
					}
				}
			}
		})
		id, err := u.signIn(false)
		if err != nil || id.SecondFactor != c.second || id.EmailProven != c.proven {
			t.Errorf("%s: %+v, %v", what, id, err)
		}
	}
	at := time.Now().Add(-5 * time.Hour).Truncate(time.Second)
	u.at.Change(func(p *federationtest.Provider) {
		p.Spoil = func(claims map[string]any) { claims["auth_time"] = at.Unix() }
	})
	if id, err := u.signIn(false); err != nil || !id.AuthenticatedAt.Equal(at) {
		t.Errorf("%+v, %v", id, err)
	}
	// Another claim than "email" is no address that "email_verified" is about.
	u.p.Claims = map[string]string{"email": "upn"}
	u.at.Change(func(p *federationtest.Provider) {
		p.Spoil = func(claims map[string]any) { claims["upn"] = "ann@acme.example" }
	})
	if id, err := u.signIn(false); err != nil || id.EmailProven {
		t.Errorf("%+v, %v", id, err)
	}
}

func TestProofThatIsAskedForAnewIsNewOrNone(t *testing.T) {
	u := newUpstream(t)
	if id, err := u.signIn(true); err != nil || time.Since(id.AuthenticatedAt) > time.Minute {
		t.Errorf("%+v, %v", id, err)
	}
	if asked := u.at.Requests()[0]; asked.Get("prompt") != "login" || asked.Get("max_age") != "0" {
		t.Errorf("asked with %v", asked)
	}
	for what, value := range map[string]any{"not said": nil, "of an hour ago": time.Now().Unix() - 3600, "in the future": time.Now().Unix() + 3600, "a text": "now"} {
		u.at.Change(func(p *federationtest.Provider) {
			p.Spoil = func(claims map[string]any) {
				if claims["auth_time"] = value; value == nil {
					delete(claims, "auth_time")
				}
			}
		})
		id, err := u.signIn(true)
		u.refused("auth_time "+what, id, err)
	}
}

func TestThreat05_AnIDTokenThatIsNotForThisSignInSignsNobodyIn(t *testing.T) {
	u := newUpstream(t)
	now := time.Now().Unix()
	for what, change := range map[string]map[string]any{
		"another issuer":                 {"iss": "https://evil.example"},
		"the issuer with a slash":        {"iss": u.at.URL + "/"},
		"another audience":               {"aud": "other"},
		"the audience of exchanges":      {"aud": "keystile"},
		"several audiences":              {"aud": []string{federationtest.ClientID, "other"}},
		"another party":                  {"azp": "other"},
		"another nonce":                  {"nonce": "other"},
		"no nonce":                       {"nonce": nil},
		"a nonce as a list":              {"nonce": []string{"x"}},
		"ended":                          {"exp": now - 1},
		"no end":                         {"exp": nil},
		"no subject":                     {"sub": nil},
		"address not verified":           {"email_verified": false},
		"address verified as text":       {"email_verified": "true"},
		"no address":                     {"email": nil},
		"a second factor as an object":   {"amr": map[string]any{"mfa": true}},
		"a logout token":                 {"events": map[string]any{}},
		"a role that is not its to give": {"role": "admin"},
	} {
		u.p.Claims = nil
		if change["role"] != nil {
			u.p.Claims = map[string]string{"role_id": "role"}
		}
		u.at.Change(func(p *federationtest.Provider) {
			p.Spoil = func(claims map[string]any) {
				for name, value := range change {
					if claims[name] = value; value == nil {
						delete(claims, name)
					}
				}
			}
		})
		id, err := u.signIn(false)
		u.refused(what, id, err)
	}
	u.at.Change(func(p *federationtest.Provider) { p.Spoil = nil })
	other := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	for what, sign := range map[string]func(map[string]any) string{
		"another key": func(c map[string]any) string {
			return federationtest.Signed(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: other, KeyID: "k1"}}, c)
		},
		"our secret as the key": func(c map[string]any) string {
			return federationtest.Signed(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(strings.Repeat(federationtest.ClientSecret, 3))}, c)
		},
		"no signature": func(map[string]any) string { return "eyJhbGciOiJub25lIn0.e30." },
		"no token":     func(map[string]any) string { return "x" },
		"nothing":      func(map[string]any) string { return "" },
		"a huge one":   func(map[string]any) string { return strings.Repeat("a.", 20000) },
	} {
		u.at.Change(func(p *federationtest.Provider) { p.Sign = sign })
		id, err := u.signIn(false)
		u.refused(what, id, err)
	}
}

func TestThreat12_AnAnswerThatThisBrowserDidNotAskForSignsNobodyIn(t *testing.T) {
	u := newUpstream(t)
	for what, spoil := range map[string]func(url.Values){
		"another state":             func(a url.Values) { a.Set("state", strings.Repeat("A", 43)) },
		"no state":                  func(a url.Values) { a.Del("state") },
		"the state in other case":   func(a url.Values) { a.Set("state", strings.ToUpper(a.Get("state"))) },
		"two states":                func(a url.Values) { a.Add("state", a.Get("state")) },
		"two codes":                 func(a url.Values) { a.Add("code", "evil") },
		"no code":                   func(a url.Values) { a.Del("code") },
		"an injected code":          func(a url.Values) { a.Set("code", "stolen") },
		"a huge code":               func(a url.Values) { a.Set("code", strings.Repeat("c", 5000)) },
		"another issuer":            func(a url.Values) { a.Set("iss", "https://evil.example") },
		"an empty issuer":           func(a url.Values) { a.Set("iss", "") },
		"no issuer":                 func(a url.Values) { a.Del("iss") },
		"two issuers":               func(a url.Values) { a.Add("iss", u.at.URL) },
		"an error":                  func(a url.Values) { a.Set("error", "server_error") },
		"an error of its own":       func(a url.Values) { a.Set("error", "<script>") },
		"an error without our word": func(a url.Values) { a.Set("error", "access_denied"); a.Del("state") },
	} {
		address, pending, err := u.Begin(t.Context(), "corp", false)
		if err != nil {
			t.Fatal(err)
		}
		callback := u.visit(address)
		spoil(callback)
		id, err := u.Finish(t.Context(), "corp", pending, callback)
		u.refused(what, id, err)
	}

	// What one browser was sent with is nothing to another: neither its state nor its code.
	mine, minePending, err := u.Begin(t.Context(), "corp", false)
	if err != nil {
		t.Fatal(err)
	}
	theirs, theirsPending, err := u.Begin(t.Context(), "corp", false)
	if err != nil {
		t.Fatal(err)
	}
	mineBack, theirsBack := u.visit(mine), u.visit(theirs)
	id, err := u.Finish(t.Context(), "corp", theirsPending, mineBack)
	u.refused("another browser's answer", id, err)
	injected := url.Values{"state": mineBack["state"], "iss": mineBack["iss"], "code": theirsBack["code"]}
	id, err = u.Finish(t.Context(), "corp", minePending, injected)
	u.refused("another browser's code", id, err) // its challenge is not of this verifier
	id, err = u.Finish(t.Context(), "corp", federation.Pending{Provider: "corp"}, url.Values{"code": {"x"}, "iss": {u.at.URL}})
	u.refused("nothing pending", id, err)
	if _, err := u.Finish(t.Context(), "corp", minePending, mineBack); err != nil {
		t.Errorf("the right answer: %v", err)
	}
	id, err = u.Finish(t.Context(), "corp", minePending, mineBack)
	u.refused("the same code again", id, err)
}

func TestAPersonWhoDeclinesIsToldApartFromAProviderThatDoes(t *testing.T) {
	u := newUpstream(t)
	for code, want := range map[string]federation.Declined{
		"access_denied": {Cancelled: true, Code: "access_denied"}, "login_required": {Code: "login_required"}, "\x00evil": {Code: "other"},
	} {
		u.at.Change(func(p *federationtest.Provider) {
			p.Answer = func(a url.Values) { a.Del("code"); a.Set("error", code) }
		})
		_, err := u.signIn(false)
		var declined *federation.Declined
		if !errors.As(err, &declined) || *declined != want || !errors.Is(err, federation.ErrInvalidToken) {
			t.Errorf("%q: %v", code, err)
		}
	}
}

func TestThreat13_NothingOfAProviderOnAPrivateAddressIsReached(t *testing.T) {
	u := newUpstream(t, "10.0.0.0/8")
	if _, _, err := u.Begin(t.Context(), "corp", false); !errors.Is(err, keystile.ErrUnavailable) {
		t.Errorf("discovery: %v", err)
	}
	// A document that leads inside: the metadata service, whatever is allowed.
	for member, address := range map[string]string{"token_endpoint": "https://169.254.169.254/token", "jwks_uri": "https://169.254.169.254/jwks"} {
		u := newUpstream(t)
		u.at.Change(func(p *federationtest.Provider) { p.Configuration = func(d map[string]any) { d[member] = address } })
		id, err := u.signIn(false)
		if !errors.Is(err, keystile.ErrUnavailable) || errors.Is(err, keystile.ErrRejected) || id.Subject != "" {
			t.Errorf("%s: %v", member, err)
		}
	}
}

func TestThreat37_WhatAnEndpointAnswersIsBoundedAndAFailureSignsNobodyIn(t *testing.T) {
	for what, configure := range map[string]func(map[string]any){
		"another issuer":        func(d map[string]any) { d["issuer"] = "https://evil.example" },
		"no issuer":             func(d map[string]any) { delete(d, "issuer") },
		"no token endpoint":     func(d map[string]any) { delete(d, "token_endpoint") },
		"a script as endpoint":  func(d map[string]any) { d["authorization_endpoint"] = "javascript:alert(1)" },
		"plain http elsewhere":  func(d map[string]any) { d["authorization_endpoint"] = "http://idp.example/" },
		"a user in an endpoint": func(d map[string]any) { d["token_endpoint"] = "https://a:b@idp.example/" },
		"a number":              func(d map[string]any) { d["jwks_uri"] = 1 },
		"longer than 64 KiB":    func(d map[string]any) { d["x"] = strings.Repeat("x", 64<<10) },
	} {
		u := newUpstream(t)
		u.at.Change(func(p *federationtest.Provider) { p.Configuration = configure })
		if address, _, err := u.Begin(t.Context(), "corp", false); !errors.Is(err, keystile.ErrUnavailable) || address != "" {
			t.Errorf("a document with %s: %q, %v", what, address, err)
		}
	}
	for what, c := range map[string]struct {
		answer  http.HandlerFunc
		refuses bool
	}{
		"an error of ours":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }, true},
		"too many":           {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, false},
		"an error of theirs": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, false},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, false},
		"no JSON":       {say("<html>"), true},
		"no ID token":   {say(`{"access_token":"x"}`), true},
		"two ID tokens": {say(`{"id_token":"a","id_token":"b"}`), true},
		"a huge answer": {say(`{"x":"` + strings.Repeat("x", 64<<10) + `"}`), false},
		"silence": {func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			panic(http.ErrAbortHandler) // an answer to whoever is leaving may still be read
		}, false},
	} {
		u := newUpstream(t)
		u.at.Change(func(p *federationtest.Provider) { p.Token = c.answer })
		id, err := u.signIn(false)
		if c.refuses {
			u.refused(what, id, err)
		} else if !errors.Is(err, keystile.ErrUnavailable) || errors.Is(err, keystile.ErrRejected) {
			t.Errorf("%s: %v", what, err)
		}
		if err != nil && strings.Contains(err.Error(), "code-1") {
			t.Errorf("%s: the error shows the code: %v", what, err)
		}
	}
}

func say(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if _, err := io.WriteString(w, text); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

func TestAProviderThatIsNoneToSignInAtBeginsNothing(t *testing.T) {
	for what, change := range map[string]func(*upstream){
		"unknown":         func(u *upstream) { u.p.Name = "other" },
		"disabled":        func(u *upstream) { u.p.Disabled = true },
		"without sign-in": func(u *upstream) { u.p.SignIn, u.p.JWKSURL = nil, u.at.URL+"/jwks" },
	} {
		u := newUpstream(t)
		change(u)
		if _, _, err := u.Begin(t.Context(), "corp", false); !errors.Is(err, federation.ErrInvalidToken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// One that was disabled meanwhile ends nothing either.
	u := newUpstream(t)
	address, pending, err := u.Begin(t.Context(), "corp", false)
	if err != nil {
		t.Fatal(err)
	}
	callback := u.visit(address)
	u.p.Disabled = true
	id, err := u.Finish(t.Context(), "corp", pending, callback)
	u.refused("disabled meanwhile", id, err)
	u.p.Disabled, u.p.SignIn.SealedSecret = false, []byte("sealed elsewhere")
	if _, err := u.Finish(t.Context(), "corp", pending, callback); !errors.Is(err, keystile.ErrUnavailable) {
		t.Errorf("a secret that does not open: %v", err)
	}
}

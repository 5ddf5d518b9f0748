package enforce_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

func TestThreat17_StripIdentityRemovesEverySpelling(t *testing.T) {
	h := http.Header{
		"Keystile-Subject": {"a", "b"}, "keystile-subject": {"a"}, "KEYSTILE-SUBJECT": {"a"}, "Keystile_Subject": {"a"},
		"keystile_sites": {"a"}, "Keystile-Anything": {"a"}, " Keystile-Scopes": {"a"}, "\tkeystile_scopes ": {"a"}, "Keystile-": {"a"},
		"X-Keystile": {"kept"}, "Keystiles": {"kept"}, "Keystile": {"kept"}, "Accept": {"kept"}, "": {"kept"},
	}
	enforce.StripIdentity(h)
	want := http.Header{"X-Keystile": {"kept"}, "Keystiles": {"kept"}, "Keystile": {"kept"}, "Accept": {"kept"}, "": {"kept"}}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestThreat17_AnySpellingOfAnIdentityFieldIsStripped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(enforce.IdentityHeaders).Draw(t, "name")
		spelled := []byte(strings.Repeat(" ", rapid.IntRange(0, 2).Draw(t, "space")) + name)
		for i, c := range spelled {
			if c == '-' && rapid.Bool().Draw(t, "underscore") {
				spelled[i] = '_'
			} else if c != ' ' && c != '-' && rapid.Bool().Draw(t, "case") {
				spelled[i] ^= 0x20
			}
		}
		h := http.Header{string(spelled): {"evil"}}
		enforce.StripIdentity(h)
		if len(h) != 0 {
			t.Fatalf("%q survived", spelled)
		}
	})
}

func TestThreat17_AnIdentityFieldNamedInConnectionSurvives(t *testing.T) {
	h := http.Header{
		"Connection": {"close, Keystile-Subject", "keystile-scopes"}, "Keystile-Subject": {"evil"}, "Keep-Alive": {"1"},
		"Te": {"trailers"}, "Upgrade": {"h2c"}, "Proxy-Authorization": {"x"}, "Proxy-Connection": {"x"}, "Accept": {"*/*"},
	}
	enforce.StripHopByHop(h)
	enforce.StripIdentity(h)
	enforce.SetIdentity(h, allowed(&keystile.Principal{Subject: "key:k", Scopes: []keystile.Scope{"a:b"}}), "id", "", false)
	want := http.Header{
		"Accept": {"*/*"}, "Keystile-Subject": {"key:k"}, "Keystile-Scopes": {`"a:b"`}, "Keystile-Request-Id": {"id"},
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func allowed(p *keystile.Principal) *keystile.Decision {
	return &keystile.Decision{Allowed: true, Principal: p, Route: &keystile.Route{}}
}

func TestIdentityIsWrittenAsTheContractSays(t *testing.T) {
	full := &keystile.Principal{
		Subject: "key:k1", OrganizationID: "org", Kind: keystile.KindAPIKey, CredentialID: "k1",
		Scopes: []keystile.Scope{"a:b", "c:*"}, SiteIDs: []string{"Site A", `q"\`},
	}
	for _, c := range []struct {
		name      string
		d         *keystile.Decision
		assertion string
		always    bool
		want      http.Header
	}{
		{"to an upstream", allowed(full), "jwt", false, http.Header{
			"Keystile-Subject": {"key:k1"}, "Keystile-Organization": {"org"}, "Keystile-Credential": {"api_key:k1"},
			"Keystile-Scopes": {`"a:b", "c:*"`}, "Keystile-Sites": {`"Site A", "q\"\\"`}, "Keystile-Request-Id": {"id"}, "Keystile-Assertion": {"jwt"},
		}},
		{"what does not apply is left out", allowed(&keystile.Principal{Subject: "user:u"}), "", false, http.Header{
			"Keystile-Subject": {"user:u"}, "Keystile-Request-Id": {"id"},
		}},
		{"to a proxy it is empty instead", allowed(&keystile.Principal{Subject: "user:u"}), "", true, http.Header{
			"Keystile-Subject": {"user:u"}, "Keystile-Organization": {""}, "Keystile-Credential": {""}, "Keystile-Scopes": {""},
			"Keystile-Sites": {""}, "Keystile-Request-Id": {"id"}, "Keystile-Assertion": {""},
		}},
		{"an observed decision names nobody", &keystile.Decision{Allowed: true, Observed: true, Principal: full}, "jwt", false, http.Header{
			"Keystile-Request-Id": {"id"},
		}},
		{"a refusal names nobody", &keystile.Decision{Principal: full}, "jwt", false, http.Header{"Keystile-Request-Id": {"id"}}},
		{"what cannot stand in a field is left out", allowed(&keystile.Principal{
			Subject: "key:a\r\nX: y", OrganizationID: "a b", CredentialID: "é", Scopes: []keystile.Scope{"ok:x", "bad\n"}, SiteIDs: []string{"é"},
		}), "", false, http.Header{"Keystile-Scopes": {`"ok:x"`}, "Keystile-Request-Id": {"id"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // rendered, then remembered
				h := http.Header{}
				enforce.SetIdentity(h, c.d, "id", c.assertion, c.always)
				if diff := cmp.Diff(c.want, h); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
			}
		})
	}
}

func TestThreat20_RememberedIdentitiesAreNeverAnother(t *testing.T) {
	const callers, principals = 8, 30_000 // enough for many shared slots
	all := make([]*keystile.Principal, principals)
	for i := range all {
		id := "k" + strconv.Itoa(i)
		all[i] = &keystile.Principal{Subject: "key:" + id, CredentialID: id, Kind: keystile.KindAPIKey, SiteIDs: []string{id}}
	}
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			h := http.Header{}
			for i := range principals * 2 {
				p := all[(i*7919+caller*31)%principals]
				enforce.SetIdentity(h, allowed(p), "id", "", true)
				if h.Get("Keystile-Subject") != p.Subject || h.Get("Keystile-Sites") != `"`+p.CredentialID+`"` ||
					h.Get("Keystile-Credential") != "api_key:"+p.CredentialID {
					t.Errorf("%s got %v", p.Subject, h)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestSharedValuesAreNotChangedByWhoAddsToThem(t *testing.T) {
	p := &keystile.Principal{Subject: "key:k"}
	for range 2 {
		h := http.Header{}
		enforce.SetIdentity(h, allowed(p), "id", "", true)
		if len(h["Keystile-Subject"]) != 1 || len(h["Keystile-Sites"]) != 1 {
			t.Fatalf("%v", h)
		}
		h.Add("Keystile-Subject", "more")
		h.Add("Keystile-Sites", "more")
	}
}

func TestAWarmIdentityCostsOneStringAndOneSlice(t *testing.T) {
	p := &keystile.Principal{Subject: "key:k", CredentialID: "k", Scopes: []keystile.Scope{"a:b"}}
	d, h := allowed(p), http.Header{}
	enforce.SetIdentity(h, d, "id", "", true)
	if n := testing.AllocsPerRun(100, func() { enforce.SetIdentity(h, d, "id", "", true) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

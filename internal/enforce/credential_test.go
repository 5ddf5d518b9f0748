package enforce_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

func TestTheAcceptedCredentialIsNotForwarded(t *testing.T) {
	for _, c := range []struct {
		name     string
		route    keystile.Route
		in, want http.Header
	}{
		{"x-api-key and a bearer token", keystile.Route{}, http.Header{"X-Api-Key": {"k", "k2"}, "Authorization": {"Bearer k"}}, http.Header{}},
		{"a raw key in Authorization", keystile.Route{}, http.Header{"Authorization": {"opa_prod_x"}}, http.Header{}},
		{"an empty scheme", keystile.Route{}, http.Header{"Authorization": {"Bearer"}}, http.Header{}},
		{"an unknown scheme may be a key with a space", keystile.Route{}, http.Header{"Authorization": {"my key"}}, http.Header{}},
		{"the upstream's own Basic password stays", keystile.Route{}, http.Header{"X-Api-Key": {"k"}, "Authorization": {"basic dTpw"}}, http.Header{"Authorization": {"basic dTpw"}}},
		{"one foreign and one own go together", keystile.Route{}, http.Header{"Authorization": {"Basic dTpw", "Bearer k"}}, http.Header{}},
		{"the route's own field", keystile.Route{CredentialHeader: "x-site-key"}, http.Header{"X-Site-Key": {"k"}, "Accept": {"a"}}, http.Header{"Accept": {"a"}}},
		{"a proof where access tokens are taken", keystile.Route{Accept: []keystile.KindName{keystile.KindOAuthToken}}, http.Header{"Authorization": {"DPoP t"}, "Dpop": {"p"}}, http.Header{}},
		{"a proof elsewhere is the upstream's", keystile.Route{}, http.Header{"Dpop": {"p"}}, http.Header{"Dpop": {"p"}}},
		{"a route that forwards keeps it", keystile.Route{ForwardCredential: true}, http.Header{"X-Api-Key": {"k"}, "Cookie": {"keystile_session=s"}}, http.Header{"X-Api-Key": {"k"}}},
		{"Keystile's cookies", keystile.Route{}, http.Header{"Cookie": {"a=b; __Host-keystile=s; keystile=s; __Host-keystile_session=s;keystile_x=y ; c=d", "__host-Keystile_z=1"}}, http.Header{"Cookie": {"a=b; c=d"}}},
		{"other cookies are left as they were", keystile.Route{}, http.Header{"Cookie": {"a=b;c=d; notkeystile_=1"}}, http.Header{"Cookie": {"a=b;c=d; notkeystile_=1"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			hr := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			hr.Header = c.in
			enforce.StripCredential(hr, &c.route)
			if diff := cmp.Diff(c.want, hr.Header); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestTheCredentialLeavesTheQueryAndNothingElseChanges(t *testing.T) {
	for in, want := range map[string]string{
		"key=k&a=%20b&c":       "a=%20b&c",
		"a=1&k%65y=k&b=2":      "a=1&b=2",
		"key":                  "",
		"a=1&key=k&&b=2&key=j": "a=1&&b=2",
		"keys=1&Key=2&%zz=3":   "keys=1&Key=2&%zz=3",
		"":                     "",
	} {
		hr := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		hr.URL.RawQuery = in
		enforce.StripCredential(hr, &keystile.Route{CredentialQuery: "key"})
		if hr.URL.RawQuery != want {
			t.Errorf("%q became %q, want %q", in, hr.URL.RawQuery, want)
		}
	}
}

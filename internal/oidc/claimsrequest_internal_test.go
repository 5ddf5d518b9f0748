package oidc

import (
	"slices"
	"strings"
	"testing"
)

func TestTheClaimsParameterIsReadAsTheStandardSays(t *testing.T) {
	for text, want := range map[string]claimsRequest{
		`{}`:                              {},
		` { "userinfo" : null } `:         {},
		`{"userinfo":{},"id_token":{}}`:   {},
		`{"other":[1,2],"userinfo":null}`: {},
		`{"userinfo":{"name":null}}`:      {userinfo: []string{"name"}},
		`{"id_token":{"auth_time":{"essential":true},"email":{"essential":false,"purpose":"x"}}}`:              {idToken: []string{"email"}},
		`{"userinfo":{"updated_at":{},"email":{"value":"a@b"},"http://x/y":{"values":[1,{}]},"name#de":null}}`: {userinfo: []string{"email", "updated_at"}},
		`{"id_token":{"sub":{"value":"ann"}},"userinfo":{"sub":{"values":["ann","bob"]}}}`:                     {subjects: [][]string{{"ann"}, {"ann", "bob"}}},
		`{"id_token":{"acr":{"essential":true,"values":["a","b"]}}}`:                                           {acr: acrRequest{values: []string{"a", "b"}, essential: true}},
		`{"id_token":{"acr":{"value":"a"}}}`:                                                                   {acr: acrRequest{values: []string{"a"}}},
		`{"id_token":{"acr":{"essential":true}}}`:                                                              {},
		`{"userinfo":{"acr":{"essential":true,"value":"a"}}}`:                                                  {},
	} {
		got, ok := parseClaims(text)
		slices.SortFunc(got.subjects, func(a, b []string) int { return len(a) - len(b) })
		if !ok || !same(got, want) {
			t.Errorf("%s: %+v, %v", text, got, ok)
		}
	}
	for _, text := range []string{
		"", "null", "[]", `"x"`, "1", "{", `{"userinfo":{}}x`, `{"userinfo":1}`, `{"userinfo":[]}`, `{"userinfo":"name"}`, `{"userinfo":{"name":1}}`, `{"userinfo":{"name":[]}}`,
		`{"userinfo":{"name":{"essential":"true"}}}`, `{"userinfo":{"name":{"essential":1}}}`, `{"userinfo":{"name":{"values":"x"}}}`, `{"userinfo":{"name":{"values":[]}}}`,
		`{"userinfo":{"name":{"value":"a","values":["a"]}}}`, `{"userinfo":{"sub":{"value":1}}}`, `{"id_token":{"acr":{"values":[null]}}}`, `{"id_token":{"acr":{"value":{}}}}`,
		`{"userinfo":{},"userinfo":{}}`, `{"userinfo":{"name":null,"name":null}}`, `{"userinfo":{"sub":{"value":"a","value":"b"}}}`, "{\"userinfo\":{\"\xff\":null}}",
		`{"userinfo":{"name":{"x":"` + strings.Repeat("x", maxClaims) + `"}}}`, strings.Repeat(`{"userinfo":`, 500),
	} {
		if got, ok := parseClaims(text); ok {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func same(a, b claimsRequest) bool {
	return slices.Equal(a.userinfo, b.userinfo) && slices.Equal(a.idToken, b.idToken) && slices.Equal(a.acr.values, b.acr.values) && a.acr.essential == b.acr.essential &&
		slices.EqualFunc(a.subjects, b.subjects, slices.Equal[[]string])
}

// FuzzClaims: whatever is sent, the reader ends, and what it takes is only what there is:
// claims of ours, sorted, each once, and no wish for a subject that names none.
func FuzzClaims(f *testing.F) {
	for _, text := range []string{
		`{"userinfo":{"name":null,"email":{"essential":true}},"id_token":{"acr":{"essential":true,"values":["phr"]},"sub":{"value":"x"}}}`, `{"userinfo":null}`, `{`, `[]`, `{"id_token":{"sub":{"values":[]}}}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := parseClaims(text)
		if !ok {
			return
		}
		if len(text) > maxClaims {
			t.Fatalf("%d bytes were read", len(text))
		}
		for _, list := range [][]string{c.userinfo, c.idToken} {
			if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
				t.Fatalf("%v", list)
			}
			for _, name := range list {
				if claimScopes[name] == "" {
					t.Fatalf("%q is no claim of ours", name)
				}
			}
		}
		for _, set := range c.subjects {
			if len(set) == 0 {
				t.Fatal("a wish for no subject at all, which nobody could meet")
			}
		}
		if c.acr.essential && len(c.acr.values) == 0 {
			t.Fatal("an essential context without a value")
		}
	})
}

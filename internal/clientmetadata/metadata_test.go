package clientmetadata_test

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/clientmetadata"
)

const keys = `{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}]}`

// object is metadata with members changed; "" removes one. Values are JSON.
func object(base, change map[string]string) []byte {
	all := map[string]string{}
	maps.Copy(all, base)
	maps.Copy(all, change)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n" + string(must(json.Marshal(name))) + ":" + all[name])
	}
	return []byte("{" + b.String() + "}")
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// The example of RFC 7591, section 3.1, with a localised name and an extension that
// nobody here knows.
var example = map[string]string{
	"redirect_uris": `["https://client.example.org/callback","https://client.example.org/callback2"]`, "client_name": `"My Example Client"`,
	"client_name#ja-Jpan-JP": `"クライアント名"`, "token_endpoint_auth_method": `"client_secret_basic"`, "logo_uri": `"https://client.example.org/logo.png"`,
	"jwks_uri": `"https://client.example.org/my_public_keys.jwks"`, "example_extension_parameter": `"example_value"`,
}

func TestTheExampleOfTheRFCIsRead(t *testing.T) {
	m, err := clientmetadata.Parse(object(example, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := &clientmetadata.Metadata{
		RedirectURIs: []string{"https://client.example.org/callback", "https://client.example.org/callback2"}, Name: "My Example Client",
		GrantTypes: []string{"authorization_code"}, AuthMethod: clientmetadata.AuthBasic, JWKSURL: "https://client.example.org/my_public_keys.jwks",
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("%+v", m)
	}
	if strings.Contains(string(must(json.Marshal(m))), "logo") {
		t.Error("a logo is kept")
	}
}

func TestEverythingAClientMaySayIsRead(t *testing.T) {
	m, err := clientmetadata.Parse(object(nil, map[string]string{
		"redirect_uris": `["http://127.0.0.1/cb","com.example.app:/cb"]`, "post_logout_redirect_uris": `["https://a.example/out"]`, "application_type": `"native"`,
		"grant_types":    `["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"]`,
		"response_types": `["code"]`, "token_endpoint_auth_method": `"private_key_jwt"`, "jwks": keys, "client_name": `"Büro"`, "client_uri": `"https://a.example"`,
		"policy_uri": `"https://a.example/p"`, "tos_uri": `"https://a.example/t"`, "scope": `"openid sites:read"`, "backchannel_logout_uri": `"https://a.example/out"`,
		"id_token_signed_response_alg": `"ES256"`, "subject_type": `"pairwise"`, "dpop_bound_access_tokens": `true`, "require_pushed_authorization_requests": `true`,
		"software_id": `"4NRB1"`, "software_version": `"2.1"`, "jwks_uri": `null`, "contacts": `["a@a.example"]`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := &clientmetadata.Metadata{
		RedirectURIs: []string{"http://127.0.0.1/cb", "com.example.app:/cb"}, PostLogoutRedirectURIs: []string{"https://a.example/out"},
		GrantTypes: []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"}, AuthMethod: clientmetadata.AuthPrivateKeyJWT,
		Name: "Büro", HomepageURL: "https://a.example", PolicyURL: "https://a.example/p", TermsURL: "https://a.example/t", Scopes: []string{"openid", "sites:read"}, JWKS: keys,
		BackchannelLogoutURL: "https://a.example/out", IDTokenAlgorithm: "ES256", Pairwise: true, DPoP: true, PushedOnly: true, SoftwareID: "4NRB1", SoftwareVersion: "2.1",
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("%+v", m)
	}
	if m, err = clientmetadata.Parse([]byte(`{"grant_types":["client_credentials"],"response_types":[]}`)); err != nil || len(m.RedirectURIs) != 0 {
		t.Errorf("a client that no browser is sent to: %v", err)
	}
}

func TestMetadataThatBreaksARuleIsRefusedByItsMember(t *testing.T) {
	for _, c := range []struct{ member, value string }{
		{"redirect_uris", `null`},
		{"redirect_uris", `[]`},
		{"redirect_uris", `"https://a.example/"`},
		{"redirect_uris", `[1]`},
		{"redirect_uris[0]", `["http://a.example/"]`},
		{"redirect_uris[1]", `["https://a.example/",null]`},
		{"redirect_uris[1]", `["https://a.example/","https://a.example/"]`},
		{"redirect_uris", `[` + strings.Repeat(`"https://a.example/",`, 32) + `"https://a.example/"]`},
		{"post_logout_redirect_uris[0]", `["javascript:alert(1)"]`},
		{"grant_types[0]", `["implicit"]`},
		{"grant_types[1]", `["authorization_code","password"]`},
		{"grant_types[1]", `["authorization_code","authorization_code"]`},
		{"grant_types", `"authorization_code"`},
		{"grant_types", `["refresh_token"]`},
		{"response_types[0]", `["token"]`},
		{"response_types[0]", `["code id_token"]`},
		{"response_types", `["code","token"]`},
		{"response_types", `[]`},
		{"token_endpoint_auth_method", `"client_secret_jwt"`},
		{"token_endpoint_auth_method", `"None"`},
		{"token_endpoint_auth_method", `7`},
		{"client_name", `""`},
		{"client_name", `["x"]`},
		{"client_name", `"` + strings.Repeat("x", 101) + `"`},
		{"client_name", `" x"`},
		{"client_name", `"a\u202eb"`},
		{"client_name", `"a\u200bb"`},
		{"client_name", `"a\nb"`},
		{"client_name", `"a\u0000b"`},
		{"client_name", `"\ud800"`},
		{"client_uri", `"http://a.example/"`},
		{"client_uri", `"javascript:alert(1)"`},
		{"policy_uri", `"https://user@a.example/"`},
		{"tos_uri", `"https://a.example/#x"`},
		{"logo_uri", `"data:image/svg+xml,<svg/>"`},
		{"jwks_uri", `"http://127.0.0.1/keys"`},
		{"jwks_uri", `"https://0x7f.1/keys"`},
		{"jwks", `"x"`},
		{"jwks", `{"keys":[]}`},
		{"jwks", `{"keys":[{"kty":"oct","k":"AAAA"}]}`},
		{"jwks", `{"keys":[{"kty":"EC","crv":"P-256","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"},{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`},
		{"jwks", keys}, // beside jwks_uri
		{"scope", `"a  b"`},
		{"scope", `"a a"`},
		{"scope", `" a"`},
		{"scope", `"a\"b"`},
		{"scope", `"ä"`},
		{"scope", `["a"]`},
		{"scope", `"` + strings.Repeat("x ", 600) + `x"`},
		{"application_type", `"desktop"`},
		{"dpop_bound_access_tokens", `"true"`},
		{"require_pushed_authorization_requests", `1`},
		{"id_token_signed_response_alg", `"none"`},
		{"id_token_signed_response_alg", `"HS256"`},
		{"subject_type", `"other"`},
		{"backchannel_logout_uri", `"https://a.example:0/"`},
		{"client_id", `7`},
	} {
		member, _, _ := strings.Cut(c.member, "[")
		_, err := clientmetadata.Parse(object(example, map[string]string{member: c.value}))
		var invalid *keystile.Invalid
		if !errors.As(err, &invalid) || invalid.Field != c.member {
			t.Errorf("%s %s: %v", c.member, c.value, err)
		}
	}
	for _, c := range []struct {
		field  string
		change map[string]string
	}{
		{"grant_types", map[string]string{"token_endpoint_auth_method": `"none"`, "grant_types": `["client_credentials"]`}},
		{"jwks", map[string]string{"token_endpoint_auth_method": `"private_key_jwt"`, "jwks_uri": ""}},
		{"redirect_uris[0]", map[string]string{"application_type": `"web"`, "redirect_uris": `["com.example.app:/cb"]`}},
		{"response_types", map[string]string{"grant_types": `["client_credentials"]`, "response_types": `["code"]`}},
	} {
		_, err := clientmetadata.Parse(object(example, c.change))
		var invalid *keystile.Invalid
		if !errors.As(err, &invalid) || invalid.Field != c.field {
			t.Errorf("%v: %v", c.change, err)
		}
	}
}

func TestThreat37_WhatIsNotOneObjectOfAKnownSizeIsRefused(t *testing.T) {
	for name, data := range map[string]string{
		"empty": "", "null": "null", "a list": "[]", "a text": `"x"`, "two objects": "{}{}", "cut": `{"redirect_uris":`, "a member twice": `{"client_name":"a","client_name":"b"}`,
		"twice by an escape": `{"client_name":"a","client_\u006eame":"b"}`, "no UTF-8": "{\"a\":\"\xff\"}", "64 KiB and more": `{"a":"` + strings.Repeat("x", 64<<10) + `"}`,
		"deep": `{"a":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + `}`, "a byte order mark": "\ufeff{}",
	} {
		var invalid *keystile.Invalid
		if m, err := clientmetadata.Parse([]byte(data)); !errors.As(err, &invalid) || m != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(object(example, nil))
	f.Add(object(example, map[string]string{"client_id": `"https://a.example/c"`, "jwks_uri": "", "jwks": keys, "token_endpoint_auth_method": `"private_key_jwt"`}))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := clientmetadata.Parse(data)
		var invalid *keystile.Invalid
		if err != nil {
			if !errors.As(err, &invalid) || m != nil {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		if len(m.GrantTypes) == 0 || m.AuthMethod == "" || m.JWKS != "" && m.JWKSURL != "" {
			t.Errorf("%q: %+v", data, m)
		}
		for _, uri := range m.RedirectURIs {
			if clientmetadata.CheckRedirect("", uri) != nil || !clientmetadata.MatchRedirect(m.RedirectURIs, uri) {
				t.Errorf("%q: %q", data, uri)
			}
		}
	})
}

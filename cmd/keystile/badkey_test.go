package main

import (
	"net/http"
	"strings"
	"testing"

	"keystile.dev/keystile/client"
)

func TestThreat18_ACredentialThatIsNotOneIsRefusedAndNeverAnonymous(t *testing.T) {
	r := startServer(t, simpleRoutes, simpleWorld)
	bearer := "Bearer " + goodKey
	for name, header := range map[string]http.Header{
		"missing":                      {},
		"empty":                        {"X-Api-Key": {""}},
		"blank":                        {"X-Api-Key": {"   "}},
		"doubled":                      {"X-Api-Key": {goodKey, goodKey}},
		"doubled in one field":         {"X-Api-Key": {goodKey + ", " + goodKey}},
		"over-long":                    {"X-Api-Key": {strings.Repeat("k", 8<<10)}},
		"a good key and 8 KiB":         {"X-Api-Key": {goodKey + strings.Repeat("k", 8<<10)}},
		"not ASCII":                    {"X-Api-Key": {goodKey + "é"}},
		"not UTF-8":                    {"X-Api-Key": {goodKey + "\xff"}},
		"with a zero byte":             {"X-Api-Key": {goodKey + "\x00"}},
		"with a line end":              {"X-Api-Key": {goodKey + "\r\nX: y"}},
		"with a tab inside":            {"X-Api-Key": {goodKey[:4] + "\t" + goodKey[4:]}},
		"in other letters":             {"X-Api-Key": {strings.ToUpper(goodKey)}},
		"two different ones":           {"X-Api-Key": {goodKey}, "Authorization": {"Bearer nobody-0123456789abcdef-key"}},
		"a good and a broken one":      {"X-Api-Key": {goodKey}, "Authorization": {"Bearer"}},
		"a good and an empty one":      {"X-Api-Key": {goodKey, ""}},
		"two Authorization fields":     {"Authorization": {bearer, bearer}},
		"Bearer without a token":       {"Authorization": {"Bearer"}},
		"Bearer with two tokens":       {"Authorization": {bearer + " " + goodKey}},
		"Basic":                        {"Authorization": {"Basic Z29vZDpnb29k"}},
		"a scheme that is none":        {"Authorization": {"Token " + goodKey}},
		"the cloud's signature":        {"Authorization": {"AWS4-HMAC-SHA256 Credential=" + goodKey}},
		"in a cookie":                  {"Cookie": {"x-api-key=" + goodKey}},
		"in a field of another name":   {"Api-Key": {goodKey}},
		"in a field with an underline": {"X_api_key": {goodKey}},
	} {
		t.Run(name, func(t *testing.T) {
			before := r.upstream.count()
			w := r.ask(r.public, asked{target: "/things/a", header: header})
			if w.Code != 401 && w.Code != 400 {
				t.Errorf("gateway: %d %s", w.Code, w.Body)
			}
			if w.Code == 401 && w.Header().Get("WWW-Authenticate") == "" {
				t.Error("gateway: no challenge")
			}
			sent := header.Clone()
			for name, value := range map[string]string{"Method": "GET", "Proto": "http", "Host": "127.0.0.1:8080", "Uri": "/things/a", "For": "192.0.2.1"} {
				sent.Set("X-Forwarded-"+name, value)
			}
			w = r.ask(r.public, asked{target: "/forward-auth", from: "192.0.2.77", header: sent})
			if w.Code != 401 && w.Code != 400 {
				t.Errorf("forward-auth: %d %s", w.Code, w.Body)
			}
			for field := range w.Header() {
				if strings.HasPrefix(field, "Keystile-") && field != "Keystile-Request-Id" && w.Header().Get(field) != "" {
					t.Errorf("a refusal names somebody: %s", field)
				}
			}
			if r.upstream.count() != before {
				t.Error("it reached the upstream")
			}
		})
	}
	if w := r.ask(r.public, asked{target: "/things/a?x-api-key=" + goodKey + "&api_key=" + goodKey}); w.Code != 401 {
		t.Errorf("in the query: %d", w.Code)
	}
	r.everywhere("/things/a", goodKey, 200)
}

func TestThreat22_EveryPrefixSuffixAndBitFlipOfAKeyIsRefused(t *testing.T) {
	r := startServer(t, simpleRoutes, simpleWorld)
	made := must(r.client().CreateKey(t.Context(), client.KeyCreate{Organization: "acme", Scopes: []string{"things:read"}}))(t)
	key := made.Secret
	variants := []string{key + "0", "0" + key, key + key, strings.ToLower(key), strings.ToUpper(key)}
	for i := 1; i < len(key); i++ {
		variants = append(variants, key[:i], key[i:], key[:i]+key[i+1:], key[:i-1]+key[i:i+1]+key[i-1:i]+key[i+1:])
	}
	for i := range key {
		for bit := range 8 {
			flipped := []byte(key)
			flipped[i] ^= 1 << bit
			variants = append(variants, string(flipped))
		}
	}
	refused := 0
	for _, variant := range variants {
		if variant == key {
			continue // two equal neighbours changed places
		}
		if w := r.ask(r.public, asked{target: "/things/a", header: keyHeader(variant)}); w.Code != 401 && w.Code != 400 {
			t.Errorf("%q: %d", variant, w.Code)
		}
		refused++
	}
	if refused < 500 || r.upstream.count() != 0 {
		t.Errorf("%d variants; %d reached the upstream", refused, r.upstream.count())
	}
	r.everywhere("/things/a", key, 200)
}

package oidc_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
)

// assertion is what a client signs to prove who it is; zero times are left out.
func (h *holder) assertion(t *testing.T, client, id string, issued, expires time.Time) string {
	t.Helper()
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	claims := map[string]any{"iss": client, "sub": client, "aud": issuer + "/oauth/token", "jti": id}
	for name, at := range map[string]time.Time{"iat": issued, "exp": expires} {
		if !at.IsZero() {
			claims[name] = at.Unix()
		}
	}
	text := part(map[string]string{"alg": "EdDSA", "kid": "k1"}) + "." + part(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(h.private, []byte(text)))
}

// Libraries differ in how far ahead they sign: openid-client a minute, Authlib an hour. The
// ledger remembers what was spent for some minutes, so that no assertion is taken for longer.
func TestAnAssertionIsTakenForAFewMinutesHoweverLongItSaysItLives(t *testing.T) {
	w, key := newWorld(t), newHolder(t)
	w.changeClient("app", func(c *keystile.OAuthClient) {
		c.JWKS = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","alg":"EdDSA","x":"` + base64.RawURLEncoding.EncodeToString(key.public) + `"}]}`
	})
	now := w.now()
	for name, c := range map[string]struct {
		issued, expires time.Time
		status          int
	}{
		"for a minute":                   {now, now.Add(time.Minute), 200},
		"for an hour":                    {now, now.Add(time.Hour), 200},
		"for an hour, by a clock ahead":  {now.Add(20 * time.Second), now.Add(time.Hour), 200},
		"for an hour, made a while ago":  {now.Add(-4 * time.Minute), now.Add(time.Hour), 200},
		"for an hour, made too long ago": {now.Add(-5 * time.Minute), now.Add(time.Hour), 401},
		"made in the future":             {now.Add(time.Minute), now.Add(time.Hour), 401},
		"not dated, for some minutes":    {time.Time{}, now.Add(5 * time.Minute), 200},
		"not dated, for an hour":         {time.Time{}, now.Add(time.Hour), 401},
		"without an end":                 {now, time.Time{}, 401},
		"over":                           {now.Add(-2 * time.Minute), now.Add(-time.Minute), 401},
	} {
		text := key.assertion(t, "app", name, c.issued, c.expires)
		got := w.post("/oauth/token", "grant_type", "client_credentials", "client_secret", "", "client_assertion", text, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		if got.status != c.status {
			t.Errorf("%s: %d %v", name, got.status, got.body)
		}
		w.mu.Lock()
		until := w.until["oauth client app\x00"+name]
		w.mu.Unlock()
		if until.After(now.Add(5*time.Minute)) || (got.status == 200) != until.After(now) {
			t.Errorf("%s: remembered until %s", name, until.Sub(now))
		}
	}
}

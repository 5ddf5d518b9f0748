package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"keystile.dev/keystile/internal/manage"
)

func TestARequestWithAnIdempotencyKeyHasItsEffectOnce(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	create := func(body string, headers ...string) answer {
		t.Helper()
		return s.request("POST", "/v1/keys", s.admin, body, append(headers, "Idempotency-Key", "k-1")...)
	}
	first := create(`{"organization":"acme"}`).want(201)
	again := create(`{"organization":"acme"}`).want(201)
	if again.body != first.body || again.header.Get("Location") != first.header.Get("Location") || again.header.Get("ETag") != first.header.Get("ETag") || again.header.Get("Idempotency-Replayed") != "true" || first.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("first %v %s\nagain %v %s", first.header, first.body, again.header, again.body)
	}
	if n := len(s.as(200, "GET", "/v1/keys", "").items()); n != 2 {
		t.Errorf("%d keys, want key_a and one more", n)
	}
	// Another body, another operation: refused, and nothing done.
	for _, a := range []answer{
		create(`{"organization":"acme","name":"other"}`), create(`{"organization":"acme" }`),
		s.request("POST", "/v1/keys/key_a/revoke", s.admin, "", "Idempotency-Key", "k-1"),
	} {
		if a.want(422).text("code") != "idempotency_key_reused" {
			t.Errorf("body %s", a.body)
		}
	}
	if a := s.as(200, "GET", "/v1/keys/key_a", ""); a.text("state") != "active" {
		t.Error("a refused repetition had an effect")
	}
	// Another caller's key is another key.
	other := s.token(manage.NewAdminToken{})
	if a := s.request("POST", "/v1/keys", other, `{"organization":"acme"}`, "Idempotency-Key", "k-1").want(201); a.text("id") == first.text("id") {
		t.Error("another caller was answered with somebody's secret")
	}
}

func TestALateRepetitionOmitsTheSecretAndALaterOneIsARequestOfItsOwn(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	create := func() answer {
		return s.as(201, "POST", "/v1/keys", `{"organization":"acme"}`, "Idempotency-Key", "k-1")
	}
	first := create()
	s.move(manage.SecretsKept)
	late := create()
	if late.text("id") != first.text("id") || late.text("secret") != "" || late.text("hint") != first.text("hint") {
		t.Errorf("late: %s", late.body)
	}
	if err := s.service.ForgetAnswers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := create(); a.text("id") != first.text("id") || a.text("secret") != "" {
		t.Errorf("after the secrets were forgotten: %s", a.body)
	}
	s.move(manage.AnswersKept)
	if err := s.service.ForgetAnswers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := create(); a.text("id") == first.text("id") || a.text("secret") == "" {
		t.Errorf("a day later: %s", a.body)
	}
}

func TestARequestThatFailedMayBeMendedUnderItsIdempotencyKey(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	s.as(422, "POST", "/v1/keys", `{"organization":"acme","name":"a\nb"}`, "Idempotency-Key", "k-1")
	s.as(201, "POST", "/v1/keys", `{"organization":"acme","name":"ab"}`, "Idempotency-Key", "k-1")
	s.as(413, "POST", "/v1/keys", `{"name":"`+strings.Repeat("x", 70_000)+`"}`, "Idempotency-Key", "k-2")
	for _, key := range []string{"", "a b", "a\x7f", strings.Repeat("k", 256)} {
		s.as(400, "POST", "/v1/keys", `{"organization":"acme"}`, "Idempotency-Key", key)
	}
	s.as(400, "POST", "/v1/keys", `{"organization":"acme"}`, "Idempotency-Key", "a", "Idempotency-Key", "b")
	s.as(400, "DELETE", "/v1/keys/key_a", "", "Idempotency-Key", "k-3")
	s.as(400, "PATCH", "/v1/keys/key_a", `{}`, "Idempotency-Key", "k-3")
}

func TestOfManyEqualRequestsAtOnceOneHasAnEffect(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	ids := make([]string, 12)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			a := s.request("POST", "/v1/keys", s.admin, `{"organization":"acme"}`, "Idempotency-Key", "race")
			switch {
			case a.status == 201:
				ids[i] = a.text("id")
			case a.status != 409 || a.text("code") != "idempotency_answer_missing":
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	made := map[string]bool{}
	for _, id := range ids {
		if id != "" {
			made[id] = true
		}
	}
	if n := len(s.as(200, "GET", "/v1/keys", "").items()); n != 2 || len(made) != 1 {
		t.Errorf("%d keys, answers name %v", n, made)
	}
}

func TestEveryPostTakesAnIdempotencyKey(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	for i, c := range []struct{ path, body string }{
		{"/v1/organizations", `{"id":"new"}`},
		{"/v1/sites", `{"id":"Cellar","organization":"acme"}`},
		{"/v1/keys/bulk", `{"keys":[{"organization":"acme"}]}`},
		{"/v1/admin-tokens", `{"name":"ci"}`},
		{"/v1/signing-keys", `{"organization":"acme","algorithm":"HS256"}`},
		{"/v1/keys/key_a/rotate", `{"overlap":"0s"}`},
	} {
		key := fmt.Sprint("post-", i)
		first := s.request("POST", c.path, s.admin, c.body, "Idempotency-Key", key)
		again := s.request("POST", c.path, s.admin, c.body, "Idempotency-Key", key)
		if first.status >= 300 || again.status != first.status || again.body != first.body {
			t.Errorf("%s: %d %s, then %d %s", c.path, first.status, first.body, again.status, again.body)
		}
	}
}

// TestThreat33: a member that is added to an answer and holds a secret must be one
// that late repetitions leave out.
func TestThreat33_EveryMemberThatHoldsASecretIsLeftOutOfLateRepetitions(t *testing.T) {
	s := newServer(t)
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct{ Description string }
			}
		}
	}
	if err := json.Unmarshal(s.handler.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{"secret": true, "secrets": true, "private_key": true, "uri": true}
	found := 0
	for name, schema := range doc.Components.Schemas {
		for member, property := range schema.Properties {
			if strings.Contains(property.Description, "shown here") {
				if found++; !left[member] {
					t.Errorf("%s.%s holds a secret and is kept", name, member)
				}
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d members hold secrets", found)
	}
}

func TestThreat33_KeptAnswersAreSealed(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	secret := s.as(201, "POST", "/v1/keys", `{"organization":"acme"}`, "Idempotency-Key", "sealed").text("secret")
	s.move(time.Second)
	if _, err := s.service.Idempotent("adm_root", "sealed", []byte("another")).Recall(t.Context()); err == nil {
		t.Error("another request recalled the answer")
	}
	if strings.Contains(s.log.String(), secret) || secret == "" {
		t.Error("the secret is logged")
	}
}

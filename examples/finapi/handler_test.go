package finapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"keystile.dev/keystile/examples/finapi"
)

func ask(t *testing.T, h http.Handler, organization, method, path, body string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Keystile-Organization", organization)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%s %s: %v: %q", method, path, err, w.Body)
	}
	return w.Code, answer
}

func TestADepositCanBeFollowedByWhoMadeItAndNobodyElse(t *testing.T) {
	h := finapi.Handler(func() time.Time { return time.Unix(1_700_000_000, 0) }, func() string { return "op-1" })
	status, op := ask(t, h, "bank-x", "POST", "/finapi/payments/deposit", `{"asset":"EUR","amount":"10.50"}`)
	if status != 200 || op["cid"] != "op-1" || op["owner"] != "bank-x" || op["amount"] != "10.50" {
		t.Fatalf("%d %v", status, op)
	}
	if status, again := ask(t, h, "bank-x", "GET", "/finapi/operations/status/op-1", ""); status != 200 || again["status"] != "completed" {
		t.Errorf("%d %v", status, again)
	}
	if status, _ := ask(t, h, "bank-y", "GET", "/finapi/operations/status/op-1", ""); status != 404 {
		t.Errorf("another bank sees it: %d", status)
	}
	if status, owner := ask(t, h, "bank-x", "GET", "/finapi/profiles/owner", ""); status != 200 || owner["organizationId"] != "bank-x" {
		t.Errorf("%d %v", status, owner)
	}
}

func TestWhatCannotBeReadOrIsNotThereIsToldInThePlatformsShape(t *testing.T) {
	h := finapi.Handler(time.Now, func() string { return "op-1" })
	for _, c := range []struct {
		method, path, body string
		status             int
		code               float64
	}{
		{"POST", "/finapi/payments/deposit", "", 400, 1002},
		{"POST", "/finapi/payments/deposit", `{"asset":"EUR","amount":"ten"}`, 400, 1002},
		{"POST", "/finapi/payments/deposit", `{"asset":"EUR","amount":"1","x":"` + strings.Repeat("x", 20_000) + `"}`, 400, 1002},
		{"GET", "/finapi/operations/status/none", "", 404, 1100},
		{"GET", "/elsewhere", "", 404, 1100},
	} {
		status, answer := ask(t, h, "bank-x", c.method, c.path, c.body)
		errs, ok := answer["errors"].([]any)
		if !ok || len(errs) != 1 {
			t.Fatalf("%s: %v", c.path, answer)
		}
		if first, ok := errs[0].(map[string]any); !ok || status != c.status || first["code"] != c.code {
			t.Errorf("%s %s: %d %v", c.method, c.path, status, answer)
		}
	}
}

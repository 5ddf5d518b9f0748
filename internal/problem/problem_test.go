package problem_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/problem"
)

const canary = "internal-canary"

func TestEveryErrorHasOneAnswerAndItsTextStaysInside(t *testing.T) {
	var syntax *json.SyntaxError
	if err := json.Unmarshal([]byte("{"), &struct{}{}); !errors.As(err, &syntax) {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		err    error
		status int
		code   string
	}{
		{"not found", keystile.ErrNotFound, 404, "not_found"},
		{"conflict", keystile.ErrConflict, 409, "conflict"},
		{"rejected", keystile.ErrRejected, 401, "unauthorized"},
		{"replayed", keystile.ErrReplayed, 401, "unauthorized"},
		{"malformed", keystile.ErrMalformed, 400, "malformed"},
		{"JSON", syntax, 400, "malformed"},
		{"half a body", io.ErrUnexpectedEOF, 400, "malformed"},
		{"too large", keystile.ErrBodyTooLarge, 413, "body_too_large"},
		{"too large for net/http", &http.MaxBytesError{Limit: 1}, 413, "body_too_large"},
		{"unavailable", keystile.ErrUnavailable, 503, "unavailable"},
		{"deadline", context.DeadlineExceeded, 503, "unavailable"},
		{"an expired key", keystile.Reject(keystile.ReasonCredentialExpired, canary), 401, "unauthorized"},
		{"a missing scope", keystile.Reject(keystile.ReasonScopeMissing, canary), 403, "scope_missing"},
		{"a problem", problem.New(418, "teapot", ""), 418, "teapot"},
		{"anything", errors.New("pq: relation does not exist"), 500, "internal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := problem.From(fmt.Errorf(canary+" %w", c.err))
			if p.Status != c.status || p.Code != c.code || p.GetStatus() != c.status {
				t.Errorf("%+v", p)
			}
			if body := string(p.JSON()); strings.Contains(body, canary) || strings.Contains(body, "relation") {
				t.Errorf("internal text was told: %s", body)
			}
		})
	}
	if problem.From(nil) != nil {
		t.Error("no error has a problem")
	}
}

func TestEveryInvalidFieldIsNamed(t *testing.T) {
	err := fmt.Errorf(canary+" %w", errors.Join(
		keystile.Invalidf("name", "give one", "is missing"),
		fmt.Errorf("deeper: %w", keystile.Invalidf("scopes[1]", "", "%q is no scope", "x y")),
		errors.New("and something else"),
	))
	want := &problem.Problem{
		Title: "Unprocessable Entity", Status: 422, Code: "invalid",
		Errors: []problem.FieldError{{"name", "is missing", "give one"}, {"scopes[1]", `"x y" is no scope`, ""}},
	}
	if diff := cmp.Diff(want, problem.From(err)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	many := make([]error, 1000)
	for i := range many {
		many[i] = keystile.Invalidf("f", "", "p")
	}
	if n := len(problem.From(errors.Join(many...)).Errors); n != 100 {
		t.Errorf("%d fields", n)
	}
}

func TestThreat33_OnlyTheListedReasonsAreTold(t *testing.T) {
	told := map[keystile.Reason]string{
		keystile.ReasonCredentialMissing: "credential_missing", keystile.ReasonCredentialMalformed: "credential_malformed",
		keystile.ReasonScopeMissing: "scope_missing", keystile.ReasonResourceNotPermitted: "resource_not_permitted",
		keystile.ReasonTenantNotAuthorized: "tenant_not_authorized", keystile.ReasonRateLimited: "rate_limited",
		keystile.ReasonNoRoute: "no_route", keystile.ReasonRequestInvalid: "request_invalid", keystile.ReasonBodyTooLarge: "body_too_large",
	}
	general := map[int]string{401: "unauthorized", 403: "forbidden", 503: "unavailable"}
	for _, r := range append([]keystile.Reason{"", "new_reason"}, keystile.Reasons...) {
		p := problem.ForDecision(&keystile.Decision{Reason: r, Cause: canary, Public: "public text"})
		want, ok := told[r]
		if !ok {
			want = general[p.Status]
		}
		if p.Code != want || p.Status < 400 {
			t.Errorf("%s: %d %s, want %s", r, p.Status, p.Code, want)
		}
		if ok != (p.Detail == "public text") {
			t.Errorf("%s: detail %q", r, p.Detail)
		}
		if strings.Contains(string(p.JSON()), canary) {
			t.Errorf("%s tells its cause", r)
		}
	}
}

func TestAHiddenResourceLooksLikeAnAbsentOne(t *testing.T) {
	d := &keystile.Decision{
		Reason: keystile.ReasonResourceNotPermitted, Public: "not yours", Route: &keystile.Route{NotPermittedStatus: http.StatusNotFound},
	}
	if diff := cmp.Diff(problem.From(keystile.ErrNotFound), problem.ForDecision(d)); diff != "" {
		t.Error(diff)
	}
}

func TestAnAllowanceIsNoProblemButNeverA200(t *testing.T) {
	if p := problem.ForDecision(&keystile.Decision{Allowed: true}); p.Status != http.StatusServiceUnavailable {
		t.Errorf("%+v", p)
	}
}

func TestWriteAnswersAsProblemDetails(t *testing.T) {
	rec := httptest.NewRecorder()
	p := problem.New(http.StatusForbidden, "forbidden", "no")
	p.RequestID = "id"
	problem.Write(rec, p)
	if rec.Code != http.StatusForbidden || rec.Header().Get("Content-Type") != "application/problem+json" ||
		rec.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	want := `{"title":"Forbidden","status":403,"code":"forbidden","detail":"no","request_id":"id"}` + "\n"
	if diff := cmp.Diff(want, rec.Body.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got := p.Error(); got != "403 forbidden: no" {
		t.Errorf("%q", got)
	}
}

func TestEveryStatusHasACode(t *testing.T) {
	for status := 400; status < 600; status++ {
		if p := problem.ForStatus(status); p.Code == "" || p.Title == "" || p.Status != status {
			t.Errorf("%+v", p)
		}
	}
}

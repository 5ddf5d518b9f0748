package enforce_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

func get() *http.Request { return httptest.NewRequest(http.MethodGet, "/", http.NoBody) }

func TestAnAllowedDecisionIsNeverWrittenAsARefusalWith200(t *testing.T) {
	rec := httptest.NewRecorder()
	enforce.WriteRefusal(rec, get(), allowed(&keystile.Principal{}), "id")
	if rec.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", rec.Code)
	}
}

func TestUpstreamErrorsSpeakTheRoutesDialect(t *testing.T) {
	for _, c := range []struct {
		errors string
		status int
		want   string
	}{
		{"", 502, `"code":"bad_gateway"`},
		{"", 504, `"code":"gateway_timeout"`},
		{"", 413, `"code":"body_too_large"`},
		{"ona", 502, `{"error":"Service unavailable"}`},
		{"ona", 413, `{"error":"Invalid request"}`},
		{"ownera", 504, `{"errors":[{"code":2000,"message":"General server error"}]}`},
		{"aurora", 504, `"code":"gateway_timeout"`},
		{"nao", 502, `"status":"502","code":"bad_gateway"`},
		{"nonsense", 502, `"code":"bad_gateway"`},
	} {
		rec := httptest.NewRecorder()
		enforce.WriteUpstreamError(rec, get(), &keystile.Route{Errors: c.errors}, c.status, "id")
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) {
			t.Errorf("%s %d: %d %s", c.errors, c.status, rec.Code, rec.Body)
		}
	}
	rec := httptest.NewRecorder()
	enforce.WriteUpstreamError(rec, get(), nil, http.StatusBadGateway, "id")
	if rec.Code != http.StatusBadGateway {
		t.Errorf("without a route: %d", rec.Code)
	}
}

func TestAStepUpTellsWhatToProveAndHowFresh(t *testing.T) {
	refused := func(auth *keystile.RouteAuth, dialect string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		enforce.WriteRefusal(rec, get(), &keystile.Decision{
			Reason: keystile.ReasonConditionFailed, StepUp: true, Cause: "none was proven", Route: &keystile.Route{Auth: auth, Errors: dialect},
		}, "id")
		return rec
	}
	both := &keystile.RouteAuth{Methods: []keystile.AuthMethod{"otp", "hwk"}, MaxAge: 90 * time.Second}
	const begin = `Bearer realm="keystile", error="insufficient_user_authentication", error_description="sign in again"`
	for _, c := range []struct {
		auth    *keystile.RouteAuth
		dialect string
		want    string
	}{
		{both, "", begin + `, amr_values="otp hwk", max_age="90"`},
		{both, "ona", begin + `, amr_values="otp hwk", max_age="90"`},
		{&keystile.RouteAuth{MaxAge: time.Minute}, "", begin + `, max_age="60"`},
		{&keystile.RouteAuth{Methods: []keystile.AuthMethod{"hwk"}}, "", begin + `, amr_values="hwk"`},
		{nil, "", begin},
	} {
		rec := refused(c.auth, c.dialect)
		if rec.Code != 401 || rec.Header().Get("WWW-Authenticate") != c.want || strings.Contains(rec.Body.String(), "none was proven") {
			t.Errorf("%d %q %s", rec.Code, rec.Header().Get("WWW-Authenticate"), rec.Body)
		}
	}
	if body := refused(both, "").Body.String(); !strings.Contains(body, `"code":"insufficient_user_authentication"`) {
		t.Error(body)
	}
	rec := httptest.NewRecorder()
	enforce.WriteRefusal(rec, get(), &keystile.Decision{Reason: keystile.ReasonConditionFailed, Route: &keystile.Route{Auth: both}}, "id")
	if rec.Code != 403 || rec.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("any other condition: %d %q", rec.Code, rec.Header().Get("WWW-Authenticate"))
	}
}

func TestWhoSentAProofIsChallengedForOne(t *testing.T) {
	for _, c := range []struct {
		authorization string
		reason        keystile.Reason
		want          string
	}{
		{"DPoP abc", keystile.ReasonCredentialUnknown, `DPoP realm="keystile", error="invalid_token", algs="RS256 ES256 EdDSA"`},
		{"dpop abc", keystile.ReasonScopeMissing, `DPoP realm="keystile", error="insufficient_scope", scope="things:read", algs="RS256 ES256 EdDSA"`},
		{"Bearer abc", keystile.ReasonCredentialUnknown, `Bearer realm="keystile", error="invalid_token"`},
		{"DPoPabc", keystile.ReasonCredentialUnknown, `Bearer realm="keystile", error="invalid_token"`},
		{"", keystile.ReasonCredentialMissing, `Bearer realm="keystile"`},
	} {
		rec, r := httptest.NewRecorder(), get()
		r.Header.Set("Authorization", c.authorization)
		enforce.WriteRefusal(rec, r, &keystile.Decision{Reason: c.reason, Route: &keystile.Route{Scopes: []keystile.Scope{"things:read"}}}, "id")
		if got := rec.Header().Get("WWW-Authenticate"); got != c.want {
			t.Errorf("%q: %q, want %q", c.authorization, got, c.want)
		}
	}
}

func TestFieldsThatWereSetBeforeStay(t *testing.T) {
	rec := httptest.NewRecorder()
	rec.Header().Set("Access-Control-Allow-Origin", "https://app.example")
	rec.Header().Set("Content-Length", "0")
	enforce.WriteRefusal(rec, get(), &keystile.Decision{Reason: keystile.ReasonCredentialMissing}, "id")
	if rec.Header().Get("Access-Control-Allow-Origin") == "" || rec.Header().Get("Content-Length") != "" {
		t.Errorf("%v", rec.Header())
	}
}

func TestLimitsRoundUpSoThatNobodyIsEarly(t *testing.T) {
	for _, c := range []struct {
		state         keystile.LimitState
		limit, policy string
	}{
		{keystile.LimitState{}, "", ""},
		{keystile.LimitState{Rate: &keystile.Rate{Requests: 60, Window: time.Minute}, Remaining: 59, Reset: 59*time.Second + 1}, `"default";r=59;t=60`, `"default";q=60;w=60`},
		{keystile.LimitState{Rate: &keystile.Rate{Requests: 5, Window: 100 * time.Millisecond}, Reset: time.Millisecond}, `"default";r=0;t=1`, `"default";q=5;w=1`},
		{keystile.LimitState{Rate: &keystile.Rate{Requests: 5, Window: 1500 * time.Millisecond}, Remaining: -1, Reset: -time.Second}, `"default";r=0;t=0`, `"default";q=5;w=2`},
	} {
		for range 2 { // rendered, then remembered
			h := http.Header{}
			enforce.WriteLimits(h, c.state)
			if h.Get("RateLimit") != c.limit || h.Get("RateLimit-Policy") != c.policy {
				t.Errorf("%+v: %v", c.state, h)
			}
		}
	}
}

func TestRememberedPoliciesAreNeverAnother(t *testing.T) {
	for round := range 2 {
		for n := 1; n <= 1000; n++ {
			h := http.Header{}
			rate := &keystile.Rate{Requests: n, Window: time.Duration(n%7+1) * time.Second}
			enforce.WriteLimits(h, keystile.LimitState{Rate: rate})
			want := `"default";q=` + strconv.Itoa(n) + `;w=` + strconv.Itoa(n%7+1)
			if got := h.Get("RateLimit-Policy"); got != want {
				t.Fatalf("round %d: %q, want %q", round, got, want)
			}
		}
	}
}

type gateFunc func(*keystile.Request) keystile.Decision

func (g gateFunc) Check(_ context.Context, r *keystile.Request) keystile.Decision { return g(r) }

func TestThreat04_APanicIsLoggedAndRefused(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	gate := gateFunc(func(*keystile.Request) keystile.Decision { panic("boom") })
	d := enforce.Ask(t.Context(), gate, &keystile.Request{ID: "id-1"}, logger)
	if d.Allowed || d.Status() != http.StatusServiceUnavailable {
		t.Errorf("%+v", d)
	}
	if !strings.Contains(log.String(), "boom") || !strings.Contains(log.String(), "id-1") {
		t.Errorf("log: %s", &log)
	}
	if d := enforce.Ask(t.Context(), gate, &keystile.Request{}, nil); d.Allowed {
		t.Error("allowed without a logger")
	}
}

func TestWhatCannotBeAskedIsRefusedForItsReason(t *testing.T) {
	for _, c := range []struct {
		err  error
		want keystile.Reason
	}{
		{keystile.Reject(keystile.ReasonRequestInvalid, "x"), keystile.ReasonRequestInvalid},
		{errors.Join(errors.New("x"), keystile.ErrBodyTooLarge), keystile.ReasonBodyTooLarge},
		{errors.New("anything"), keystile.ReasonStoreUnavailable},
	} {
		if d := enforce.Refuse(c.err); d.Allowed || d.Reason != c.want {
			t.Errorf("%v: %+v", c.err, d)
		}
	}
}

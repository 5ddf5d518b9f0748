package decisionapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce/decisionapi"
	"keystile.dev/keystile/internal/enforce/enforcetest"
	"keystile.dev/keystile/internal/problem"
)

func allowAll(*keystile.Request) keystile.Decision {
	return keystile.Decision{Allowed: true, Principal: enforcetest.Principal(), Route: &keystile.Route{}}
}

func post(h http.Handler, body string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/v1/decisions", strings.NewReader(body)))
	return rec
}

const good = `{"method":"GET","url":"https://api.example.com/t?site_id=Sibaya","headers":{"x-api-key":["k"]},"ip":"203.0.113.9"}`

func TestTheAnswerIsTheDecisionWithItsTrueReason(t *testing.T) {
	gate := &enforcetest.Gate{}
	gate.Decide(func(*keystile.Request) keystile.Decision {
		return keystile.Decision{
			Reason: keystile.ReasonRateLimited, Cause: "cause-canary", Public: "slow down", Route: &keystile.Route{},
			Principal: enforcetest.Principal(),
			Limit: keystile.LimitState{
				Rate: &keystile.Rate{Requests: 60, Window: time.Minute}, Per: keystile.PerCredential, Reset: 1500 * time.Millisecond,
			},
		}
	})
	rec := post(newHandler(t, gate), good)
	if rec.Code != http.StatusOK {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	id := gate.Seen()[0].ID
	want := `{"allow":false,"status":429,"code":"rate_limited","detail":"slow down",` +
		`"principal":{"subject":"key:key_sibaya","organization":"sibaya-power","credential":{"kind":"api_key","id":"key_sibaya"},` +
		`"scopes":["telemetry:read","sites:read"],"sites":["Sibaya","odd \"site\""]},` +
		`"limit":{"per":"credential","quota":60,"window_seconds":60,"remaining":0,"reset_seconds":2},"request_id":"` + id + `"}` + "\n"
	if diff := cmp.Diff(want, rec.Body.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestTheResetIsNeverLaterThanTheWindow(t *testing.T) {
	gate := &enforcetest.Gate{}
	gate.Decide(func(*keystile.Request) keystile.Decision {
		return keystile.Decision{Allowed: true, Principal: enforcetest.Principal(), Route: &keystile.Route{}, Limit: keystile.LimitState{
			Rate: &keystile.Rate{Requests: 60, Window: time.Minute}, Per: keystile.PerCredential, Remaining: 59, Reset: time.Minute + 700, // as a counter rounds
		}}
	})
	if body := post(newHandler(t, gate), good).Body.String(); !strings.Contains(body, `"window_seconds":60,"remaining":59,"reset_seconds":60}`) {
		t.Error(body)
	}
}

func TestAnAllowanceHasEveryMember(t *testing.T) {
	gate := &enforcetest.Gate{}
	gate.Decide(func(*keystile.Request) keystile.Decision {
		return keystile.Decision{Allowed: true, Principal: &keystile.Principal{Subject: "key:k"}, Route: &keystile.Route{}}
	})
	rec := post(newHandler(t, gate), good)
	want := `{"allow":true,"status":200,"code":"","principal":{"subject":"key:k","organization":"","credential":{"kind":"","id":""},` +
		`"scopes":[],"sites":[]},"limit":null,"request_id":"` + gate.Seen()[0].ID + `"}` + "\n"
	if diff := cmp.Diff(want, rec.Body.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestABatchIsAnsweredInOrderWithOneDecisionEach(t *testing.T) {
	gate := &enforcetest.Gate{}
	gate.Decide(func(r *keystile.Request) keystile.Decision {
		if r.Path == "/no" {
			return keystile.Decision{Reason: keystile.ReasonNoRoute}
		}
		return allowAll(r)
	})
	rec := post(newHandler(t, gate), `{"requests":[
		{"method":"GET","url":"http://a/yes","ip":"::ffff:203.0.113.9"},
		{"method":"GET","url":"http://a/no","ip":"203.0.113.9"},
		{"method":"GET","url":"http://user@a/yes","ip":"203.0.113.9"},
		{"method":"BAD METHOD","url":"http://a/yes","ip":"203.0.113.9"},
		{"method":"GET","url":"http://a/yes","ip":"nowhere"}]}`)
	var out struct{ Decisions []reply }
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		t.Fatalf("%v: %s", err, rec.Body)
	}
	codes, ids := []string{}, map[string]bool{}
	for _, d := range out.Decisions {
		codes = append(codes, d.Code)
		ids[d.RequestID] = true
	}
	if diff := cmp.Diff([]string{"", "no_route", "request_invalid", "request_invalid", "request_invalid"}, codes); diff != "" {
		t.Error(diff)
	}
	if len(ids) != 5 || len(gate.Seen()) != 2 {
		t.Errorf("%d ids, the gate was asked %d times", len(ids), len(gate.Seen()))
	}
	if got := gate.Seen()[0].ClientAddr.String(); got != "203.0.113.9" {
		t.Errorf("client %s", got)
	}
}

func TestTheBodyIsShownToTheGateOnlyIfItWasSent(t *testing.T) {
	gate := &enforcetest.Gate{}
	gate.Decide(allowAll)
	h := newHandler(t, gate)
	post(h, good)
	if gate.Seen()[0].Body != nil {
		t.Error("a body was shown that was not sent")
	}
	post(h, `{"method":"POST","url":"http://a/","ip":"::1","body":"aGVsbG8="}`)
	read := gate.Seen()[1].Body
	if read == nil {
		t.Fatal("the body was not shown")
	}
	if got, err := read(5); err != nil || string(got) != "hello" {
		t.Errorf("%q %v", got, err)
	}
	if _, err := read(4); !errors.Is(err, keystile.ErrBodyTooLarge) {
		t.Errorf("over the limit: %v", err)
	}
}

func TestInputThatTwoReadersCouldTakeDifferentlyIsRefused(t *testing.T) {
	long := `{"requests":[` + strings.TrimSuffix(strings.Repeat(good+",", decisionapi.MaxBatch+1), ",") + `]}`
	for name, c := range map[string]struct {
		body, field string
		status      int
	}{
		"no JSON":                        {`hello`, "", 400},
		"nothing":                        {``, "", 400},
		"trailing data":                  {good + `{}`, "", 400},
		"a trailing comma":               {`{"method":"GET",}`, "", 400},
		"not UTF-8":                      {"{\"method\":\"\xff\"}", "", 400},
		"a list":                         {`[]`, "", 400},
		"null":                           {`null`, "", 400},
		"an unknown member":              {`{"method":"GET","verb":"GET"}`, "verb", 400},
		"a member in another case":       {`{"Method":"GET"}`, "Method", 400},
		"a repeated member":              {`{"method":"GET","url":"http://a/","url":"http://b/"}`, "url", 400},
		"a repeated member, escaped":     {`{"method":"GET","url":"http://a/","u\u0072l":"http://b/"}`, "url", 400},
		"null for a string":              {`{"method":null}`, "method", 400},
		"a number for a string":          {`{"method":1}`, "method", 400},
		"a lone surrogate":               {`{"method":"GET","url":"http://a/\ud800"}`, "url", 400},
		"no method":                      {`{"url":"http://a/","ip":"::1"}`, "method", 400},
		"no url":                         {`{"method":"GET","ip":"::1"}`, "url", 400},
		"no ip":                          {`{"method":"GET","url":"http://a/"}`, "ip", 400},
		"a relative url":                 {`{"method":"GET","url":"/a","ip":"::1"}`, "url", 400},
		"another scheme":                 {`{"method":"GET","url":"ftp://a/","ip":"::1"}`, "url", 400},
		"a header that is no list":       {`{"headers":{"x":"y"}}`, "headers.x", 400},
		"headers that are no object":     {`{"headers":[]}`, "headers", 400},
		"a header in two spellings":      {`{"headers":{"X-Api-Key":["a"],"x-api-key":["b"]}}`, "headers.x-api-key", 400},
		"a header name with a space":     {`{"headers":{"x ":["a"]}}`, "headers.x ", 400},
		"a header value with a newline":  {`{"headers":{"x":["a\r\nb"]}}`, "headers.x[0]", 400},
		"a body that is not base64":      {`{"body":"!"}`, "body", 400},
		"a body with stray bits":         {`{"body":"aGVsbG9="}`, "body", 400},
		"single and batch":               {`{"method":"GET","requests":[]}`, "requests", 400},
		"an unknown member in a batch":   {`{"requests":[{"a":1}]}`, "requests[0].a", 400},
		"a missing member in a batch":    {`{"requests":[` + good + `,{"method":"GET"}]}`, "requests[1].url", 400},
		"a batch that is too long":       {long, "requests", 400},
		"a batch in a batch":             {`{"requests":[{"requests":[]}]}`, "requests[0].requests", 400},
		"more bytes than are read":       {`{"method":"` + strings.Repeat("A", decisionapi.MaxBytes) + `"}`, "", 413},
		"nesting to exhaust the scanner": {strings.Repeat("[", 100_000), "", 400},
	} {
		t.Run(name, func(t *testing.T) {
			gate := &enforcetest.Gate{}
			gate.Decide(allowAll)
			rec := post(newHandler(t, gate), c.body)
			var p problem.Problem
			if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
				t.Fatalf("%v: %s", err, rec.Body)
			}
			if rec.Code != c.status || p.Code == "" {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
			if c.field != "" && (len(p.Errors) != 1 || p.Errors[0].Field != c.field) {
				t.Errorf("field: %s", rec.Body)
			}
			if len(gate.Seen()) != 0 {
				t.Error("the gate was asked")
			}
		})
	}
}

func TestThreat39_NobodyIsServedWithoutAuthorization(t *testing.T) {
	if _, err := decisionapi.New(decisionapi.Options{Gate: &enforcetest.Gate{}}); err == nil {
		t.Error("a handler without authorization was made")
	}
	if _, err := decisionapi.New(decisionapi.Options{Authorize: anyone}); err == nil {
		t.Error("a handler without a gate was made")
	}
	gate := &enforcetest.Gate{}
	gate.Decide(allowAll)
	h, err := decisionapi.New(decisionapi.Options{Gate: gate, Authorize: func(*http.Request) *problem.Problem {
		return problem.ForStatus(http.StatusUnauthorized)
	}})
	if err != nil {
		t.Fatal(err)
	}
	rec := post(h, good)
	if rec.Code != http.StatusUnauthorized || rec.Header().Get("WWW-Authenticate") == "" || len(gate.Seen()) != 0 {
		t.Errorf("%d %v, the gate was asked %d times", rec.Code, rec.Header(), len(gate.Seen()))
	}
}

func TestOnlyPostIsServed(t *testing.T) {
	rec := httptest.NewRecorder()
	newHandler(t, &enforcetest.Gate{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v1/decisions", http.NoBody))
	if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != http.MethodPost {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
}

// FuzzDecisions: any input gets a JSON answer; the gate is asked only about
// requests whose parts are all there.
func FuzzDecisions(f *testing.F) {
	for _, seed := range []string{
		good, `{"requests":[` + good + `]}`, `{"requests":[]}`, `{"body":"aGVsbG8="}`, `{"headers":{"a":["b","c"],"A":[]}}`,
		`{"method":"GET","url":"HTTPS://h?q","ip":"fe80::1%1"}`, `{"url":"http://[::1]:80/%2f"}`, `[[[[`, `{"a":{"b":`, "\xff", `null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		gate := &enforcetest.Gate{}
		gate.Decide(allowAll)
		rec := post(newHandler(t, gate), string(body))
		if rec.Code != http.StatusOK && rec.Code/100 != 4 {
			t.Fatalf("status %d", rec.Code)
		}
		if !json.Valid(bytes.TrimSpace(rec.Body.Bytes())) {
			t.Fatalf("the answer is not JSON: %s", rec.Body)
		}
		for _, r := range gate.Seen() {
			if r.Method == "" || r.Host == "" || r.Path == "" || r.Path[0] != '/' || !r.ClientAddr.IsValid() {
				t.Fatalf("the gate was asked about %+v", r)
			}
		}
	})
}

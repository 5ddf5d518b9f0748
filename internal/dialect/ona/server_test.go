package ona_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect/dialecttest"
	"keystile.dev/keystile/internal/dialect/ona"
	"keystile.dev/keystile/internal/login"
)

// transports send one call each in their own way and return status, Retry-After and body.
var transports = map[string]func(h *ona.Server, from, method, path, bearer, body string) (int, string, string){
	"https": func(h *ona.Server, from, method, path, bearer, body string) (int, string, string) {
		r := request(from, method, path, body)
		if bearer != "" {
			r.Header.Set("Authorization", "Bearer "+bearer)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Header().Get("Retry-After"), w.Body.String()
	},
	"lambda": func(h *ona.Server, from, method, path, bearer, body string) (int, string, string) {
		event := map[string]any{"httpMethod": method, "path": path, "body": body}
		if bearer != "" {
			event["headers"] = map[string]string{"Authorization": "Bearer " + bearer}
		}
		text, err := json.Marshal(event)
		if err != nil {
			panic(err)
		}
		e := invoke(h, from, string(text))
		return e.StatusCode, e.Headers["Retry-After"], e.Body
	},
}

func request(from, method, path, body string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(body))
	r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(from), 40000).String()
	return r
}

// envelope is a Lambda function's answer; a body that is not a text does not decode.
type envelope struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
}

func invoke(h *ona.Server, from, event string) envelope {
	r := request(from, http.MethodPost, ona.InvokePath+"ona-user-auth-prod/invocations", event)
	w := httptest.NewRecorder()
	h.Lambda().ServeHTTP(w, r)
	var e envelope
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != http.StatusOK {
		return envelope{Body: fmt.Sprintf("no envelope: %d %s %v", w.Code, w.Body, err)}
	}
	return e
}

func open(t *testing.T) (*dialecttest.World, *ona.Server) {
	t.Helper()
	w := dialecttest.NewWorld()
	h, err := w.Ona()
	if err != nil {
		t.Fatal(err)
	}
	return w, h
}

func TestTheSDKsEventsAreUnderstood(t *testing.T) {
	raw, err := os.ReadFile("testdata/ona_lambda_events.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct{ Events []json.RawMessage }
	if err := json.Unmarshal(raw, &vectors); err != nil || len(vectors.Events) != 6 {
		t.Fatalf("%d events: %v", len(vectors.Events), err)
	}
	want := []string{
		"Invalid credentials", "MFA token expired", "Unauthorized", "API key not found", "API key not found", "Invalid external token",
	}
	for i, event := range vectors.Events {
		_, h := open(t)
		e := invoke(h, "192.0.2.1", string(event))
		// The password, token and keys of the vectors are nobody's: each is refused for what it is, and none as unreadable.
		if e.StatusCode != http.StatusUnauthorized || e.Body != `{"error":"`+want[i]+`"}` {
			t.Errorf("%s: %+v", event, e)
		}
	}
}

func TestBothTransportsGiveTheSameAnswers(t *testing.T) {
	for _, c := range []struct{ method, path, bearer, body string }{
		{"POST", "/api/auth/login", "", `{"username":"user@example.com","password":"correct horse"}`},
		{"POST", "/api/auth/login", "", `{"username":"user@example.com","password":"x"}`},
		{"POST", "/api/auth/login", "", `{"username":"early@example.com","password":"x"}`},
		{"POST", "/api/auth/login", "", `{"username":"queue@example.com","password":"x"}`},
		{"POST", "/api/auth/login", "", `{"username":1,"password":"x"}`},
		{"POST", "/api/auth/login", "", `{`},
		{"POST", "/api/auth/verify-mfa", "", `{"mfa_token":"ona-challenge","totp_code":"123456"}`},
		{"POST", "/api/auth/refresh", "a.b.c", ``},
		{"POST", "/api/auth/refresh", dialecttest.Expired, ``},
		{"POST", "/api/auth/exchange", "", `{"external_token":"foreign","provider":"external-sso"}`},
		{"POST", "/api/auth/api-key-info", "", `{"api_key":"` + dialecttest.Key + `"}`},
		{"POST", "/api/auth/validate-api-key", "", `{"api_key":"` + dialecttest.Key + `","site_id":"x"}`},
		{"GET", "/api/auth/login", "", ``},
		{"POST", "/api/auth/signup", "", `{}`},
		{"POST", "/v1/keys", "", `{}`},
	} {
		answers := map[string]bool{}
		for _, send := range transports {
			_, h := open(t)
			status, retry, body := send(h, "192.0.2.1", c.method, c.path, c.bearer, c.body)
			answers[fmt.Sprint(status, retry, body)] = true
		}
		if len(answers) != 1 {
			t.Errorf("%s %s %s: %v", c.method, c.path, c.body, answers)
		}
	}
}

func TestThreat16_AnEventDoesNotSayWhoAsks(t *testing.T) {
	w, h := open(t)
	event := `{"httpMethod":"POST","path":"/api/auth/login","body":"{\"username\":\"x\",\"password\":\"x\"}",` +
		`"headers":{"X-Forwarded-For":"10.0.0.1","User-Agent":"forged"},"requestContext":{"identity":{"sourceIp":"10.0.0.1"}}}`
	invoke(h, "192.0.2.9", event)
	want := login.Caller{Addr: netip.MustParseAddr("192.0.2.9"), Door: keystile.DoorOna, RequestID: "request-1"}
	if len(w.Callers) != 1 || w.Callers[0] != want {
		t.Errorf("the login service was asked by %+v", w.Callers)
	}
}

func TestThreat38_QuestionsAboutKeysAreCountedForEachAddressOverBothTransports(t *testing.T) {
	const info, validate = "/api/auth/api-key-info", "/api/auth/validate-api-key"
	_, h := open(t)
	ask := func(transport, from, path, key string) int {
		status, retry, _ := transports[transport](h, from, "POST", path, "", `{"site_id":"Sibaya","api_key":"`+key+`"}`)
		if (status == http.StatusTooManyRequests) != (retry != "") {
			t.Errorf("%d with Retry-After %q", status, retry)
		}
		return status
	}
	for i := range 60 {
		transport, path := "https", info
		if i%2 == 0 {
			transport, path = "lambda", validate
		}
		if got := ask(transport, "192.0.2.1", path, "guess-"+strconv.Itoa(i)); got != http.StatusUnauthorized {
			t.Fatalf("guess %d: %d", i, got)
		}
	}
	for transport := range transports {
		for _, path := range []string{info, validate} {
			if got := ask(transport, "192.0.2.1", path, "one more"); got != http.StatusTooManyRequests {
				t.Errorf("%s %s: guess 61 is %d", transport, path, got)
			}
			// A good key is never kept from being asked about by somebody who guesses.
			if got := ask(transport, "192.0.2.1", path, dialecttest.Key); got != http.StatusOK {
				t.Errorf("%s %s: a good key is %d", transport, path, got)
			}
			if got := ask(transport, "192.0.2.2", path, "guess"); got != http.StatusUnauthorized {
				t.Errorf("%s %s: another address is %d", transport, path, got)
			}
		}
	}
	// A subscriber has a /64 of IPv6 addresses.
	for i := range 61 {
		from := fmt.Sprintf("2001:db8::%x", i+1)
		if got := ask("https", from, info, "guess"); (got == http.StatusTooManyRequests) != (i == 60) {
			t.Fatalf("%s: %d", from, got)
		}
	}
	if got := ask("https", "2001:db8:0:1::1", info, "guess"); got != http.StatusUnauthorized {
		t.Errorf("another network: %d", got)
	}
}

func TestThreat38_QuestionsAboutGoodKeysAreCountedToo(t *testing.T) {
	_, h := open(t)
	for i := range 601 {
		status, _, _ := transports["https"](h, "192.0.2.1", "POST", "/api/auth/api-key-info", "", `{"api_key":"`+dialecttest.Key+`"}`)
		if (status == http.StatusTooManyRequests) != (i == 600) {
			t.Fatalf("question %d: %d", i+1, status)
		}
	}
}

func TestThreat04_WhereNobodyCanTellTheAnswerIs503(t *testing.T) {
	w, h := open(t)
	w.Broken = true
	for path, body := range map[string]string{
		"/api/auth/refresh": "", "/api/auth/logout": "", "/api/auth/api-key-info": `{"api_key":"x"}`,
		"/api/auth/validate-api-key": `{"api_key":"x","site_id":"y"}`, "/api/auth/exchange": `{"external_token":"down"}`,
	} {
		for name, send := range transports {
			status, _, answer := send(h, "192.0.2.1", "POST", path, "jwt.ses_1.1", body)
			if status != http.StatusServiceUnavailable || answer != `{"error":"Service unavailable"}` {
				t.Errorf("%s %s: %d %s", name, path, status, answer)
			}
		}
	}
}

// half is a login service whose sign-ins all wait for a code.
type half struct{ *dialecttest.World }

func (half) Password(context.Context, login.Caller, string, keystile.Secret) (login.Outcome, error) {
	return login.Outcome{Challenge: &login.Challenge{Token: "waits"}}, nil
}

func (half) Exchange(context.Context, login.Caller, string, keystile.Secret) (login.Outcome, error) {
	return login.Outcome{Challenge: &login.Challenge{Token: "waits"}}, nil
}

func TestThreat24_NoEndpointGivesATokenWhileACodeIsAwaited(t *testing.T) {
	w := dialecttest.NewWorld()
	o := w.OnaOptions()
	o.SignIn, o.Exchange = half{w}, half{w}.Exchange
	h, err := ona.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for path, body := range map[string]string{
		"/api/auth/login":    `{"username":"x","password":"x"}`,
		"/api/auth/exchange": `{"external_token":"x"}`,
		// The token of a challenge is none of a session.
		"/api/auth/refresh": ``, "/api/auth/logout": ``,
	} {
		for name, send := range transports {
			status, _, answer := send(h, "192.0.2.1", "POST", path, "waits", body)
			waits := status == http.StatusOK && answer == `{"mfa_required":true,"mfa_token":"waits"}`
			if refused := status == http.StatusUnauthorized; waits == refused || waits != (body != "") {
				t.Errorf("%s %s: %d %s", name, path, status, answer)
			}
		}
	}
	if w.Sessions() != 0 {
		t.Errorf("%d sessions", w.Sessions())
	}
}

func TestASignInThatCannotBeAnsweredIsRefused(t *testing.T) {
	w := dialecttest.NewWorld()
	for name, change := range map[string]func(*ona.Options){
		"no token": func(o *ona.Options) {
			o.Mint = func(context.Context, keystile.Session, keystile.User) (keystile.Secret, time.Time, error) {
				return "", time.Time{}, keystile.ErrUnavailable
			}
		},
		"no role": func(o *ona.Options) {
			o.Role = func(context.Context, string) (keystile.Role, error) {
				return keystile.Role{}, errors.New("store: " + dialecttest.Password)
			}
		},
	} {
		o := w.OnaOptions()
		change(&o)
		h, err := ona.New(o)
		if err != nil {
			t.Fatal(err)
		}
		for path, body := range map[string]string{
			"/api/auth/login":      `{"username":"user@example.com","password":"correct horse"}`,
			"/api/auth/verify-mfa": `{"mfa_token":"ona-challenge","totp_code":"123456"}`,
		} {
			status, _, answer := transports["https"](h, "192.0.2.1", "POST", path, "", body)
			if status != http.StatusServiceUnavailable || answer != `{"error":"Service unavailable"}` {
				t.Errorf("%s, %s: %d %s", name, path, status, answer)
			}
		}
	}
}

package nao_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect/dialecttest"
	"keystile.dev/keystile/internal/dialect/nao"
	"keystile.dev/keystile/internal/login"
)

func open(t *testing.T, w *dialecttest.World, change func(*nao.Options)) *nao.Server {
	t.Helper()
	o := w.NAOOptions()
	if change != nil {
		change(&o)
	}
	h, err := nao.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func send(t *testing.T, h http.Handler, method, path, authorization, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const byPassword = `{"session":{"email":"user@example.com","password":"correct horse"}}`

func TestThePersonalKeyIsShownAfterAPasswordAloneAndWhereItMayBe(t *testing.T) {
	w := dialecttest.NewWorld()
	for name, c := range map[string]struct {
		change        func(*nao.Options)
		authorization string
		body          string
		shown         bool
	}{
		"by password":                {nil, "", byPassword, true},
		"by code after a password":   {nil, "", `{"session":{"mfa_token":"nao-challenge","otp":"123456"}}`, true},
		"by API key":                 {nil, dialecttest.UserKey, "", false},
		"by password, switched off":  {func(o *nao.Options) { o.AuthToken = nil }, "", byPassword, false},
		"by API key, then by a code": {func(o *nao.Options) { o.SignIn = keyThenCode{w} }, "", `{"session":{"mfa_token":"m","otp":"1"}}`, false},
	} {
		answer := send(t, open(t, w, c.change), "POST", nao.SessionsPath, c.authorization, c.body)
		if answer.Code != http.StatusCreated || strings.Contains(answer.Body.String(), `"auth_token"`) != c.shown {
			t.Errorf("%s: %d %s", name, answer.Code, answer.Body)
		}
	}
}

// keyThenCode is a login service whose challenges were opened with an API key.
type keyThenCode struct{ *dialecttest.World }

func (keyThenCode) Code(ctx context.Context, _ login.Caller, _ keystile.Secret, _ string, mint login.Mint) ([]byte, error) {
	return mint(ctx, keystile.Session{ID: "ses_1", Door: keystile.DoorNAO, Methods: []keystile.AuthMethod{keystile.MethodAPIKey, keystile.MethodTOTP}}, dialecttest.User("user"))
}

func (keyThenCode) APIKey(context.Context, login.Caller, *keystile.Principal) (login.Outcome, error) {
	return login.Outcome{Challenge: &login.Challenge{Token: "m"}}, nil
}

func (keyThenCode) Password(context.Context, login.Caller, string, keystile.Secret) (login.Outcome, error) {
	return login.Outcome{Challenge: &login.Challenge{Token: "m"}}, nil
}

func TestThreat24_NoWayToASessionSkipsTheCode(t *testing.T) {
	w := dialecttest.NewWorld()
	h := open(t, w, func(o *nao.Options) { o.SignIn = keyThenCode{w} })
	for authorization, body := range map[string]string{dialecttest.UserKey: "", "": byPassword} {
		answer := send(t, h, "POST", nao.SessionsPath, authorization, body)
		text := answer.Body.String()
		if answer.Code != http.StatusUnauthorized || !strings.Contains(text, `"mfa_required"`) || strings.Contains(text, "jwt") {
			t.Errorf("%q: %d %s", authorization, answer.Code, text)
		}
	}
}

func TestThreat04_WhereNobodyCanTellTheAnswerIs503(t *testing.T) {
	w := dialecttest.NewWorld()
	w.Broken = true
	h := open(t, w, nil)
	for _, c := range []struct{ method, path, authorization string }{
		{"POST", nao.SessionsPath, "a-key"},
		{"DELETE", nao.SessionsPath, "jwt.ses_1.1"},
		{"GET", nao.MePath, "jwt.ses_1.1"},
		{"GET", nao.MePath, "a-key"},
	} {
		if answer := send(t, h, c.method, c.path, c.authorization, ""); answer.Code != http.StatusServiceUnavailable {
			t.Errorf("%s %s: %d %s", c.method, c.path, answer.Code, answer.Body)
		}
	}
}

func TestWithoutConfiguredOriginsNoPageMayCall(t *testing.T) {
	h := open(t, dialecttest.NewWorld(), func(o *nao.Options) { o.Origins = nil })
	for _, method := range []string{"OPTIONS", "GET", "POST", "DELETE"} {
		r := httptest.NewRequestWithContext(t.Context(), method, nao.SessionsPath, http.NoBody)
		r.Header.Set("Origin", "https://app.example.com")
		r.Header.Set("Access-Control-Request-Method", "POST")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") || name == "Vary" {
				t.Errorf("%s: %s", method, name)
			}
		}
		if w.Code < 400 {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

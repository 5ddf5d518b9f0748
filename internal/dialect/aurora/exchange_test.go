package aurora

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const exchangeURL = "/partner_applications/5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c/tenants/0b9d1a52-5a8a-4b8e-9a55-111111111111/create_token"

// ask sends one exchange and returns the answer and what the exchanger was told; nil: it was not asked.
func ask(t *testing.T, query, contentType, body string, authorization ...string) (*httptest.ResponseRecorder, *Exchange) {
	t.Helper()
	var got *Exchange
	h := CreateToken{Logger: slog.New(slog.DiscardHandler), Exchange: func(_ context.Context, e Exchange) (Token, error) {
		got = &e
		return Token{Secret: "tk_test_000000000000000000000000", ExpiresAt: time.Date(2023, 7, 29, 4, 30, 46, 0, time.UTC)}, nil
	}}
	r := httptest.NewRequest(http.MethodPost, exchangeURL+query, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for _, a := range authorization {
		r.Header.Add("Authorization", a)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w, got
}

func TestAnExchangeIsAnsweredAsThePlatformDoes(t *testing.T) {
	w, got := ask(t, "?session_token=st_test_x", "", "", "Bearer ak_test_x")
	if w.Code != http.StatusOK || w.Body.String() != `{"token":{"bearer_token":"tk_test_000000000000000000000000","expires_at":"2023-07-29 04:30:46 UTC"}}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got.ApplicationKey.Reveal() != "ak_test_x" || got.SessionToken == nil || got.SessionToken.Reveal() != "st_test_x" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%+v", got)
	}
}

func TestASessionTokenInTheBodyIsNone(t *testing.T) {
	for contentType, body := range map[string]string{
		"application/x-www-form-urlencoded": "session_token=st_test_x",
		"application/json":                  `{"session_token":"st_test_x"}`,
		"multipart/form-data; boundary=b":   "--b\r\nContent-Disposition: form-data; name=\"session_token\"\r\n\r\nst_test_x\r\n--b--\r\n",
	} {
		if _, got := ask(t, "", contentType, body, "Bearer ak_test_x"); got == nil || got.SessionToken != nil {
			t.Errorf("%s: %+v", contentType, got)
		}
	}
}

func TestAnExchangeThatCanBeReadTwoWaysIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		query         string
		authorization []string
		want          int
	}{
		"the session token twice":          {"?session_token=a&session_token=b", []string{"Bearer ak_test_x"}, 400},
		"the session token twice the same": {"?session_token=a&session_token=a", []string{"Bearer ak_test_x"}, 400},
		"once escaped":                     {"?session_token=a&session%5ftoken=b", []string{"Bearer ak_test_x"}, 400},
		"a semicolon":                      {"?session_token=a;session_token=b", []string{"Bearer ak_test_x"}, 400},
		"a query of 5 KB":                  {"?session_token=" + strings.Repeat("a", 5<<10), []string{"Bearer ak_test_x"}, 400},
		"two application keys":             {"", []string{"Bearer ak_test_x", "Bearer ak_test_y"}, 401},
		"two in one field":                 {"", []string{"Bearer ak_test_x, Bearer ak_test_y"}, 401},
		"another scheme":                   {"", []string{"Basic ak_test_x"}, 401},
		"no application key":               {"", nil, 401},
	} {
		if w, got := ask(t, c.query, "", "", c.authorization...); w.Code != c.want || got != nil {
			t.Errorf("%s: %d, asked with %+v", name, w.Code, got)
		}
	}
}

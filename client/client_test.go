package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"keystile.dev/keystile/client"
)

func newClient(t *testing.T, handler http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL+"/", "kadm_token")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAServerAddressWithoutASenseOrWithCredentialsIsRefused(t *testing.T) {
	for _, url := range []string{"", "auth.example.com", "ftp://x", "https://", "https://user:pw@x", "https://x?token=1", "https://x#f", "https://%zz"} {
		if _, err := client.New(url, "t"); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("New(%q): %v", url, err)
		}
	}
	for _, token := range []string{"", "two words", "line\nbreak", "ü"} {
		if _, err := client.New("https://x", token); err == nil || (token != "" && strings.Contains(err.Error(), token)) {
			t.Errorf("token %q: %v", token, err)
		}
	}
}

func TestAnErrorTellsStatusCodeAndFields(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(422)
		if _, err := w.Write([]byte(`{"status":200,"code":"invalid","title":"T","errors":[{"field":"limit","problem":"not a limit","remedy":"write 60/1m"}],"request_id":"r1"}`)); err != nil {
			t.Error(err)
		}
	})
	_, err := c.CreateKey(context.Background(), client.KeyCreate{})
	var e *client.Error
	if !errors.As(err, &e) {
		t.Fatalf("error = %v", err)
	}
	if e.Status != 422 || e.Code != "invalid" || e.RequestID != "r1" || e.RetryAfter != 3*time.Second || e.Fields[0].Field != "limit" {
		t.Errorf("error = %+v", e)
	}
	if got := err.Error(); got != "the server answered 422 invalid\nlimit: not a limit; write 60/1m" {
		t.Errorf("text = %q", got)
	}
	if client.IsNotFound(err) || client.IsConflict(err) {
		t.Error("taken for something else")
	}
}

func TestThePageOfAProxyIsNotTakenForAProblem(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(404)
		if _, err := w.Write([]byte(`{"code":"not_found"}`)); err != nil {
			t.Error(err)
		}
	})
	_, err := c.Key(context.Background(), "a")
	var e *client.Error
	if !errors.As(err, &e) || e.Code != "" || e.Status != 404 {
		t.Errorf("error = %v", err)
	}
}

func TestTheTokenDoesNotFollowARedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the redirect was followed with %v", r.Header)
	}))
	t.Cleanup(elsewhere.Close)
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	if _, err := c.Keys(context.Background(), client.ListOptions{}); err == nil {
		t.Error("a redirect counts as an answer")
	}
}

func TestAnIDCannotChangeThePath(t *testing.T) {
	var paths []string
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.EscapedPath())
		w.WriteHeader(204)
	})
	ctx := context.Background()
	for _, id := range []string{"", ".", ".."} {
		if err := c.DeleteKey(ctx, id); err == nil {
			t.Errorf("DeleteKey(%q) was sent", id)
		}
	}
	for _, id := range []string{"../organizations/acme", "a?b", "a#b", "a%2fb"} {
		if err := c.DeleteKey(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(paths, " "); got != "/v1/keys/..%2Forganizations%2Facme /v1/keys/a%3Fb /v1/keys/a%23b /v1/keys/a%252fb" {
		t.Errorf("paths = %s", got)
	}
}

func TestAnAnswerThatIsNotJSONIsAnError(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write([]byte("<html>")); err != nil {
			t.Error(err)
		}
	})
	if _, err := c.Key(context.Background(), "a"); err == nil {
		t.Error("no error")
	}
}

func TestAKeyUpdateSaysNullForWhatItClears(t *testing.T) {
	empty, never := "", time.Time{}
	got, err := client.KeyUpdate{Limit: &empty, ExpiresAt: &never}.MarshalJSON()
	if err != nil || string(got) != `{"expires_at":null,"limit":null}` {
		t.Errorf("patch = %s, %v", got, err)
	}
	name := "x"
	if got, err := (client.KeyUpdate{Name: &name}).MarshalJSON(); err != nil || string(got) != `{"name":"x"}` {
		t.Errorf("patch = %s, %v", got, err)
	}
}

func TestAFailureWithoutItsCauseSaysWhereTheCauseIs(t *testing.T) {
	for status, told := range map[int]bool{404: false, 409: true, 503: true} {
		e := &client.Error{Status: status, Code: "c", RequestID: "r1"}
		if got := e.Error(); strings.HasSuffix(got, "the cause is in the server's log, at request r1") != told {
			t.Errorf("text = %q", got)
		}
		e.Detail = "the cause itself"
		if got := e.Error(); !strings.HasSuffix(got, ": the cause itself") {
			t.Errorf("text = %q", got)
		}
	}
}

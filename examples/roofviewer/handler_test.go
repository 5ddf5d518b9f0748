package roofviewer

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	applicationID = "6d1f2a3b-0d0a-4c36-9a3c-2f4f5e6a7b8c"
	tenantID      = "0b9d1a52-5a8a-4b8e-9a55-7d3c2e1f0a01"
	key           = "ak_test_canary"
)

// platform answers one exchange of one session token, and designs for its key.
func platform(t *testing.T) string {
	t.Helper()
	var once sync.Once
	mux := http.NewServeMux()
	mux.HandleFunc("POST /partner_applications/"+applicationID+"/tenants/"+tenantID+"/create_token", func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusUnauthorized
		if r.Header.Get("Authorization") == "Bearer "+key && r.URL.Query().Get("session_token") == "st_test_canary" {
			once.Do(func() { status = http.StatusOK })
		}
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(map[string]any{"token": map[string]string{"bearer_token": "tk_test_canary"}}); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("GET /tenants/"+tenantID+"/designs", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer tk_test_canary" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if _, err := io.WriteString(w, `{"designs":[{"name":"Hillside <b>12</b>","panels":24,"system_size_kw":9.6}]}`); err != nil {
			t.Error(err)
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

type browser struct {
	t      *testing.T
	client *http.Client
	url    string
}

func open(t *testing.T, now func() time.Time) *browser {
	t.Helper()
	s := httptest.NewServer(Handler(Options{Platform: platform(t), ApplicationID: applicationID, Key: key, Now: now}))
	t.Cleanup(s.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, &http.Client{Jar: jar}, s.URL}
}

func (b *browser) get(path string) (status int, at, body string) {
	b.t.Helper()
	res, err := b.client.Get(b.url + path) //nolint:noctx // a test
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res.StatusCode, res.Request.URL.RequestURI(), string(text)
}

const launch = "/embed?aurora_session_token=st_test_canary&aurora_tenant_id=" + tenantID + "&application_id=" + applicationID

func TestALaunchShowsTheTenantsDesignsAndLeavesTheTokenBehind(t *testing.T) {
	now := time.Now()
	b := open(t, func() time.Time { return now })
	status, at, body := b.get(launch)
	if status != http.StatusOK || at != "/" || !strings.Contains(body, "Hillside &lt;b&gt;12&lt;/b&gt;") || strings.Contains(body, "canary") {
		t.Fatalf("%d at %s: %s", status, at, body)
	}
	if status, _, _ := b.get("/"); status != http.StatusOK {
		t.Errorf("a reload: %d", status)
	}
	if status, _, body := b.get(launch); status != http.StatusForbidden || !strings.Contains(body, "once more") {
		t.Errorf("the same link again: %d", status)
	}
	now = now.Add(2 * time.Hour)
	if status, _, _ := b.get("/"); status != http.StatusForbidden {
		t.Errorf("two hours later: %d", status)
	}
}

func TestWhatIsNoLaunchIsToldToOpenItFromTheAccount(t *testing.T) {
	b := open(t, time.Now)
	for _, path := range []string{
		"/", "/embed", strings.Replace(launch, applicationID, tenantID, 1), strings.Replace(launch, tenantID, "../../x", 1), strings.Replace(launch, "st_test_canary", "", 1),
	} {
		if status, _, body := b.get(path); status < 400 || !strings.Contains(body, "from your account") {
			t.Errorf("%s: %d", path, status)
		}
	}
}

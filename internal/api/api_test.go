package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/api"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/login/password"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

var operator = manage.Actor{Name: "cli"}

// server is a management API on a fresh SQLite store.
type server struct {
	t       testing.TB
	handler *api.API
	service *manage.Service
	state   *fakeState
	log     *lockedBuffer
	// admin is a global token with every scope.
	admin string
	mu    sync.Mutex
	now   time.Time
	// failures counts bad credentials by address; wait is what they are told.
	failures map[netip.Addr]int
	wait     time.Duration
	requests int
	// leaks are what was reported; room is how many more are taken.
	leaks []manage.LeakReport
	room  int
}

// Take implements api.Leaks.
func (s *server) Take(reports []manage.LeakReport, _ netip.Addr, _ string) int {
	n := min(len(reports), s.room)
	s.leaks, s.room = append(s.leaks, reports[:n]...), s.room-n
	return n
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// fakeState remembers what it was asked.
type fakeState struct {
	file    []byte
	options api.StateOptions
	actor   manage.Actor
	err     error
}

func (s *fakeState) Apply(_ context.Context, a manage.Actor, file []byte, o api.StateOptions) (api.StateResult, error) {
	s.actor, s.file, s.options = a, bytes.Clone(file), o
	return api.StateResult{DryRun: o.DryRun}, s.err
}

func (s *fakeState) Export(context.Context) ([]byte, error) {
	return []byte("organizations: []\n"), s.err
}

// oneHasher is shared: making one hashes a password.
var oneHasher = sync.OnceValues(func() (*password.Hasher, error) { return password.New(password.Options{Random: rand.Reader}) })

func hasher(t testing.TB) *password.Hasher {
	t.Helper()
	h, err := oneHasher()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func newServer(t testing.TB) *server {
	t.Helper()
	ctx := context.Background()
	s := &server{
		t: t, log: &lockedBuffer{}, state: &fakeState{}, failures: map[netip.Addr]int{}, room: 1000,
		now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
	st, err := store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "keystile.db"), Now: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := st.Migrate(ctx, nil); err != nil {
		t.Fatal(err)
	}
	s.service = &manage.Service{Store: st, Digester: newDigester(t), Sealer: newSealer(t), Passwords: hasher(t), Random: rand.Reader, Now: s.clock}
	s.handler, err = api.New(s.options())
	if err != nil {
		t.Fatal(err)
	}
	s.admin = s.token(manage.NewAdminToken{ID: "adm_root"})
	return s
}

func (s *server) options() api.Options {
	return api.Options{
		Service: s.service, Routes: exampleRoutes, State: s.state, APIKeys: s.kind(), Leaks: s,
		CursorKey: bytes.Repeat([]byte{7}, 32), Version: "test",
		ClientAddr: func(r *http.Request) (netip.Addr, error) {
			ap, err := netip.ParseAddrPort(r.RemoteAddr)
			return ap.Addr(), err
		},
		RequestID: func(*http.Request) string {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.requests++
			return "req-" + strconv.Itoa(s.requests)
		},
		FailedToken: func(addr netip.Addr) time.Duration {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.failures[addr]++
			return s.wait
		},
		Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

func exampleRoutes() []keystile.Route {
	rate := keystile.Rate{Requests: 60, Window: time.Minute, Algorithm: keystile.AlgorithmWindow}
	return []keystile.Route{
		{
			ID: "GET /a", Source: "keystile.yaml:1", Match: keystile.RouteMatch{Path: "/a", Methods: []string{"GET"}}, Accept: []keystile.KindName{keystile.KindAPIKey},
			Resource: &keystile.RouteResource{Type: "site", From: "query.site_id"}, Limits: []keystile.RouteLimit{{Rate: rate, Per: keystile.PerCredential}},
		},
		{ID: "GET /b", Match: keystile.RouteMatch{Path: "/b"}},
		{ID: "GET /c", Match: keystile.RouteMatch{Path: "/c"}},
	}
}

func (s *server) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *server) move(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// kind is the real kind of API keys, reading the server's store.
func (s *server) kind() keystile.Kind {
	kind, err := apikey.New(apikey.Options{
		Digester: s.service.Digester, Now: s.clock, Fresh: func(time.Time) bool { return true },
		Find: func(ctx context.Context, digests [][32]byte) (apikey.Record, error) {
			found, err := s.service.Store.FindAPIKeySecret(ctx, digests)
			return apikey.Record{Key: found.Key, Secret: found.Secret, Organization: found.Organization}, err
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(kind.Close)
	s.service.Store.OnCommit(func(changes []keystile.Change) {
		for _, change := range changes {
			kind.Apply(change)
		}
	})
	return kind
}

func newSealer(t testing.TB) *keyring.Sealer {
	t.Helper()
	raw := make([]byte, keyring.MasterKeyLength)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	master, err := keyring.NewMaster(raw)
	if err != nil {
		t.Fatal(err)
	}
	sealer, _, err := keyring.NewSealer(master)
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

func newDigester(t testing.TB) *keyring.Digester {
	t.Helper()
	pepper, _, err := keyring.NewPepper(rand.Reader, newSealer(t))
	if err != nil {
		t.Fatal(err)
	}
	digester, err := keyring.NewDigester(pepper)
	if err != nil {
		t.Fatal(err)
	}
	return digester
}

func (s *server) token(in manage.NewAdminToken) string {
	s.t.Helper()
	_, secret, err := s.service.CreateAdminToken(context.Background(), operator, in)
	if err != nil {
		s.t.Fatal(err)
	}
	return secret.Reveal()
}

// organization makes an organisation with a site and a key, whose secret it returns.
func (s *server) organization(id, site, key string) (secret string) {
	s.t.Helper()
	ctx := context.Background()
	if _, err := s.service.CreateOrganization(ctx, operator, keystile.Organization{ID: id}); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.service.CreateSite(ctx, operator, keystile.Site{ID: site, OrganizationID: id}); err != nil {
		s.t.Fatal(err)
	}
	_, made, err := s.service.CreateKey(ctx, operator, manage.NewKey{ID: key, OrganizationID: id, PermittedSiteIDs: []string{site}})
	if err != nil {
		s.t.Fatal(err)
	}
	return made.Reveal()
}

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

// request is one request of a conversation; headers come in pairs.
func (s *server) request(method, target, token, body string, headers ...string) answer {
	s.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, reader)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return answer{t: s.t, status: w.Code, header: w.Header(), body: w.Body.String()}
}

// as is a request with the global token that must have a status.
func (s *server) as(want int, method, target, body string, headers ...string) answer {
	s.t.Helper()
	return s.request(method, target, s.admin, body, headers...).want(want)
}

func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status = %d, want %d; body: %s", a.status, status, a.body)
	}
	if status >= 400 {
		if got := a.header.Get("Content-Type"); got != "application/problem+json" {
			a.t.Errorf("Content-Type of an error = %q", got)
		}
		if a.text("code") == "" || a.text("request_id") == "" {
			a.t.Errorf("an error without code or request id: %s", a.body)
		}
	}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("X-Content-Type-Options") != "nosniff" {
		a.t.Errorf("headers = %v", a.header)
	}
	return a
}

func (a answer) json() map[string]any {
	a.t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		a.t.Fatalf("not JSON: %v: %s", err, a.body)
	}
	return out
}

// items are the entries of a list, each of which must be an object.
func (a answer) items() []map[string]any {
	a.t.Helper()
	list, ok := a.json()["items"].([]any)
	if !ok {
		a.t.Fatalf("not a list: %s", a.body)
	}
	out := make([]map[string]any, len(list))
	for i, entry := range list {
		if out[i], ok = entry.(map[string]any); !ok {
			a.t.Fatalf("entry %d is not an object: %s", i, a.body)
		}
	}
	return out
}

// textOf is a member of an object that must be a string.
func textOf(t *testing.T, object map[string]any, member string) string {
	t.Helper()
	text, ok := object[member].(string)
	if !ok {
		t.Fatalf("%s is not a string: %v", member, object)
	}
	return text
}

// text is a member as text; nested members are joined with dots.
func (a answer) text(path string) string {
	a.t.Helper()
	var value any = a.json()
	for name := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(v) {
				return ""
			}
			value = v[i]
		}
	}
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

// fields are the members that a problem finds fault with.
func (a answer) fields() string {
	a.t.Helper()
	var p struct {
		Errors []struct {
			Field string `json:"field"`
		} `json:"errors"`
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		a.t.Fatal(err)
	}
	var names []string
	for _, e := range p.Errors {
		names = append(names, e.Field)
	}
	return strings.Join(names, " ")
}

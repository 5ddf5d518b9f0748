package onetime_test

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
	"keystile.dev/keystile/internal/credential/onetime"
	"keystile.dev/keystile/sdk/go/sign"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// t0 is when the vectors were signed.
var t0 = time.Unix(1_700_000_000, 0)

// ledger remembers every nonce for ever.
type ledger struct {
	mu    sync.Mutex
	spent map[string]time.Time
	err   error
}

// nonceID tells nonces apart as package replay does: within a space, by scope and value joined.
func nonceID(n onetime.Nonce) string {
	if n.Space != "" {
		return n.Space + "\x00\x00" + n.Scope + n.Value
	}
	return n.Scope + "\x00" + n.Value
}

func (l *ledger) Claim(_ context.Context, n onetime.Nonce) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.spent[nonceID(n)]; ok {
		return fmt.Errorf("spent: %w", keystile.ErrReplayed)
	}
	if l.err == nil {
		l.spent[nonceID(n)] = n.LastValid
	}
	return l.err
}

func (l *ledger) Spent(_ context.Context, n onetime.Nonce) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.spent[nonceID(n)]; ok {
		return fmt.Errorf("spent: %w", keystile.ErrReplayed)
	}
	return l.err
}

// world is a store of signing keys in memory, a ledger and a clock.
type world struct {
	mu      sync.Mutex
	records map[string]*onetime.Record // by api key
	broken  bool
	reads   int
	used    []onetime.Use
	now     time.Time
	ledger  *ledger
	kind    *onetime.Kind
}

// newWorld is a world with the keys of the shared vectors.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{records: map[string]*onetime.Record{}, now: t0, ledger: &ledger{spent: map[string]time.Time{}}}
	for _, file := range []string{"testdata/onetime.json", "../../../testdata/onetime/vectors.json"} {
		for _, k := range readKeys(t, file) {
			w.add(k)
		}
	}
	w.start(t)
	return w
}

// start makes a new kind, as a restart of the process does.
func (w *world) start(t testing.TB) {
	t.Helper()
	k, err := onetime.New(onetime.Options{
		Find: w.find, Open: open, Ledger: w.ledger, Fresh: func(time.Time) bool { return true },
		Now:  w.clock,
		Used: func(u onetime.Use) { w.mu.Lock(); defer w.mu.Unlock(); w.used = append(w.used, u) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	w.kind = k
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) at(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = now
}

func (w *world) find(_ context.Context, apiKey string) (onetime.Record, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads++
	if w.broken {
		return onetime.Record{}, fmt.Errorf("disk on fire: %w", keystile.ErrUnavailable)
	}
	if record, ok := w.records[apiKey]; ok {
		return *record, nil
	}
	return onetime.Record{}, keystile.ErrNotFound
}

// open "unseals": what was sealed is the place, a colon, and the secret.
func open(sealed []byte, place string) ([]byte, error) {
	secret, ok := strings.CutPrefix(string(sealed), place+":")
	if !ok {
		return nil, errors.New("sealed for another place")
	}
	return []byte(secret), nil
}

// testKey is a key of one of the two files of vectors.
type testKey struct {
	Organization string `json:"organization"`
	APIKey       string `json:"api_key"`
	Algorithm    string `json:"algorithm"`
	Secret       string `json:"secret"`
	PublicKey    string `json:"public_key"`
	PrivateKey   string `json:"private_key"`
}

func readKeys(t testing.TB, file string) map[string]testKey {
	t.Helper()
	var v struct {
		Keys map[string]testKey `json:"keys"`
	}
	readJSON(t, file, &v)
	return v.Keys
}

func readJSON(t testing.TB, file string, into any) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

func (w *world) add(k testKey) *onetime.Record {
	id := "sk_" + k.APIKey
	record := &onetime.Record{
		Key: keystile.SigningKey{
			ID: id, OrganizationID: k.Organization, Environment: keystile.Production,
			APIKey: k.APIKey, Algorithm: keystile.SigningAlgorithm(k.Algorithm), PublicKey: k.PublicKey,
		},
		Organization: keystile.Organization{ID: k.Organization, Environment: keystile.Production},
	}
	if k.Algorithm == "HS256" {
		record.Key.SealedSecret = []byte(keystile.SigningSecretPlace(id) + ":" + k.Secret)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records[k.APIKey] = record
	return record
}

// change edits the record of a key and tells the kind, as the feed does.
func (w *world) change(apiKey string, edit func(*onetime.Record)) {
	w.mu.Lock()
	record := w.records[apiKey]
	edit(record)
	w.mu.Unlock()
	w.kind.Apply(keystile.Change{Kind: keystile.ChangeSigningKey, ID: record.Key.ID})
}

// signer signs with a key of the vectors.
func signer(t testing.TB, k testKey) *sign.Signer {
	t.Helper()
	var s *sign.Signer
	var err error
	if k.Algorithm == "HS256" {
		s, err = sign.NewHMAC(k.Organization, k.APIKey, k.Secret)
	} else {
		var private crypto.Signer
		if private, err = sign.ParsePrivateKey([]byte(k.PrivateKey)); err == nil {
			s, err = sign.New(k.Organization, k.APIKey, private)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sharedKeys(t testing.TB) map[string]testKey {
	t.Helper()
	return readKeys(t, "../../../testdata/onetime/vectors.json")
}

var (
	route  = &keystile.Route{Accept: []keystile.KindName{keystile.KindOneTime}}
	source = netip.MustParseAddr("192.0.2.1")
)

// bearer is a GET request with an Authorization field.
func bearer(authorization string) *keystile.Request {
	return &keystile.Request{
		Method: "GET", Scheme: "https", Host: "bank.example", Path: "/finapi/x", ClientAddr: source,
		Header: keystile.Header{"Authorization": {authorization}}, Body: func(int64) ([]byte, error) { return nil, nil },
	}
}

// requestOf is an outgoing request as it arrives.
func requestOf(t testing.TB, out *http.Request, body string) *keystile.Request {
	t.Helper()
	return &keystile.Request{
		Method: out.Method, Scheme: out.URL.Scheme, Host: out.Host, Path: out.URL.EscapedPath(), RawQuery: out.URL.RawQuery,
		Header: keystile.Header(out.Header), ClientAddr: source, Body: func(limit int64) ([]byte, error) {
			if int64(len(body)) > limit {
				return nil, keystile.ErrBodyTooLarge
			}
			return []byte(body), nil
		},
	}
}

// signed is a signed request as it arrives.
func signed(t testing.TB, s *sign.Signer, method, url, body string, stamp sign.Stamp) *keystile.Request {
	t.Helper()
	out, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Request(out, stamp); err != nil {
		t.Fatal(err)
	}
	if out.URL.Path == "" {
		out.URL.Path = "/"
	}
	return requestOf(t, out, body)
}

// present takes a request the gate's way, up to the claim; claim says whether to
// spend it, too.
func (w *world) present(r *keystile.Request, claim bool) (*keystile.Principal, keystile.Reason, error) {
	found, rejection := credential.Find(r, route)
	if rejection != nil {
		return nil, rejection.Reason, rejection
	}
	if found.Kind != keystile.KindOneTime {
		return nil, keystile.ReasonKindNotAccepted, errors.New("found as " + string(found.Kind))
	}
	presented, err := w.kind.Parse(r, found)
	if err != nil {
		return nil, keystile.ReasonCredentialMalformed, err
	}
	principal, err := w.kind.Verify(context.Background(), presented)
	if err == nil && claim {
		err = w.kind.Claim(context.Background(), presented)
	}
	return principal, reasonOf(err), err
}

func reasonOf(err error) keystile.Reason {
	var rejection *keystile.Rejection
	switch {
	case err == nil:
		return keystile.ReasonNone
	case errors.As(err, &rejection):
		return rejection.Reason
	case errors.Is(err, keystile.ErrReplayed):
		return keystile.ReasonReplayed
	}
	return keystile.ReasonStoreUnavailable
}

// want presents a request and compares the reason.
func (w *world) want(t *testing.T, r *keystile.Request, claim bool, want keystile.Reason) {
	t.Helper()
	principal, got, err := w.present(r, claim)
	if got != want || (principal != nil && want == "") != (want == "") {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

package webhook_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	credential "keystile.dev/keystile/internal/credential/partner"
	"keystile.dev/keystile/internal/outbound"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
	"keystile.dev/keystile/internal/webhook"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

const secretText = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// clock is the time of a world. It goes on by itself, and further when it is told to.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// world is a store with application 1 of north, a webhook of it that leads to an
// endpoint on this machine, and a courier.
type world struct {
	t       *testing.T
	store   *store.Store
	clock   *clock
	courier *webhook.Courier
	log     *syncBuffer
	alone   bool
	// requests that reached the endpoint.
	requests chan *http.Request
	endpoint *httptest.Server
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func digest(sum [32]byte) ([32]byte, string) { return sha256.Sum256(sum[:]), "p1" }

// open is a sealer that seals nothing.
func open(sealed []byte, _ string) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, errors.New("nothing is sealed here")
	}
	return sealed, nil
}

func newWorld(t *testing.T, s *store.Store, answer http.HandlerFunc, o outbound.Options) *world {
	t.Helper()
	w := &world{t: t, store: s, clock: &clock{}, log: &syncBuffer{}, requests: make(chan *http.Request, 100)}
	w.endpoint = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		kept := r.Clone(context.Background())
		kept.Body = io.NopCloser(bytes.NewReader(body))
		select {
		case w.requests <- kept:
		default:
		}
		answer(rw, r)
	}))
	w.endpoint.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(w.endpoint.Close)
	if o.TLS == nil {
		pool := x509.NewCertPool()
		pool.AddCert(w.endpoint.Certificate())
		o.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	if o.Timeout == 0 {
		o.Timeout = webhook.SendTimeout
	}
	w.seed()
	w.courier = w.newCourier(o)
	return w
}

func (w *world) newCourier(o outbound.Options) *webhook.Courier {
	client := outbound.New(o)
	c, err := webhook.NewCourier(webhook.Options{
		Alone: w.alone, Store: w.store, Open: open, Digest: digest, Random: rand.Reader, Now: w.clock.now, Logger: slog.New(slog.NewTextHandler(w.log, nil)),
		Send: func(ctx context.Context, m webhook.Message) (int, error) {
			return client.Send(ctx, outbound.Request(m))
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) seed() {
	w.t.Helper()
	storetest.Must(w.t, w.store, func(ctx context.Context, tx *store.Tx) error {
		for _, id := range []string{"north", "south"} {
			if err := tx.CreateOrganization(ctx, storetest.Organization(id)); err != nil {
				return err
			}
		}
		if err := tx.CreateApplication(ctx, storetest.Application(1, "north")); err != nil {
			return err
		}
		return tx.CreateWebhook(ctx, w.hook())
	})
}

// hook is the platform's form, to the endpoint of the world.
func (w *world) hook() keystile.Webhook {
	return keystile.Webhook{
		ID: storetest.WebhookID(1), ApplicationID: storetest.ApplicationID(1), Event: keystile.EventAppStatusChanged, Form: keystile.WebhookGet,
		URLTemplate: w.endpoint.URL + "/hook/<TENANT_ID>?session=<SESSION_TOKEN>&app=<APP_ID>&status=<STATUS>",
		HeaderName:  "Authorization", SealedHeader: []byte("Bearer partner-token"),
	}
}

func (w *world) set(edit func(*keystile.Webhook)) {
	w.t.Helper()
	hook := w.hook()
	edit(&hook)
	w.change(func(ctx context.Context, tx *store.Tx) error { return tx.UpdateWebhook(ctx, hook) })
}

func (w *world) change(fn func(context.Context, *store.Tx) error) {
	w.t.Helper()
	storetest.Must(w.t, w.store, fn)
}

func (w *world) authorize() {
	w.t.Helper()
	w.change(func(ctx context.Context, tx *store.Tx) error {
		return tx.Authorize(ctx, keystile.Authorization{ApplicationID: storetest.ApplicationID(1), TenantID: "south", Permissions: []keystile.Scope{"roof_summary:read"}})
	})
}

func (w *world) withdraw() {
	w.t.Helper()
	w.change(func(ctx context.Context, tx *store.Tx) error {
		return tx.Withdraw(ctx, storetest.ApplicationID(1), "south")
	})
}

// run lets the courier work until the test ends.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.courier.Run(ctx)
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return stop
}

// request is the next one that reaches the endpoint.
func (w *world) request() *http.Request {
	w.t.Helper()
	select {
	case r := <-w.requests:
		return r
	case <-time.After(30 * time.Second):
		w.t.Fatalf("nothing was delivered; log:\n%s", w.log)
		return nil
	}
}

// last is the newest delivery of the webhook, once it is as wanted.
func (w *world) last(what string, wanted func(*keystile.WebhookDelivery) bool) keystile.WebhookDelivery {
	w.t.Helper()
	var d keystile.WebhookDelivery
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		list, err := w.store.WebhookDeliveries(w.t.Context(), store.DeliveryFilter{WebhookID: storetest.WebhookID(1), Limit: 1})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(list) == 1 {
			if d = list[0]; wanted(&d) {
				return d
			}
		}
	}
	w.t.Fatalf("it never was %s: %+v\n%s", what, d, w.log)
	return d
}

func delivered(d *keystile.WebhookDelivery) bool { return d.State == keystile.DeliveryDelivered }

func tried(times int) func(*keystile.WebhookDelivery) bool {
	return func(d *keystile.WebhookDelivery) bool { return d.Attempts >= times }
}

func fine(http.ResponseWriter, *http.Request) {}

func broken(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }

func TestThePlatformsFormIsAGetOfTheTemplateWithItsHeader(t *testing.T) {
	for name, s := range map[string]*store.Store{"sqlite": storetest.Open(t), "postgres": storetest.OpenPostgres(t)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, s, fine, outbound.Options{AllowPrivate: loopback})
			w.run()
			w.authorize()
			r := w.request()
			q := r.URL.Query()
			body, err := io.ReadAll(r.Body)
			if r.Method != "GET" || r.URL.Path != "/hook/tenant-south" || q.Get("app") != storetest.ApplicationID(1) || q.Get("status") != "enabled" || len(body) != 0 || err != nil {
				t.Errorf("delivered %s %s, %d bytes", r.Method, r.URL, len(body))
			}
			if r.Header.Get("Authorization") != "Bearer partner-token" || r.Header.Get("Webhook-Signature") != "" {
				t.Errorf("the header is %v", r.Header)
			}
			token := keystile.Secret(q.Get("session"))
			if kind, env, ok := credential.Shape(token.Reveal()); !ok || kind != credential.SessionToken || env != keystile.Production {
				t.Errorf("the session token has another form")
			}
			sum, _ := digest(credential.Sum(token))
			session, err := w.store.FindPartnerSession(t.Context(), [][32]byte{sum})
			if err != nil || session.UserID != "" || session.TenantID != "south" || session.Generation != 1 {
				t.Errorf("the session is %+v, %v", session, err)
			}
			d := w.last("delivered", delivered)
			if d.Attempts != 1 || d.LastStatus != 200 || d.LastError != "" || !d.DueAt.IsZero() {
				t.Errorf("the log says %+v", d)
			}
			w.withdraw()
			if q := w.request().URL.Query(); q.Get("status") != "disabled" || !q.Has("session") || q.Get("session") != "" {
				t.Errorf("of the withdrawal it was told %v", q)
			}
		})
	}
}

func TestThreat33_NeitherOutboxNorLogHoldsATokenOrASecret(t *testing.T) {
	w := newWorld(t, storetest.Open(t), func(rw http.ResponseWriter, r *http.Request) {
		http.Error(rw, r.URL.String()+r.Header.Get("Authorization"), http.StatusBadGateway)
	}, outbound.Options{AllowPrivate: loopback})
	w.run()
	w.authorize()
	token := w.request().URL.Query().Get("session")
	d := w.last("tried", tried(1))
	attempts, err := w.store.WebhookAttempts(t.Context(), d.ID)
	if err != nil || len(attempts) != 1 || attempts[0].Status != 502 {
		t.Fatalf("the attempts are %+v, %v", attempts, err)
	}
	if d.URLTemplate != w.hook().URLTemplate {
		t.Errorf("the log names %s", d.URLTemplate)
	}
	w.endpoint.Close() // the next attempt fails with an error of the HTTP client, which names URLs
	w.clock.advance(time.Minute)
	d = w.last("tried again", tried(2))
	for _, text := range []string{d.LastError, attempts[0].Error, w.log.String()} {
		if strings.Contains(text, token) || strings.Contains(text, "st_prod_") || strings.Contains(text, "partner-token") || strings.Contains(text, "/hook/tenant") {
			t.Errorf("the log holds %q", text)
		}
	}
}

func TestThreat28_TheSessionTokenOfTheAttemptBeforeIsDead(t *testing.T) {
	w := newWorld(t, storetest.Open(t), broken, outbound.Options{AllowPrivate: loopback})
	w.run()
	w.authorize()
	var sums [][32]byte
	for n := range 3 {
		sum, _ := digest(credential.Sum(keystile.Secret(w.request().URL.Query().Get("session"))))
		sums = append(sums, sum)
		w.last("tried", tried(n+1))
		w.clock.advance(10 * time.Minute)
	}
	for n, sum := range sums[:2] {
		if _, err := w.store.FindPartnerSession(t.Context(), [][32]byte{sum}); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("the token of attempt %d: %v", n+1, err)
		}
	}
}

func TestThreat27_WhatATenantTookBackMeanwhileIsToldWithoutAToken(t *testing.T) {
	w := newWorld(t, storetest.Open(t), fine, outbound.Options{AllowPrivate: loopback})
	w.authorize()
	w.withdraw()
	w.run()
	for _, want := range []string{"enabled", "disabled"} {
		if q := w.request().URL.Query(); q.Get("status") != want || q.Get("session") != "" {
			t.Errorf("told %v, want %s without a token", q, want)
		}
	}
}

func TestThreat27_ADisabledPartnerIsToldNothing(t *testing.T) {
	w := newWorld(t, storetest.Open(t), fine, outbound.Options{AllowPrivate: loopback})
	w.authorize()
	o := storetest.Organization("north")
	o.Disabled = true
	w.change(func(ctx context.Context, tx *store.Tx) error { return tx.UpdateOrganization(ctx, o) })
	w.run()
	w.last("dropped", func(d *keystile.WebhookDelivery) bool { return d.State == keystile.DeliveryDropped })
	if len(w.requests) != 0 {
		t.Error("it was told")
	}
}

func TestASignedPostCarriesTheEventAndASignatureOfEachLiveSecret(t *testing.T) {
	w := newWorld(t, storetest.Open(t), fine, outbound.Options{AllowPrivate: loopback})
	const previous = "whsec_AAsWISw3Qk1YY255hI+apbC7xtHc5/L9"
	w.set(func(h *keystile.Webhook) {
		h.Form, h.URLTemplate, h.HeaderName, h.SealedHeader = keystile.WebhookSignedPost, w.endpoint.URL+"/signed", "", nil
		h.SealedSecret, h.SealedPrevious, h.PreviousUntil = []byte(secretText), []byte(previous), w.clock.now().Add(time.Hour)
	})
	w.run()
	w.authorize()
	for _, secrets := range [][]keystile.Secret{{secretText, previous}, {secretText}} {
		r := w.request()
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != "POST" || r.URL.String() != "/signed" || r.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s %s %v, %v", r.Method, r.URL, r.Header, err)
		}
		at, err := time.ParseDuration(r.Header.Get("Webhook-Timestamp") + "s")
		if err != nil {
			t.Fatal(err)
		}
		want, err := webhook.Sign(r.Header.Get("Webhook-Id"), time.Unix(int64(at/time.Second), 0), body, secrets...)
		if err != nil || r.Header.Get("Webhook-Signature") != want {
			t.Errorf("signed %s, want %s, %v", r.Header.Get("Webhook-Signature"), want, err)
		}
		for _, part := range []string{`"type":"app_status_changed"`, `"tenant_id":"tenant-south"`, `"application_id":"` + storetest.ApplicationID(1)} {
			if !strings.Contains(string(body), part) {
				t.Errorf("the body %s does not hold %s", body, part)
			}
		}
		if len(secrets) == 1 {
			break
		}
		w.last("delivered", delivered)
		w.clock.advance(2 * time.Hour)
		w.withdraw()
	}
}

func TestADeliveryIsTriedEightTimesWithinADayAndThenGivenUp(t *testing.T) {
	w := newWorld(t, storetest.Open(t), broken, outbound.Options{AllowPrivate: loopback})
	w.run()
	began := w.clock.now()
	w.authorize()
	id := ""
	var last time.Time
	for n := 1; n <= keystile.WebhookTries; n++ {
		d := w.last("tried", tried(n))
		if last = w.clock.now(); n < keystile.WebhookTries {
			circuit, err := w.store.WebhookCircuit(t.Context(), d.WebhookID)
			if err != nil {
				t.Fatal(err)
			}
			next := d.DueAt
			if circuit.OpenUntil.After(next) {
				next = circuit.OpenUntil
			}
			w.clock.advance(next.Sub(w.clock.now()))
		}
		id = d.ID
	}
	d, err := w.store.WebhookDelivery(t.Context(), id)
	if err != nil || d.State != keystile.DeliveryFailed || d.TriesLeft != 0 || !d.DueAt.IsZero() || d.LastError != "the answer is 500" {
		t.Errorf("it is %+v, %v", d, err)
	}
	if took := last.Sub(began); took < 20*time.Hour || took > 24*time.Hour {
		t.Errorf("the eight tries took %s", took)
	}
	if stats := w.courier.Stats(); stats.Failed != keystile.WebhookTries || stats.Delivered != 0 {
		t.Errorf("counted %+v", stats)
	}
}

func TestAnEndpointThatKeepsFailingIsLeftAloneAndOneSuccessBringsItBack(t *testing.T) {
	var mended atomic.Bool
	w := newWorld(t, storetest.Open(t), func(rw http.ResponseWriter, r *http.Request) {
		if !mended.Load() {
			broken(rw, r)
		}
	}, outbound.Options{AllowPrivate: loopback})
	for range 10 {
		w.authorize()
		w.withdraw()
	}
	stop := w.run()
	open := func() bool {
		circuit, err := w.store.WebhookCircuit(t.Context(), storetest.WebhookID(1))
		if err != nil {
			t.Fatal(err)
		}
		return circuit.OpenUntil.After(w.clock.now())
	}
	for deadline := time.Now().Add(30 * time.Second); !open() && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
	}
	stop()
	if got := len(w.requests); got != 5 {
		t.Fatalf("%d requests before it was left alone, want 5", got)
	}
	mended.Store(true)
	w.clock.advance(2 * time.Minute)
	w.courier = w.newCourier(outbound.Options{AllowPrivate: loopback, TLS: &tls.Config{RootCAs: rootsOf(w.endpoint), MinVersion: tls.VersionTLS12}})
	w.run()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		done, err := w.store.WebhookDeliveries(t.Context(), store.DeliveryFilter{WebhookID: storetest.WebhookID(1), State: keystile.DeliveryDelivered})
		if err != nil {
			t.Fatal(err)
		}
		if len(done) == 20 {
			return
		}
	}
	t.Errorf("not everything was delivered after it was mended\n%s", w.log)
}

func rootsOf(server *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return pool
}

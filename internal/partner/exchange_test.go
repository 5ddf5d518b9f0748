package partner_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	credential "keystile.dev/keystile/internal/credential/partner"
	"keystile.dev/keystile/internal/partner"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

const (
	embedded  = "00000000-0000-4000-8000-000000000001"
	backend   = "00000000-0000-4000-8000-000000000002"
	tenantID  = "00000000-0000-4000-8000-00000000000a"
	sandboxID = "00000000-0000-4000-8000-00000000000b"
	otherID   = "00000000-0000-4000-8000-00000000000c"
)

// world is a store with a partner ("maker"), an embedded and a backend
// application, and tenants: "tenant" authorised both, "other" authorised the
// embedded one, "sandbox" is of the other environment.
type world struct {
	store    *store.Store
	digester plain
	service  *partner.Service
	now      atomic.Int64
	keys     map[string]keystile.Secret
	user     keystile.User
}

// plain makes digests without a pepper.
type plain struct{}

func (plain) Digest(sum [32]byte) ([32]byte, string) { return sha256.Sum256(sum[:]), "p1" }

func (d plain) Candidates(sum [32]byte, buf [][32]byte) [][32]byte {
	digest, _ := d.Digest(sum)
	return append(buf, digest)
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, s *store.Store) *world {
	t.Helper()
	w := &world{store: s, keys: map[string]keystile.Secret{}}
	w.now.Store(start.UnixNano())
	var err error
	w.service, err = partner.New(partner.Options{Store: s, Digester: w.digester, Random: rand.Reader, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.service.Close)
	storetest.Must(t, s, func(ctx context.Context, tx *store.Tx) error { return w.seed(ctx, tx) })
	return w
}

func (w *world) clock() time.Time { return time.Unix(0, w.now.Load()).UTC() }

func (w *world) seed(ctx context.Context, tx *store.Tx) error {
	for id, wire := range map[string]string{"maker": "", "tenant": tenantID, "other": otherID, "sandbox": sandboxID} {
		o := storetest.Organization(id)
		o.TenantID = wire
		if id == "sandbox" {
			o.Environment = keystile.Sandbox
		}
		if err := tx.CreateOrganization(ctx, o); err != nil {
			return err
		}
	}
	for _, id := range []string{embedded, backend} {
		a := storetest.Application(1, "maker")
		a.ID = id
		if id == backend {
			a.Kind, a.LaunchURL = keystile.ApplicationBackend, ""
		}
		if err := tx.CreateApplication(ctx, a); err != nil {
			return err
		}
		secret, err := credential.Generate(rand.Reader, credential.ApplicationKey, a.Environment)
		if err != nil {
			return err
		}
		w.keys[id] = secret
		k := keystile.ApplicationKey{ID: "akey_" + id, ApplicationID: id, CreatedAt: start}
		k.Digest, k.PepperID = w.digester.Digest(credential.Sum(secret))
		if err := tx.AddApplicationKey(ctx, k); err != nil {
			return err
		}
		for _, tenant := range []string{"tenant", "other"} {
			if err := tx.Authorize(ctx, keystile.Authorization{ApplicationID: id, TenantID: tenant, Permissions: a.Permissions}); err != nil {
				return err
			}
		}
	}
	w.user = keystile.User{ID: "user_1", OrganizationID: "tenant", Username: "ada"}
	return tx.CreateUser(ctx, w.user, store.SignInName{Name: "ada", Skeleton: "ada"})
}

// launch opens the embedded application as the user and returns its session token.
func (w *world) launch(t *testing.T) keystile.Secret {
	t.Helper()
	app, err := w.store.Application(t.Context(), embedded)
	if err != nil {
		t.Fatal(err)
	}
	tenant, err := w.store.Organization(t.Context(), "tenant")
	if err != nil {
		t.Fatal(err)
	}
	link, err := w.service.Launch(t.Context(), app, tenant, w.user.ID, partner.DefaultParameters)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Host != "app.roof.example" || q.Get("aurora_tenant_id") != tenantID || q.Get("application_id") != embedded {
		t.Fatalf("launched at %s", link)
	}
	return keystile.Secret(q.Get("aurora_session_token"))
}

func TestALaunchLeavesThePartnersOwnQueryAsItIs(t *testing.T) {
	w := newWorld(t, storetest.Open(t))
	w.launch(t)
	app, err := w.store.Application(t.Context(), embedded)
	if err != nil {
		t.Fatal(err)
	}
	tenant, err := w.store.Organization(t.Context(), "tenant")
	if err != nil {
		t.Fatal(err)
	}
	app.LaunchURL = "https://app.roof.example/embed?z=1;2&flag&a=%zz&st=theirs&s%74=theirs"
	link, err := w.service.Launch(t.Context(), app, tenant, w.user.ID, partner.Parameters{SessionToken: "st", TenantID: "t", ApplicationID: "app"})
	if err != nil {
		t.Fatal(err)
	}
	own, ours, ok := strings.Cut(strings.TrimPrefix(link, "https://app.roof.example/embed?"), "&app=")
	if !ok || own != "z=1;2&flag&a=%zz" {
		t.Errorf("launched at %s", link)
	}
	given, err := url.ParseQuery("app=" + ours)
	if err != nil || given.Get("app") != embedded || given.Get("t") != tenantID || len(given["st"]) != 1 || !strings.HasPrefix(given.Get("st"), "st_") {
		t.Errorf("launched at %s, %v", link, err)
	}
}

func (w *world) exchange(request partner.ExchangeRequest) (partner.Token, error) {
	if request.ApplicationKey == "" {
		request.ApplicationKey = w.keys[request.ApplicationID]
	}
	if request.TenantID == "" {
		request.TenantID = tenantID
	}
	return w.service.Exchange(context.Background(), request)
}

func code(err error) string {
	var r *partner.Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

func (w *world) change(t *testing.T, fn func(context.Context, *store.Tx) error) {
	t.Helper()
	storetest.Must(t, w.store, fn)
}

func (w *world) review(t *testing.T, id string, state keystile.ReviewState) {
	t.Helper()
	w.change(t, func(ctx context.Context, tx *store.Tx) error {
		a, err := tx.Application(ctx, id)
		if err != nil {
			return err
		}
		a.Review = state
		return tx.UpdateApplication(ctx, a)
	})
}

func TestABackendExchangesAtWillAndAnEmbeddedApplicationWithItsSessionToken(t *testing.T) {
	w := newWorld(t, storetest.Open(t))
	session := w.launch(t)
	for name, request := range map[string]partner.ExchangeRequest{
		"backend":  {ApplicationID: backend},
		"embedded": {ApplicationID: embedded, SessionToken: &session},
	} {
		token, err := w.exchange(request)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if kind, env, ok := credential.Shape(token.Secret.Reveal()); !ok || kind != credential.TemporaryKey || env != keystile.Production {
			t.Errorf("%s: the key has another form", name)
		}
		if !token.ExpiresAt.Equal(start.Add(13 * time.Hour)) {
			t.Errorf("%s: it ends at %s", name, token.ExpiresAt)
		}
		found, err := w.store.FindTemporaryKey(t.Context(), w.digester.Candidates(credential.Sum(token.Secret), nil))
		if err != nil || found.Key.TenantID != "tenant" || found.Key.ApplicationID != request.ApplicationID {
			t.Errorf("%s: stored as %+v, %v", name, found.Key, err)
		}
		if want := map[string]string{"backend": "", "embedded": "user_1"}[name]; found.Key.UserID != want {
			t.Errorf("%s: it carries user %q, want %q", name, found.Key.UserID, want)
		}
	}
	if _, err := w.exchange(partner.ExchangeRequest{ApplicationID: embedded, SessionToken: &session}); code(err) != "session_token_invalid" {
		t.Errorf("the same session token again: %v", err)
	}
}

// TestARefusedExchangeSpendsNothing refuses once for each reason, and then
// exchanges the very same session token.
func TestARefusedExchangeSpendsNothing(t *testing.T) {
	foreign, err := credential.Generate(rand.Reader, credential.ApplicationKey, keystile.Production)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil  func(*testing.T, *world, *partner.ExchangeRequest)
		mend   func(*testing.T, *world)
		want   string
		status int
	}{
		"an unknown application key":  {func(_ *testing.T, _ *world, r *partner.ExchangeRequest) { r.ApplicationKey = foreign }, nil, "invalid_application_key", 401},
		"another application's key":   {func(_ *testing.T, w *world, r *partner.ExchangeRequest) { r.ApplicationKey = w.keys[backend] }, nil, "invalid_application_key", 401},
		"a truncated application key": {func(_ *testing.T, w *world, r *partner.ExchangeRequest) { r.ApplicationKey = w.keys[embedded][:39] }, nil, "invalid_application_key", 401},
		"an unknown application": {func(_ *testing.T, w *world, r *partner.ExchangeRequest) {
			r.ApplicationID, r.ApplicationKey = otherID, w.keys[embedded]
		}, nil, "invalid_application_key", 401},
		"an unknown tenant":            {func(_ *testing.T, _ *world, r *partner.ExchangeRequest) { r.TenantID = embedded }, nil, "tenant_not_found", 404},
		"a tenant by its name":         {func(_ *testing.T, _ *world, r *partner.ExchangeRequest) { r.TenantID = "tenant" }, nil, "tenant_not_found", 404},
		"a tenant of the other world":  {func(_ *testing.T, _ *world, r *partner.ExchangeRequest) { r.TenantID = sandboxID }, nil, "tenant_not_found", 404},
		"the session token of another": {func(_ *testing.T, _ *world, r *partner.ExchangeRequest) { r.TenantID = otherID }, nil, "session_token_invalid", 401},
		"the session token at the backend": {func(_ *testing.T, w *world, r *partner.ExchangeRequest) {
			r.ApplicationID, r.ApplicationKey = backend, w.keys[backend]
		}, nil, "session_token_invalid", 401},
		"a session token of the other environment": {func(t *testing.T, _ *world, r *partner.ExchangeRequest) {
			sandbox, err := credential.Generate(rand.Reader, credential.SessionToken, keystile.Sandbox)
			if err != nil {
				t.Fatal(err)
			}
			r.SessionToken = &sandbox
		}, nil, "session_token_invalid", 401},
		"no session token": {func(_ *testing.T, _ *world, r *partner.ExchangeRequest) { r.SessionToken = nil }, nil, "session_token_required", 422},
		"an empty session token": {func(_ *testing.T, _ *world, r *partner.ExchangeRequest) {
			empty := keystile.Secret("")
			r.SessionToken = &empty
		}, nil, "session_token_invalid", 401},
		"a truncated session token": {func(_ *testing.T, _ *world, r *partner.ExchangeRequest) {
			cut := (*r.SessionToken)[:39]
			r.SessionToken = &cut
		}, nil, "session_token_invalid", 401},
		"a user who is disabled": {func(t *testing.T, w *world, _ *partner.ExchangeRequest) {
			w.user.Disabled = true
			w.change(t, func(ctx context.Context, tx *store.Tx) error {
				return tx.UpdateUser(ctx, w.user, store.SignInName{Name: "ada", Skeleton: "ada"})
			})
		}, func(t *testing.T, w *world) {
			w.user.Disabled = false
			w.change(t, func(ctx context.Context, tx *store.Tx) error {
				return tx.UpdateUser(ctx, w.user, store.SignInName{Name: "ada", Skeleton: "ada"})
			})
		}, "session_token_invalid", 401},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storetest.Open(t))
			session := w.launch(t)
			request := partner.ExchangeRequest{ApplicationID: embedded, SessionToken: &session}
			c.spoil(t, w, &request)
			_, err := w.exchange(request)
			var refusal *partner.Refusal
			if !errors.As(err, &refusal) || refusal.Code != c.want || refusal.Status != c.status {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if c.mend != nil {
				c.mend(t, w)
			}
			if _, err := w.exchange(partner.ExchangeRequest{ApplicationID: embedded, SessionToken: &session}); err != nil {
				t.Errorf("the session token was spent by a refusal: %v", err)
			}
		})
	}
}

func TestThreat28_ASessionTokenDiesWithWhatItHangsOn(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*testing.T, *world)
		want string
	}{
		"the tenant withdraws": {func(t *testing.T, w *world) {
			w.change(t, func(ctx context.Context, tx *store.Tx) error { return tx.Withdraw(ctx, embedded, "tenant") })
		}, "tenant_not_authorized"},
		"the tenant withdraws and says yes again": {func(t *testing.T, w *world) {
			w.change(t, func(ctx context.Context, tx *store.Tx) error { return tx.Withdraw(ctx, embedded, "tenant") })
			w.change(t, func(ctx context.Context, tx *store.Tx) error {
				return tx.Authorize(ctx, keystile.Authorization{ApplicationID: embedded, TenantID: "tenant"})
			})
		}, "session_token_invalid"},
		"the application is in review": {func(t *testing.T, w *world) { w.review(t, embedded, keystile.ReviewInReview) }, "application_in_review"},
		"the application is in review for a while": {func(t *testing.T, w *world) {
			w.review(t, embedded, keystile.ReviewInReview)
			w.review(t, embedded, keystile.ReviewApproved)
		}, "session_token_invalid"},
		"the application is suspended": {func(t *testing.T, w *world) { w.review(t, embedded, keystile.ReviewSuspended) }, "application_suspended"},
		"the application is suspended for a while": {func(t *testing.T, w *world) {
			w.review(t, embedded, keystile.ReviewSuspended)
			w.review(t, embedded, keystile.ReviewApproved)
		}, "session_token_invalid"},
		"the application is retired": {func(t *testing.T, w *world) { w.review(t, embedded, keystile.ReviewRetired) }, "application_suspended"},
		"its hour is over":           {func(_ *testing.T, w *world) { w.now.Add(int64(time.Hour)) }, "session_token_invalid"},
		"the application key is revoked": {func(t *testing.T, w *world) {
			w.change(t, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeApplicationKey(ctx, "akey_"+embedded) })
		}, "invalid_application_key"},
		"the tenant is disabled": {func(t *testing.T, w *world) {
			w.change(t, func(ctx context.Context, tx *store.Tx) error {
				o, err := tx.Organization(ctx, "tenant")
				if err != nil {
					return err
				}
				o.Disabled = true
				return tx.UpdateOrganization(ctx, o)
			})
		}, "tenant_not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storetest.Open(t))
			session := w.launch(t)
			c.end(t, w)
			if _, err := w.exchange(partner.ExchangeRequest{ApplicationID: embedded, SessionToken: &session}); code(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
		t.Run(name+", on a server that remembers", func(t *testing.T) {
			address := storetest.SQLiteURL(t)
			w := newWorld(t, storetest.OpenURL(t, address))
			there := w.another(t, address)
			earlier := w.launch(t)
			if _, err := there(partner.ExchangeRequest{ApplicationID: embedded, SessionToken: &earlier}); err != nil {
				t.Fatal(err)
			}
			session := w.launch(t)
			c.end(t, w)
			if _, err := there(partner.ExchangeRequest{ApplicationID: embedded, SessionToken: &session}); code(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// another is exchange on another server of the same store, which hears of nothing
// that is changed on the first.
func (w *world) another(t *testing.T, address string) func(partner.ExchangeRequest) (partner.Token, error) {
	t.Helper()
	service, err := partner.New(partner.Options{Store: storetest.OpenURL(t, address), Digester: w.digester, Random: rand.Reader, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(service.Close)
	there := &world{store: w.store, digester: w.digester, service: service, keys: w.keys, user: w.user}
	return there.exchange
}

func TestWhatIsRememberedOfAnApplicationIsLookedUpOnce(t *testing.T) {
	w := newWorld(t, storetest.Open(t))
	counted := &counting{Store: w.store}
	var err error
	if w.service, err = partner.New(partner.Options{Store: counted, Digester: w.digester, Random: rand.Reader, Now: w.clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.service.Close)
	for range 10 {
		if _, err := w.exchange(partner.ExchangeRequest{ApplicationID: backend}); err != nil {
			t.Fatal(err)
		}
	}
	if n := counted.lookups.Load(); n != 2 {
		t.Errorf("%d look-ups for ten exchanges, want 2", n)
	}
	// What is refused is looked up, and so is what follows a change of anything that allows exchanges.
	w.change(t, func(ctx context.Context, tx *store.Tx) error { return tx.Withdraw(ctx, backend, "tenant") })
	if _, err := w.exchange(partner.ExchangeRequest{ApplicationID: backend}); code(err) != "tenant_not_authorized" {
		t.Errorf("got %v", err)
	}
	w.change(t, func(ctx context.Context, tx *store.Tx) error {
		return tx.Authorize(ctx, keystile.Authorization{ApplicationID: backend, TenantID: "tenant"})
	})
	if _, err := w.exchange(partner.ExchangeRequest{ApplicationID: backend}); err != nil {
		t.Error(err)
	}
}

func TestAnExchangeWhoseGroundsKeepChangingIsNoAnswer(t *testing.T) {
	w := newWorld(t, storetest.Open(t))
	var err error
	if w.service, err = partner.New(partner.Options{Store: restless{w.store}, Digester: w.digester, Random: rand.Reader, Now: w.clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.service.Close)
	if _, err := w.exchange(partner.ExchangeRequest{ApplicationID: backend}); !errors.Is(err, keystile.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// counting counts what is looked up.
type counting struct {
	*store.Store
	lookups atomic.Int64
}

func (c *counting) FindApplicationKey(ctx context.Context, digests [][32]byte) (store.ApplicationKeyLookup, error) {
	c.lookups.Add(1)
	return c.Store.FindApplicationKey(ctx, digests)
}

func (c *counting) FindTenant(ctx context.Context, applicationID, wireID string) (store.TenantLookup, error) {
	c.lookups.Add(1)
	return c.Store.FindTenant(ctx, applicationID, wireID)
}

// restless changes something between every judgement and its transaction.
type restless struct{ *store.Store }

func (r restless) ExchangeKeys(ctx context.Context, exchanges []store.Exchange) (store.ExchangeReport, error) {
	if err := r.Tell(ctx, keystile.ChangeAll, ""); err != nil {
		return store.ExchangeReport{}, err
	}
	return r.Store.ExchangeKeys(ctx, exchanges)
}

func TestATemporaryKeyEndsThirteenHoursAfterItsExchangeWhateverTheClockDoesMeanwhile(t *testing.T) {
	w := newWorld(t, storetest.Open(t))
	for _, step := range []time.Duration{0, 13*time.Hour + time.Minute, -26 * time.Hour} {
		w.now.Add(int64(step))
		at := w.clock()
		token, err := w.exchange(partner.ExchangeRequest{ApplicationID: backend})
		if err != nil || !token.ExpiresAt.Equal(at.Add(13*time.Hour)) {
			t.Errorf("at %s: ends at %s, %v", at, token.ExpiresAt, err)
		}
	}
}

func TestASessionTokenIsGoodToTheLastSecondOfItsHour(t *testing.T) {
	w := newWorld(t, storetest.Open(t))
	session := w.launch(t)
	w.now.Add(int64(time.Hour - time.Second))
	if _, err := w.exchange(partner.ExchangeRequest{ApplicationID: embedded, SessionToken: &session}); err != nil {
		t.Error(err)
	}
}

func TestThreat08_Of64ExchangesOnTwoServersOneSucceeds(t *testing.T) {
	for engine, open := range map[string]func(testing.TB) string{"sqlite": storetest.SQLiteURL, "postgres": storetest.PostgresURL} {
		t.Run(engine, func(t *testing.T) {
			address := open(t)
			first := newWorld(t, storetest.OpenURL(t, address))
			second, err := partner.New(partner.Options{Store: storetest.OpenURL(t, address), Digester: first.digester, Random: rand.Reader, Now: first.clock})
			if err != nil {
				t.Fatal(err)
			}
			defer second.Close()
			session := first.launch(t)
			var won, lost atomic.Int64
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					service := first.service
					if i%2 == 1 {
						service = second
					}
					_, err := service.Exchange(context.Background(), partner.ExchangeRequest{
						ApplicationID: embedded, TenantID: tenantID, ApplicationKey: first.keys[embedded], SessionToken: &session,
					})
					switch {
					case err == nil:
						won.Add(1)
					case code(err) == "session_token_invalid":
						lost.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 || lost.Load() != 63 {
				t.Errorf("%d won, %d lost", won.Load(), lost.Load())
			}
		})
	}
}

func TestAnExchangeWhoseStoreFailsIsNoAnswer(t *testing.T) {
	w := newWorld(t, storetest.Open(t))
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.exchange(partner.ExchangeRequest{ApplicationID: backend}); err == nil || errors.Is(err, keystile.ErrRejected) {
		t.Errorf("got %v, want an error that is no refusal", err)
	}
}

// BenchmarkExchange is the whole exchange of a backend on SQLite, many at once.
func BenchmarkExchange(b *testing.B) {
	w := &world{store: storetest.Open(b), keys: map[string]keystile.Secret{}}
	w.now.Store(start.UnixNano())
	var err error
	if w.service, err = partner.New(partner.Options{Store: w.store, Digester: w.digester, Random: rand.Reader, Now: w.clock}); err != nil {
		b.Fatal(err)
	}
	defer w.service.Close()
	storetest.Must(b, w.store, func(ctx context.Context, tx *store.Tx) error { return w.seed(ctx, tx) })
	b.SetParallelism(64)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := w.exchange(partner.ExchangeRequest{ApplicationID: backend}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

package login_test

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/login"
	"keystile.dev/keystile/internal/login/password"
	"keystile.dev/keystile/internal/login/totp"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
	"keystile.dev/keystile/internal/username"
)

// world is a Service on a store, with one organisation and its users.
type world struct {
	t       *testing.T
	store   *store.Store
	service *login.Service
	options login.Options
	inbox   *inbox
	hasher  *password.Hasher

	mu     sync.Mutex
	offset time.Duration
	// stopped is the clock that does not run by itself; zero: it runs.
	stopped time.Time
}

// secret is the password of every user of the world.
const secret = keystile.Secret("plum-tractor-anvil-seven")

var (
	home  = netip.MustParseAddr("192.0.2.10")
	away  = netip.MustParseAddr("198.51.100.7")
	other = netip.MustParseAddr("203.0.113.99")
)

func from(addr netip.Addr) login.Caller {
	return login.Caller{Addr: addr, UserAgent: "test", Door: keystile.DoorOna, RequestID: "req-1"}
}

// hashers are shared: making one costs as much as a password.
var sharedHasher = sync.OnceValues(func() (*password.Hasher, error) {
	return password.New(password.Options{Random: rand.Reader, Wait: time.Minute})
})

// sharedHash is the hash of secret.
var sharedHash = sync.OnceValues(func() (string, error) {
	h, err := sharedHasher()
	if err != nil {
		return "", err
	}
	return h.Hash(context.Background(), secret)
})

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped.IsZero() {
		return w.stopped.Add(w.offset)
	}
	return time.Now().Add(w.offset)
}

// stop stops the clock but for pass: what follows within a second does so on a loaded machine, too.
func (w *world) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = time.Now()
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offset += d
}

func keys(t testing.TB) (*keyring.Sealer, *keyring.Digester) {
	t.Helper()
	master, err := keyring.NewMaster([]byte("0123456789abcdefghijklmnopqrstuv"))
	noError(t, err)
	sealer, _, err := keyring.NewSealer(master)
	noError(t, err)
	pepper, _, err := keyring.NewPepper(rand.Reader, sealer)
	noError(t, err)
	digester, err := keyring.NewDigester(pepper)
	noError(t, err)
	return sealer, digester
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func newWorld(t *testing.T, s *store.Store) *world {
	t.Helper()
	w := &world{t: t, store: s, inbox: &inbox{}}
	var err error
	w.hasher, err = sharedHasher()
	noError(t, err)
	sealer, digester := keys(t)
	w.options = login.Options{
		Store: s, Digester: digester, Sealer: sealer, Passwords: w.hasher, Mailer: w.inbox, Now: w.now, Random: rand.Reader,
		PublicURL: "https://auth.example.com", Issuer: "Ona",
	}
	w.restart()
	storetest.Must(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.CreateOrganization(ctx, storetest.Organization("north")), tx.CreateOrganization(ctx, storetest.Organization("south")),
			tx.CreateSite(ctx, storetest.Site("Sibaya", "north")), tx.CreateRole(ctx, storetest.Role("role_analyst")))
	})
	return w
}

// restart makes another Service on the same store, as another server would.
func (w *world) restart() {
	w.t.Helper()
	var err error
	w.service, err = login.New(w.options)
	noError(w.t, err)
}

// inWorlds runs a test on an empty world on each engine.
func inWorlds(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	storetest.Engines(t, func(t *testing.T, s *store.Store) { test(t, newWorld(t, s)) })
}

// user adds a user with a password; change may alter them first.
func (w *world) user(name string, change func(*keystile.User)) keystile.User {
	w.t.Helper()
	u := keystile.User{ID: "user_" + name, OrganizationID: "north", Username: name, Email: name + "@example.com", Name: strings.ToUpper(name), RoleID: "role_analyst"}
	if change != nil {
		change(&u)
	}
	hash, err := sharedHash()
	noError(w.t, err)
	parsed, err := password.Parse(hash)
	noError(w.t, err)
	storetest.Must(w.t, w.store, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.CreateUser(ctx, u, names(w.t, u)...), tx.PutPassword(ctx, store.Password{UserID: u.ID, Hash: hash, Class: parsed.Class()}))
	})
	return u
}

func names(t testing.TB, u keystile.User) []store.SignInName {
	t.Helper()
	var all []store.SignInName
	for _, text := range []string{u.Username, u.Email} {
		n, err := username.Parse(text)
		noError(t, err)
		all = append(all, store.SignInName{Name: n.Canonical, Skeleton: n.Skeleton})
	}
	return all
}

// mutate changes a user who is there.
func (w *world) change(id string, fn func(*keystile.User)) {
	w.t.Helper()
	storetest.Must(w.t, w.store, func(ctx context.Context, tx *store.Tx) error {
		u, err := tx.User(ctx, id)
		if err != nil {
			return err
		}
		fn(&u)
		return tx.UpdateUser(ctx, u, names(w.t, u)...)
	})
}

func (w *world) signIn(c login.Caller, name string) login.Outcome {
	w.t.Helper()
	out, err := w.service.Password(w.t.Context(), c, name, secret)
	noError(w.t, err)
	return out
}

// session signs in a user without a second factor.
func (w *world) session(name string) keystile.Session {
	w.t.Helper()
	out := w.signIn(from(home), name)
	if out.Session == nil {
		w.t.Fatalf("no session but %+v", out.Challenge)
	}
	return *out.Session
}

// answer is the answer that mint makes: it names the session, and no two are the same.
func answer(_ context.Context, s keystile.Session, u keystile.User) ([]byte, error) {
	return fmt.Appendf(nil, "%s %s %s", s.ID, u.ID, rand.Text()), nil
}

// sessionOf is the session an answer speaks of.
func (w *world) sessionOf(made []byte) keystile.Session {
	w.t.Helper()
	id, _, _ := strings.Cut(string(made), " ")
	s, err := w.store.Session(w.t.Context(), id)
	noError(w.t, err)
	return s
}

func (w *world) sessions(userID string) []keystile.Session {
	w.t.Helper()
	list, err := w.store.Sessions(w.t.Context(), store.SessionFilter{UserID: userID, Now: w.now()})
	noError(w.t, err)
	return list
}

// app is an authenticator app.
type app struct {
	w      *world
	secret []byte
}

func (w *world) app(uri keystile.Secret) *app {
	w.t.Helper()
	u, err := url.Parse(uri.Reveal())
	noError(w.t, err)
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(u.Query().Get("secret"))
	noError(w.t, err)
	return &app{w: w, secret: raw}
}

func (a *app) code() string { return totp.Code(a.secret, totp.Step(a.w.now())) }

// next waits for the next time step, on the world's clock, and shows its code.
func (a *app) next() string {
	a.w.pass(totp.Period)
	return a.code()
}

// wrong is a code that is not right now or around now.
func (a *app) wrong() string {
	for n := range 1_000_000 {
		text := fmt.Sprintf("%06d", n)
		if _, ok := totp.Match(a.secret, text, a.w.now(), 0); !ok {
			return text
		}
	}
	return ""
}

// enrol gives a user a TOTP factor at their sign-in.
func (w *world) enrol(name string) *app {
	w.t.Helper()
	w.change("user_"+name, func(u *keystile.User) { u.MFA = keystile.MFARequired })
	out := w.signIn(from(home), name)
	if out.Challenge == nil || !out.Challenge.Enrolment {
		w.t.Fatalf("no enrolment but %+v", out)
	}
	a := w.app(out.Challenge.Provisioning)
	_, err := w.service.Code(w.t.Context(), from(home), out.Challenge.Token, a.code(), answer)
	noError(w.t, err)
	return a
}

// challenge signs in with the password and returns the challenge.
func (w *world) challenge(c login.Caller, name string) login.Challenge {
	w.t.Helper()
	out := w.signIn(c, name)
	if out.Challenge == nil {
		w.t.Fatal("no challenge")
	}
	return *out.Challenge
}

// inbox keeps mail.
type inbox struct {
	mu   sync.Mutex
	mail []string
	fail error
}

// Send implements login.Mailer.
func (i *inbox) Send(_ context.Context, to, subject, text string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fail != nil {
		return i.fail
	}
	i.mail = append(i.mail, "To: "+to+"\nSubject: "+subject+"\n\n"+text)
	return nil
}

func (i *inbox) all() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string{}, i.mail...)
}

// together runs fn n times at once.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}

package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/url"
	"testing"
	"time"

	"pgregory.net/rapid"

	keystile "keystile.dev/keystile"
	credential "keystile.dev/keystile/internal/credential/partner"
	"keystile.dev/keystile/internal/partner"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// cascade is a store with the kind that proves temporary keys, which hears of changes
// as a server does, and the service that makes them.
type cascade struct {
	store   *store.Store
	kind    *credential.Kind
	service *partner.Service
	made    int
}

// unpeppered makes digests without a pepper.
type unpeppered struct{}

func (unpeppered) Digest(sum [32]byte) ([32]byte, string) { return sha256.Sum256(sum[:]), "p1" }

func (d unpeppered) Candidates(sum [32]byte, buf [][32]byte) [][32]byte {
	digest, _ := d.Digest(sum)
	return append(buf, digest)
}

func newCascade(t *testing.T, s *store.Store) *cascade {
	t.Helper()
	c := &cascade{store: s}
	var err error
	c.kind, err = credential.New(credential.Options{
		Find: findTemporaryKeys(s), Digester: unpeppered{}, Fresh: func(time.Time) bool { return true }, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kind.Close)
	s.OnCommit(func(changes []keystile.Change) {
		for _, change := range changes {
			c.kind.Apply(change)
		}
	})
	c.service, err = partner.New(partner.Options{Store: s, Digester: unpeppered{}, Random: rand.Reader, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.service.Close)
	return c
}

// hung is one temporary key and one session token not yet used, and all that they
// hang on, with what a reader of the rules knows of it.
type hung struct {
	c                          *cascade
	maker, app, tenant, wireID string
	user                       keystile.User
	key, session, temporary    keystile.Secret

	withdrawn, suspended, tenantDisabled, makerDisabled, userDisabled bool
	// ended says that a withdrawal or a suspension has ended them for good.
	ended bool
}

func (h *hung) lives() bool {
	return !h.ended && !h.withdrawn && !h.suspended && !h.tenantDisabled && !h.makerDisabled && !h.userDisabled
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// hang makes a partner, its application, a tenant and a user of their own, and the two credentials.
func (c *cascade) hang(t fataler) *hung {
	t.Helper()
	c.made++
	n := c.made
	h := &hung{
		c: c, maker: fmt.Sprintf("maker-%d", n), tenant: fmt.Sprintf("tenant-%d", n),
		app: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), wireID: fmt.Sprintf("00000000-0000-4000-9000-%012d", n),
	}
	h.user = keystile.User{ID: fmt.Sprintf("user_%d", n), OrganizationID: h.tenant, Username: fmt.Sprintf("ada%d", n)}
	var err error
	if h.key, err = credential.Generate(rand.Reader, credential.ApplicationKey, keystile.Production); err != nil {
		t.Fatalf("%v", err)
	}
	app := storetest.Application(n, h.maker)
	app.ID = h.app
	h.change(t, func(ctx context.Context, tx *store.Tx) error {
		maker, tenant := storetest.Organization(h.maker), storetest.Organization(h.tenant)
		maker.TenantID, tenant.TenantID = "", h.wireID
		key := keystile.ApplicationKey{ID: "akey_" + h.app, ApplicationID: h.app, CreatedAt: time.Now()}
		key.Digest, key.PepperID = unpeppered{}.Digest(credential.Sum(h.key))
		for _, step := range []func() error{
			func() error { return tx.CreateOrganization(ctx, maker) },
			func() error { return tx.CreateOrganization(ctx, tenant) },
			func() error { return tx.CreateApplication(ctx, app) },
			func() error { return tx.AddApplicationKey(ctx, key) },
			func() error {
				return tx.Authorize(ctx, keystile.Authorization{ApplicationID: h.app, TenantID: h.tenant, Permissions: app.Permissions})
			},
			func() error {
				return tx.CreateUser(ctx, h.user, store.SignInName{Name: h.user.Username, Skeleton: h.user.Username})
			},
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	first := h.launch(t)
	token, err := h.exchange(first)
	if err != nil {
		t.Fatalf("the first exchange: %v", err)
	}
	h.temporary, h.session = token.Secret, h.launch(t)
	return h
}

func (h *hung) change(t fataler, fn func(context.Context, *store.Tx) error) {
	t.Helper()
	if err := h.c.store.Mutate(context.Background(), storetest.Actor, fn); err != nil {
		t.Fatalf("change the store: %v", err)
	}
}

// launch opens the application as the user and returns the session token.
func (h *hung) launch(t fataler) keystile.Secret {
	t.Helper()
	ctx := context.Background()
	app, err := h.c.store.Application(ctx, h.app)
	if err != nil {
		t.Fatalf("%v", err)
	}
	tenant, err := h.c.store.Organization(ctx, h.tenant)
	if err != nil {
		t.Fatalf("%v", err)
	}
	link, err := h.c.service.Launch(ctx, app, tenant, h.user.ID, partner.DefaultParameters)
	if err != nil {
		t.Fatalf("launch: %v", err)
	}
	target, err := url.Parse(link)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return keystile.Secret(target.Query().Get(partner.DefaultParameters.SessionToken))
}

func (h *hung) exchange(session keystile.Secret) (partner.Token, error) {
	return h.c.service.Exchange(context.Background(), partner.ExchangeRequest{
		ApplicationID: h.app, ApplicationKey: h.key, TenantID: h.wireID, SessionToken: &session,
	})
}

// verify asks the kind, as the gate does.
func (h *hung) verify() error {
	p, err := h.c.kind.Parse(&keystile.Request{}, keystile.Found{
		Kind: keystile.KindPartner, Header: "Authorization", Scheme: keystile.SchemeBearer, Value: h.temporary,
	})
	if err != nil {
		return err
	}
	_, err = h.c.kind.Verify(context.Background(), p)
	return err
}

// check holds the credentials against the rules. last says that no event follows: then
// a session token that lives is spent.
func (h *hung) check(t fataler, after string, last bool) {
	t.Helper()
	if err := h.verify(); (err == nil) != h.lives() {
		t.Fatalf("after %s the temporary key: %v; it should live: %v", after, err, h.lives())
	}
	if h.lives() && !last {
		return
	}
	if _, err := h.exchange(h.session); (err == nil) != h.lives() {
		t.Fatalf("after %s the session token: %v; it should live: %v", after, err, h.lives())
	}
}

// event is something that happens to what credentials hang on.
type event struct {
	name string
	do   func(t fataler, h *hung)
}

var (
	killing = []event{
		{"withdraw", func(t fataler, h *hung) {
			h.change(t, func(ctx context.Context, tx *store.Tx) error { return tx.Withdraw(ctx, h.app, h.tenant) })
			h.withdrawn, h.ended = true, true
		}},
		{"suspend", func(t fataler, h *hung) {
			h.review(t, keystile.ReviewSuspended)
			h.suspended, h.ended = true, true
		}},
		{"disable the tenant", func(t fataler, h *hung) { h.disable(t, h.tenant, true); h.tenantDisabled = true }},
		{"disable the partner", func(t fataler, h *hung) { h.disable(t, h.maker, true); h.makerDisabled = true }},
		{"disable the user", func(t fataler, h *hung) { h.disableUser(t, true); h.userDisabled = true }},
	}
	// final is what nothing undoes.
	final = []event{
		{"revoke the application key", func(t fataler, h *hung) {
			h.change(t, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeApplicationKey(ctx, "akey_"+h.app) })
			h.ended = true
		}},
	}
	mending = []event{
		{"authorize", func(t fataler, h *hung) {
			h.change(t, func(ctx context.Context, tx *store.Tx) error {
				return tx.Authorize(ctx, keystile.Authorization{ApplicationID: h.app, TenantID: h.tenant})
			})
			h.withdrawn = false
		}},
		{"approve", func(t fataler, h *hung) { h.review(t, keystile.ReviewApproved); h.suspended = false }},
		{"enable the tenant", func(t fataler, h *hung) { h.disable(t, h.tenant, false); h.tenantDisabled = false }},
		{"enable the partner", func(t fataler, h *hung) { h.disable(t, h.maker, false); h.makerDisabled = false }},
		{"enable the user", func(t fataler, h *hung) { h.disableUser(t, false); h.userDisabled = false }},
	}
)

func (h *hung) review(t fataler, state keystile.ReviewState) {
	t.Helper()
	h.change(t, func(ctx context.Context, tx *store.Tx) error {
		a, err := tx.Application(ctx, h.app)
		if err != nil {
			return err
		}
		a.Review = state
		return tx.UpdateApplication(ctx, a)
	})
}

func (h *hung) disable(t fataler, organization string, disabled bool) {
	t.Helper()
	h.change(t, func(ctx context.Context, tx *store.Tx) error {
		o, err := tx.Organization(ctx, organization)
		if err != nil {
			return err
		}
		o.Disabled = disabled
		return tx.UpdateOrganization(ctx, o)
	})
}

func (h *hung) disableUser(t fataler, disabled bool) {
	t.Helper()
	h.change(t, func(ctx context.Context, tx *store.Tx) error {
		u, err := tx.User(ctx, h.user.ID)
		if err != nil {
			return err
		}
		u.Disabled = disabled
		return tx.UpdateUser(ctx, u, store.SignInName{Name: u.Username, Skeleton: u.Username})
	})
}

// orders calls fn with every order of events.
func orders(events []event, fn func([]event)) {
	if len(events) == 0 {
		fn(nil)
		return
	}
	for i := range events {
		rest := append(append([]event{}, events[:i]...), events[i+1:]...)
		orders(rest, func(tail []event) { fn(append([]event{events[i]}, tail...)) })
	}
}

func runInOrder(t fataler, h *hung, sequence []event) {
	t.Helper()
	h.check(t, "nothing", len(sequence) == 0)
	after := ""
	for i, e := range sequence {
		e.do(t, h)
		after += ", " + e.name
		h.check(t, after[2:], i == len(sequence)-1)
	}
}

// TestThreat28_PartnersCredentialsDieWithWhatTheyHangOnInEveryOrderOfEvents holds a
// temporary key in a server's memory and a session token against the rules: all orders
// of what kills them, each with what undoes it in the same order afterwards, every pair
// of any two events, and longer sequences at random.
func TestThreat28_PartnersCredentialsDieWithWhatTheyHangOnInEveryOrderOfEvents(t *testing.T) {
	for engine, open := range map[string]func(testing.TB) *store.Store{"sqlite": storetest.Open, "postgres": storetest.OpenPostgres} {
		t.Run(engine, func(t *testing.T) {
			c := newCascade(t, open(t))
			all := append(append(append([]event{}, killing...), mending...), final...)
			for _, first := range all {
				for _, second := range all {
					runInOrder(t, c.hang(t), []event{first, second})
				}
			}
			undo := map[string]event{}
			for i, e := range killing {
				undo[e.name] = mending[i]
			}
			orders(killing, func(sequence []event) {
				for _, e := range sequence[:len(sequence):len(sequence)] {
					sequence = append(sequence, undo[e.name])
				}
				runInOrder(t, c.hang(t), sequence)
			})
			rapid.Check(t, func(t *rapid.T) {
				runInOrder(t, c.hang(t), rapid.SliceOfN(rapid.SampledFrom(all), 0, 8).Draw(t, "events"))
			})
		})
	}
}

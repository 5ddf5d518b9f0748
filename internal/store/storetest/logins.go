package storetest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// Session is a live session of a user of an organisation.
func Session(id, user, organization string) keystile.Session {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return keystile.Session{
		ID: id, UserID: user, OrganizationID: organization, Door: keystile.DoorNAO, Methods: []keystile.AuthMethod{"pwd", "otp", "mfa"},
		AuthenticatedAt: now, ClientAddr: "192.0.2.1", UserAgent: "agent", CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}
}

// withUsers seeds the store and adds the users ann of north and bob of south.
func withUsers(t *testing.T, s *store.Store) {
	t.Helper()
	Seed(t, s)
	Must(t, s, CreateUser("ann", "north"))
	Must(t, s, CreateUser("bob", "south"))
}

var loginBehaviours = []behaviour{
	{"a session comes back as it was made, with its user, organisation and sites", func(t *testing.T, s *store.Store) {
		withUsers(t, s)
		want := Session("ses_1", "ann", "north")
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.CreateSession(ctx, want) })
		got, err := s.Session(t.Context(), "ses_1")
		same(t, err, want, got)
		found, err := s.FindSession(t.Context(), "ses_1")
		noError(t, err)
		if found.User.ID != "ann" || found.Organization.ID != "north" || len(found.SiteIDs) != 2 || !found.ParentsLive || !found.Live(time.Now()) {
			t.Errorf("look-up %+v", found)
		}
		for _, id := range []string{"", "ses_2", "a\x00b", "a b"} {
			if _, err := s.FindSession(t.Context(), id); !errors.Is(err, keystile.ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
		conflict := s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error { return tx.CreateSession(ctx, want) })
		if !errors.Is(conflict, keystile.ErrConflict) {
			t.Errorf("the same id again: %v", conflict)
		}
	}},
	{"TestThreat28 a session is refused once the API key that opened it is revoked, expired or deleted", func(t *testing.T, s *store.Store) {
		withUsers(t, s)
		for i, end := range []func(ctx context.Context, tx *store.Tx, id string) error{
			func(ctx context.Context, tx *store.Tx, id string) error { return tx.RevokeAPIKey(ctx, id, time.Time{}) },
			func(ctx context.Context, tx *store.Tx, id string) error { return tx.DeleteAPIKey(ctx, id) },
			func(ctx context.Context, tx *store.Tx, id string) error {
				k, err := tx.APIKey(ctx, id)
				k.ExpiresAt = T0
				return errors.Join(err, tx.UpdateAPIKey(ctx, k))
			},
		} {
			id := string(rune('a' + i))
			Must(t, s, func(ctx context.Context, tx *store.Tx) error {
				key := Key("key-"+id, "north")
				key.UserID, key.ExpiresAt = "ann", time.Time{}
				opened := Session("ses_"+id, "ann", "north")
				opened.APIKeyID = key.ID
				return errors.Join(tx.CreateAPIKey(ctx, key), tx.CreateSession(ctx, opened))
			})
			live := func() bool {
				found, err := s.FindSession(t.Context(), "ses_"+id)
				noError(t, err)
				return found.Live(time.Now())
			}
			if !live() {
				t.Fatal("not live")
			}
			Must(t, s, func(ctx context.Context, tx *store.Tx) error { return end(ctx, tx, "key-"+id) })
			if live() {
				t.Errorf("way %d: the session outlives its key", i)
			}
		}
	}},
	{"TestThreat27 deleting a user takes all that is theirs, and disabling ends their sessions for good", func(t *testing.T, s *store.Store) {
		withUsers(t, s)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(
				tx.CreateSession(ctx, Session("ses_1", "ann", "north")), tx.CreateSession(ctx, Session("ses_2", "bob", "south")),
				tx.PutPassword(ctx, store.Password{UserID: "ann", Hash: "h", Class: "c"}),
				tx.CreateFactor(ctx, keystile.Factor{ID: "f", UserID: "ann", Kind: keystile.FactorTOTP, Sealed: []byte("s")}),
				tx.PutAuthToken(ctx, store.AuthToken{UserID: "ann", APIKeyID: "k", Sealed: []byte("s")}),
			)
		})
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			u, err := tx.User(ctx, "bob")
			u.Disabled = true
			return errors.Join(err, tx.UpdateUser(ctx, u, Names("bob")...), tx.DeleteUser(ctx, "ann"))
		})
		if _, err := s.Session(t.Context(), "ses_1"); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("ann's session: %v", err)
		}
		if _, err := s.Password(t.Context(), "ann"); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("ann's password: %v", err)
		}
		if bobs, err := s.Session(t.Context(), "ses_2"); err != nil || bobs.RevokedAt.IsZero() {
			t.Errorf("bob's session %+v, %v", bobs, err)
		}
	}},
	{"TestThreat23 of 64 that spend one step of a factor at once, one does, and no step comes back", func(t *testing.T, s *store.Store) {
		withUsers(t, s)
		f := keystile.Factor{ID: "f", UserID: "ann", Kind: keystile.FactorTOTP, Sealed: []byte("s"), LastStep: 5}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.CreateFactor(ctx, f) })
		advance := func(step int64) (accepted bool) {
			Must(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
				accepted, err = tx.AdvanceFactor(ctx, f, step, f.Sealed)
				return err
			})
			return accepted
		}
		if advance(5) || advance(4) {
			t.Error("a step was spent again")
		}
		var accepted atomic.Int64
		together(t, 64, func(int) error {
			var ok bool
			err := s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) (err error) {
				ok, err = tx.AdvanceFactor(ctx, f, 6, f.Sealed)
				return err
			})
			if ok {
				accepted.Add(1)
			}
			return err
		})
		if accepted.Load() != 1 {
			t.Errorf("%d spent it", accepted.Load())
		}
	}},
	{"a user has one authenticator app, and a passkey has one user", func(t *testing.T, s *store.Store) {
		withUsers(t, s)
		add := func(f keystile.Factor) error {
			f.Sealed = []byte("s")
			return s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error { return tx.CreateFactor(ctx, f) })
		}
		for _, f := range []keystile.Factor{
			{ID: "1", UserID: "ann", Kind: keystile.FactorTOTP},
			{ID: "2", UserID: "bob", Kind: keystile.FactorTOTP},
			{ID: "3", UserID: "ann", Kind: keystile.FactorPasskey, CredentialID: []byte("c")},
		} {
			noError(t, add(f))
		}
		for _, f := range []keystile.Factor{
			{ID: "4", UserID: "ann", Kind: keystile.FactorTOTP}, {ID: "5", UserID: "bob", Kind: keystile.FactorPasskey, CredentialID: []byte("c")},
		} {
			if err := add(f); !errors.Is(err, keystile.ErrConflict) {
				t.Errorf("%s: %v", f.ID, err)
			}
		}
	}},
	{"TestThreat08 of 64 that take one reset link at once, one does", func(t *testing.T, s *store.Store) {
		withUsers(t, s)
		link := store.PasswordReset{Digest: Digest("r"), PepperID: "p", UserID: "ann", ExpiresAt: time.Now().Add(time.Hour)}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CreatePasswordReset(ctx, link, time.Now().Add(-time.Hour), 1)
			return err
		})
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			if more, err := tx.CreatePasswordReset(ctx, link, time.Now().Add(-time.Hour), 1); err != nil || more {
				t.Errorf("one more than the limit: %v, %v", more, err)
			}
			return nil
		})
		var taken atomic.Int64
		together(t, 64, func(int) error {
			var ok bool
			err := s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) (err error) {
				ok, err = tx.TakePasswordReset(ctx, link.Digest, time.Now())
				return err
			})
			if ok {
				taken.Add(1)
			}
			return err
		})
		if taken.Load() != 1 {
			t.Errorf("%d took it", taken.Load())
		}
	}},
	{"failures that are counted at once are all counted", func(t *testing.T, s *store.Store) {
		counter := Digest("counter")
		together(t, 32, func(int) error {
			return s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error {
				f, err := tx.LockLoginFailures(ctx, counter)
				if err != nil {
					return err
				}
				f.Failures++
				return tx.SaveLoginFailures(ctx, f)
			})
		})
		got, err := s.LoginFailures(t.Context(), [][32]byte{counter, Digest("another")})
		if err != nil || len(got) != 1 || got[0].Failures != 32 {
			t.Errorf("counted %+v, %v", got, err)
		}
	}},
	{"a subject of a provider is pinned to one user, and a user to one subject", func(t *testing.T, s *store.Store) {
		withUsers(t, s)
		pin := func(subject, user string) error {
			return s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error { return tx.PinIdentity(ctx, "idp", "iss", subject, user) })
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateIdentityProvider(ctx, keystile.IdentityProvider{
				Name: "idp", OrganizationID: "north", Issuer: "iss", Audience: "a", Algorithms: []keystile.SigningAlgorithm{keystile.RS256}, JWKSURL: "https://idp.example/jwks",
			})
		})
		noError(t, pin("1", "ann"))
		for _, c := range [][2]string{{"2", "ann"}, {"1", "bob"}, {"1", "ann"}} {
			if err := pin(c[0], c[1]); !errors.Is(err, keystile.ErrConflict) {
				t.Errorf("subject %s to %s: %v", c[0], c[1], err)
			}
		}
		if who, err := s.PinnedUser(t.Context(), "idp", "iss", "1"); err != nil || who != "ann" {
			t.Errorf("pinned %s, %v", who, err)
		}
	}},
}

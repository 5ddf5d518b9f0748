package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// rotated is a store that is rotated from one master key to another.
type rotated struct {
	*testing.T
	address, dir string
	old, next    *keyring.Master
	secrets      map[string]string
}

func newRotated(t *testing.T, address string) *rotated {
	t.Helper()
	r := &rotated{T: t, address: address, dir: t.TempDir(), secrets: map[string]string{}}
	for name, m := range map[string]**keyring.Master{"old": &r.old, "next": &r.next} {
		text := must(keyring.NewMasterText(rand.Reader))(t)
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		*m = must(keyring.LoadMaster(r.spec(name), os.Getenv))(t)
	}
	return r
}

func (r *rotated) spec(name string) string { return "file:" + filepath.Join(r.dir, name) }

func (r *rotated) open(m *keyring.Master) *house {
	r.Helper()
	h := must(openHouse(r.Context(), houseOptions{storeURL: r.address, master: m, logger: slog.New(slog.DiscardHandler)}))(r.T)
	r.Cleanup(func() {
		if err := h.close(); err != nil {
			r.Error(err)
		}
	})
	return h
}

// signingKeys makes n keys whose secrets must be readable again.
func (r *rotated) signingKeys(h *house, head string, n int) {
	r.Helper()
	err := h.store.Mutate(r.Context(), store.Actor{Name: "test"}, func(ctx context.Context, tx *store.Tx) error {
		for i := range n {
			id := fmt.Sprintf("%s%04d", head, i)
			r.secrets[id] = id + strings.Repeat("-secret", 5)
			if _, err := h.service.CreateSigningKeyTx(ctx, tx, manage.NewSigningKey{ID: id, OrganizationID: "acme", APIKey: id, Algorithm: keystile.HS256, Secret: keystile.Secret(r.secrets[id])}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}

// opens counts the secrets that a sealer opens, and wants them right.
func (r *rotated) opens(h *house, with *keyring.Sealer) (n int) {
	r.Helper()
	for id, want := range r.secrets {
		key := must(h.store.SigningKey(r.Context(), id))(r.T)
		plain, err := with.Open(key.SealedSecret, keystile.SigningSecretPlace(id))
		if err != nil {
			continue
		}
		if n++; string(plain) != want {
			r.Errorf("%s is %q", id, plain)
		}
	}
	return n
}

func TestARotationOfTheMasterKeySealsEveryValueAgainAlsoIfItIsInterrupted(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		r := newRotated(t, address)
		h := r.open(r.old)
		err := h.store.Mutate(t.Context(), store.Actor{Name: "test"}, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateOrganization(ctx, keystile.Organization{ID: "acme", Name: "Acme", Environment: keystile.Production})
		})
		if err != nil {
			t.Fatal(err)
		}
		const keys = 450
		r.signingKeys(h, "sig_", keys)
		person := must(h.service.CreateUser(t.Context(), store.Actor{Name: "test"}, manage.NewUser{User: keystile.User{ID: "user_a", OrganizationID: "acme", Username: "a@acme.example"}}))(t)
		must(h.service.EnrolTOTP(t.Context(), store.Actor{Name: "test"}, person.ID))(t)

		// Whoever has a copy of the store and the old master key has this.
		stolen := must(keyring.OpenSealer(r.old, must(h.store.Keyset(t.Context(), keysetSealing))(t)))(t)
		// A server and a slow process that hear of nothing by themselves.
		s := &server{house: r.open(r.old)}
		s.keyWatch.start(r.spec("old"), os.Getenv)
		s.house.sealer.Fetch(s.fetchSealer)
		slow := r.open(r.old)

		// It ends after the first batch of signing keys, as if it was killed.
		if err := h.rotateMaster(t.Context(), r.next, true); err != nil {
			t.Fatal(err)
		}
		ctx, kill := context.WithCancel(t.Context())
		_, err = h.store.Reseal(ctx, store.Actor{Name: "test"}, store.Resealing{Head: h.sealer.Head(), Again: h.sealer.Reseal, Batch: 50, Progress: func(done int64) {
			if done > 100 {
				kill()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("it was not interrupted: %v", err)
		}
		left := sum(must(h.store.SealedBefore(t.Context(), h.sealer.Head()))(t))
		if left == 0 || left >= keys {
			t.Fatalf("%d values are left", left)
		}
		if n := r.opens(h, s.house.sealer); n != keys {
			t.Errorf("in the middle of it the server opens %d of %d", n, keys)
		}

		// The same command again, still with the old configuration, goes on.
		a := &app{environment{stdout: new(strings.Builder), stderr: new(strings.Builder), getenv: os.Getenv}}
		again := r.open(r.old)
		if !again.outdated {
			t.Error("the old master key is not known as the one before")
		}
		third := must(keyring.NewMasterText(rand.Reader))(t)
		if err := os.WriteFile(filepath.Join(r.dir, "third"), []byte(third), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := again.rotateMaster(t.Context(), must(keyring.LoadMaster(r.spec("third"), os.Getenv))(t), true); !errors.Is(err, errRotating) {
			t.Errorf("a second rotation in the middle of the first: %v", err)
		}
		if err := again.rotateMaster(t.Context(), r.next, true); err != nil {
			t.Fatal(err)
		}
		report := must(a.sealAgain(t.Context(), again))(t)
		if got := sum(report.Resealed); got != left || len(report.Broken) > 0 {
			t.Errorf("it sealed %d of the %d that were left, broken %v", got, left, report.Broken)
		}
		if left := must(h.store.SealedBefore(t.Context(), again.sealer.Head()))(t); len(left) > 0 {
			t.Errorf("left: %v", left)
		}

		// The slow process still seals with the old key: the old key goes only after that value moved.
		r.signingKeys(slow, "slow_", 1)
		named := r.open(r.next)
		if err := named.dropSealing(t.Context()); !errors.Is(err, errSealedMeanwhile) {
			t.Errorf("the old key went with a value under it: %v", err)
		}
		must(a.sealAgain(t.Context(), named))(t)
		if err := named.dropSealing(t.Context()); err != nil {
			t.Fatal(err)
		}

		if _, err := openHouse(t.Context(), houseOptions{storeURL: address, master: r.old, logger: slog.New(slog.DiscardHandler)}); !errors.Is(err, keyring.ErrWrongMaster) || !strings.Contains(err.Error(), r.next.ID()) {
			t.Errorf("with the old master key: %v", err)
		}
		after := r.open(r.next)
		if n := r.opens(after, after.sealer); n != keys+1 || after.sealer.Keys() != 1 {
			t.Errorf("the new master key opens %d of %d, with %d sealing keys", n, keys+1, after.sealer.Keys())
		}
		if n := r.opens(after, stolen); n != 0 {
			t.Errorf("the old sealing key still opens %d values", n)
		}
	})
}

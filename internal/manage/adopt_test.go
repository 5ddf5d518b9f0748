package manage_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/login/password"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

const (
	theirKey    = keystile.Secret("legacy_abc123_0123456789abcdef")
	theirHead   = "legacy_abc123"
	theirPepper = keystile.Secret("pepper of theirs")
)

// importForeign imports rows of keys that another system hashed.
func (w *world) importForeign(t testing.TB, rows ...store.ImportRow) store.ImportReport {
	t.Helper()
	next := func() ([]store.ImportRow, error) { return rows, io.EOF }
	return must(w.Store.ImportAPIKeys(context.Background(), operator, store.ImportOptions{JobID: "job-" + rows[0].Key.ID, Live: true}, next, nil))(t)
}

func foreignRow(id string, f store.ForeignRow) store.ImportRow {
	return store.ImportRow{Key: keystile.APIKey{ID: id, OrganizationID: "acme"}, Foreign: &f}
}

func newAdoptingWorld(t testing.TB) (*world, *manage.Adopter) {
	t.Helper()
	w := newWorld(t)
	w.Passwords = must(password.New(password.Options{Random: rand.Reader}))(t)
	w.organization(t, "acme", "")
	return w, manage.NewAdopter(w.Service)
}

func always([32]byte) bool { return true }

func TestAKeyImportedByItsBcryptHashIsProvenOnceAndThenKeptAsOurs(t *testing.T) {
	w, adopter := newAdoptingWorld(t)
	hash := must(bcrypt.GenerateFromPassword([]byte(theirKey.Reveal()), bcrypt.MinCost))(t)
	row := foreignRow("key_old", store.ForeignRow{Lookup: manage.ForeignHead(theirHead), Hash: string(hash), Head: len(theirHead)})
	if report := w.importForeign(t, row); report.Imported != 1 || report.Bulk {
		t.Fatalf("report %+v", report)
	}
	for _, wrong := range []keystile.Secret{"legacy_abc123_0123456789abcdeX", "legacy_abc123", "legacy_abc", "other", ""} {
		if adopted, err := adopter.Adopt(t.Context(), wrong, always); adopted || err != nil {
			t.Errorf("%q: %v, %v", wrong.Reveal(), adopted, err)
		}
	}
	if _, ok := w.finds(t, theirKey); ok {
		t.Fatal("known before its first use")
	}
	if adopted, err := adopter.Adopt(t.Context(), theirKey, always); !adopted || err != nil {
		t.Fatalf("%v, %v", adopted, err)
	}
	found, ok := w.finds(t, theirKey)
	if !ok || found.Key.ID != "key_old" || found.Key.Hint == "" {
		t.Errorf("found %+v, %v", found.Key, ok)
	}
	if _, err := w.Store.ForeignSecret(t.Context(), manage.ForeignHead(theirHead)); !errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("their hash is still there: %v", err)
	}
}

func TestAKeyImportedByItsHMACIsKnownByThePepperAlone(t *testing.T) {
	w, adopter := newAdoptingWorld(t)
	mac := hmac.New(sha256.New, []byte(theirPepper.Reveal()))
	mac.Write([]byte(theirKey.Reveal()))
	w.importForeign(t, foreignRow("key_old", store.ForeignRow{Lookup: [32]byte(mac.Sum(nil))}))
	if adopted, err := adopter.Adopt(t.Context(), theirKey, always); adopted || err != nil {
		t.Fatalf("without the pepper: %v, %v", adopted, err)
	}
	for range 2 { // giving it twice is as good as once
		if err := w.AddForeignPepper(t.Context(), operator, theirPepper); err != nil {
			t.Fatal(err)
		}
	}
	w.clock.Move(5 * time.Second)
	costly := func([32]byte) bool { t.Error("an HMAC is no costly proof"); return true }
	if adopted, err := adopter.Adopt(t.Context(), theirKey, costly); !adopted || err != nil {
		t.Fatalf("with the pepper: %v, %v", adopted, err)
	}
	if found, ok := w.finds(t, theirKey); !ok || found.Key.ID != "key_old" {
		t.Errorf("found %+v, %v", found.Key, ok)
	}
}

func TestWhoAsksTooOftenForACostlyProofIsToldToWaitAndNothingIsHashed(t *testing.T) {
	w, adopter := newAdoptingWorld(t)
	hash := must(bcrypt.GenerateFromPassword([]byte(theirKey.Reveal()), bcrypt.MinCost))(t)
	w.importForeign(t, foreignRow("key_old", store.ForeignRow{Lookup: manage.ForeignHead(theirHead), Hash: string(hash), Head: len(theirHead)}))
	if _, err := adopter.Adopt(t.Context(), theirKey, func([32]byte) bool { return false }); !errors.Is(err, keystile.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	// A key whose head is nobody's costs no proof.
	if adopted, err := adopter.Adopt(t.Context(), "other_abc123_0123456789", func([32]byte) bool { t.Error("asked"); return true }); adopted || err != nil {
		t.Errorf("%v, %v", adopted, err)
	}
}

func TestOfManyFirstUsesAtOnceOneAdopts(t *testing.T) {
	w, adopter := newAdoptingWorld(t)
	hash := must(bcrypt.GenerateFromPassword([]byte(theirKey.Reveal()), bcrypt.MinCost))(t)
	w.importForeign(t, foreignRow("key_old", store.ForeignRow{Lookup: manage.ForeignHead(theirHead), Hash: string(hash), Head: len(theirHead)}))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := adopter.Adopt(t.Context(), theirKey, always); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if secrets := must(w.Store.APIKeySecrets(t.Context(), "key_old"))(t); len(secrets) != 1 || secrets[0].Digest == apikey.Sum(theirKey) {
		t.Errorf("secrets %+v", secrets)
	}
}

func TestARotatedOrDeletedImportTakesItsForeignHashAlong(t *testing.T) {
	w, adopter := newAdoptingWorld(t)
	hash := must(bcrypt.GenerateFromPassword([]byte(theirKey.Reveal()), bcrypt.MinCost))(t)
	w.importForeign(t, foreignRow("key_old", store.ForeignRow{Lookup: manage.ForeignHead(theirHead), Hash: string(hash), Head: len(theirHead)}))
	if _, _, err := w.RotateKey(t.Context(), operator, "key_old", time.Hour); err != nil {
		t.Fatal(err)
	}
	w.clock.Move(time.Hour)
	if adopted, err := adopter.Adopt(t.Context(), theirKey, always); adopted || err != nil {
		t.Errorf("after the overlap: %v, %v", adopted, err)
	}
	if err := w.DeleteKey(t.Context(), operator, "key_old"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Store.ForeignSecret(t.Context(), manage.ForeignHead(theirHead)); !errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("their hash outlives the key: %v", err)
	}
}

func TestHeadsOfTooManyLengthsAreRefused(t *testing.T) {
	w, _ := newAdoptingWorld(t)
	var rows []store.ImportRow
	for n := range 6 {
		head := theirHead[:6+n]
		rows = append(rows, foreignRow("key_"+head, store.ForeignRow{Lookup: manage.ForeignHead(head), Hash: "$2a$04$x", Head: len(head)}))
	}
	_, err := w.Store.ImportAPIKeys(t.Context(), operator, store.ImportOptions{JobID: "many", Live: true}, func() ([]store.ImportRow, error) { return rows, io.EOF }, nil)
	if invalid := (*keystile.Invalid)(nil); !errors.As(err, &invalid) || invalid.Field != "prefix" {
		t.Errorf("error %v", err)
	}
}

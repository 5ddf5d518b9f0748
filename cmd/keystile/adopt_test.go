package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/bcrypt"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

func TestALeakedKeyThatCannotBeProvenNowIsNotTakenForAnUnknownOne(t *testing.T) {
	r := startServer(t, simpleRoutes, simpleWorld)
	const head, key = "legacy_abc123", keystile.Secret("legacy_abc123_0123456789abcdef")
	hash := must(bcrypt.GenerateFromPassword([]byte(key.Reveal()), bcrypt.MinCost))(t)
	row := store.ImportRow{
		Key:     keystile.APIKey{ID: "key_old", OrganizationID: "acme"},
		Foreign: &store.ForeignRow{Lookup: manage.ForeignHead(head), Hash: string(hash), Head: len(head)},
	}
	if _, err := r.server.house.store.ImportAPIKeys(t.Context(), actorOfTest, store.ImportOptions{JobID: "job", Live: true},
		func() ([]store.ImportRow, error) { return []store.ImportRow{row}, io.EOF }, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	responder := leakResponder{Service: r.server.house.service, adopter: r.adopter}
	stranger := manage.Actor{Name: "leak_report"}

	// Somebody guesses, and uses up their own proofs: what they send is dropped from then on.
	guesser, finder := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range proofRate.Requests + 2 {
		guess := keystile.Secret(fmt.Sprintf("%s_%016d", head, i))
		if _, err := responder.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: guess, From: guesser}); !errors.Is(err, keystile.ErrNotFound) {
			t.Fatalf("guess %d: %v", i, err)
		}
	}

	away := must(store.Open(t.Context(), store.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "away.db")}))(t)
	if err := away.Close(); err != nil {
		t.Fatal(err)
	}
	service := *r.server.house.service
	service.Store = away
	_, err := leakResponder{Service: r.server.house.service, adopter: newAdopter(&service)}.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: key, From: finder})
	if err == nil || errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("the key itself, where its proof cannot be read: %v", err)
	}

	if leak := must(responder.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: key, From: finder}))(t); leak.Key.ID != "key_old" {
		t.Errorf("%+v", leak)
	}
}

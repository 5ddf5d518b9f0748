package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
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

	for i := range proofRate.Requests { // somebody guesses, and uses up the proofs
		guess := keystile.Secret(fmt.Sprintf("%s_%016d", head, i))
		if _, err := responder.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: guess}); !errors.Is(err, keystile.ErrNotFound) {
			t.Fatalf("a guess: %v", err)
		}
	}
	_, err := responder.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: key})
	if errors.Is(err, keystile.ErrNotFound) || !errors.Is(err, keystile.ErrUnavailable) {
		t.Errorf("the key itself, without a proof left: %v", err)
	}

	if adopted, err := r.adopter.adopt(t.Context(), key, netip.MustParseAddr("192.0.2.1")); !adopted || err != nil {
		t.Fatalf("%v, %v", adopted, err)
	}
	if leak := must(responder.ReportLeak(t.Context(), stranger, manage.LeakReport{Secret: key}))(t); leak.Key.ID != "key_old" {
		t.Errorf("%+v", leak)
	}
}

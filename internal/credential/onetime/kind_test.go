package onetime_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
	"keystile.dev/keystile/internal/credential/credentialtest"
	"keystile.dev/keystile/internal/credential/onetime"
	"keystile.dev/keystile/sdk/go/sign"
)

// fixture runs the suite of every kind over credentials that write makes.
func fixture(write func(t *testing.T, s *sign.Signer) string) func(t *testing.T) credentialtest.Fixture {
	return func(t *testing.T) credentialtest.Fixture {
		w := newWorld(t)
		names := map[string]string{} // api key by credential
		return credentialtest.Fixture{
			Kind: w.kind,
			Good: func(t *testing.T) (keystile.Found, keystile.Principal) {
				k := testKey{Organization: "org", APIKey: fmt.Sprintf("key-%d", len(names)+1), Algorithm: "HS256", Secret: strings.Repeat("s", 32)}
				w.add(k)
				text := strings.TrimPrefix(write(t, signer(t, k)), "Bearer ")
				names[text] = k.APIKey
				return keystile.Found{Kind: keystile.KindOneTime, Header: "Authorization", Scheme: keystile.SchemeBearer, Value: keystile.Secret(text)},
					keystile.Principal{CredentialID: "sk_" + k.APIKey, OrganizationID: "org"}
			},
			Revoke: func(_ *testing.T, f keystile.Found) {
				w.change(names[f.Value.Reveal()], func(r *onetime.Record) { r.Key.RevokedAt = t0 })
			},
			DisableOrganization: func(*testing.T) {
				w.mu.Lock()
				for _, record := range w.records {
					record.Organization.Disabled = true
				}
				w.mu.Unlock()
				w.kind.Apply(keystile.Change{Kind: keystile.ChangeOrganization, ID: "org"})
			},
			BreakStore: func(*testing.T) { w.mu.Lock(); defer w.mu.Unlock(); w.broken = true },
		}
	}
}

func TestTheJWTFormShowsTheBehaviourOfEveryKind(t *testing.T) {
	credentialtest.Run(t, fixture(func(t *testing.T, s *sign.Signer) string {
		text, err := s.JWT(sign.Stamp{Time: t0})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}))
}

func TestTheHeaderFormShowsTheBehaviourOfEveryKind(t *testing.T) {
	credentialtest.Run(t, fixture(func(t *testing.T, s *sign.Signer) string {
		for n := range 10_000 {
			text, err := s.Header(sign.Stamp{Time: t0, Nonce: fmt.Sprintf("nonce-%0*d", 20+n%3, n)})
			if err != nil {
				t.Fatal(err)
			}
			if text = strings.TrimPrefix(text, "Bearer "); !hasTwin(text) {
				return text
			}
		}
		t.Fatal("no header without twins")
		return ""
	}))
}

// hasTwin says whether one of the suite's mutants of a header is another way of
// writing the very same one, which is accepted by design: padding may be left
// out, and hexadecimal digits have two cases. (It is still accepted only once.)
func hasTwin(text string) bool {
	if strings.HasSuffix(text, "=") {
		return true
	}
	same := decode(text)
	signature := strings.Index(same, `"accessToken":"`) + len(`"accessToken":"`)
	for i := range len(text) {
		flipped := []byte(text)
		flipped[i] ^= 1 << (i % 7)
		if mutant := decode(string(flipped)); len(mutant) == len(same) && mutant[:signature] == same[:signature] && strings.EqualFold(mutant, same) {
			return true
		}
	}
	return false
}

func decode(text string) string {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	return string(raw)
}

func TestAnOrganisationSwitchesFormsOff(t *testing.T) {
	keys := sharedKeys(t)
	for _, form := range []keystile.OneTimeForm{keystile.FormHeader, keystile.FormJWT, keystile.FormHTTPSignature} {
		t.Run(string(form), func(t *testing.T) {
			w := newWorld(t)
			w.change("demo-api-key", func(r *onetime.Record) { r.Organization.OneTime.Forms = []keystile.OneTimeForm{form} })
			s := signer(t, keys["hs"])
			header, err := s.Header(sign.Stamp{Time: t0})
			if err != nil {
				t.Fatal(err)
			}
			jwt, err := s.JWT(sign.Stamp{Time: t0})
			if err != nil {
				t.Fatal(err)
			}
			for f, r := range map[keystile.OneTimeForm]*keystile.Request{
				keystile.FormHeader: bearer(header), keystile.FormJWT: bearer(jwt),
				keystile.FormHTTPSignature: signed(t, s, "GET", "https://bank.example/x", "", sign.Stamp{Time: t0}),
			} {
				if f == form {
					w.want(t, r, true, "")
				} else {
					w.want(t, r, true, keystile.ReasonKindNotAccepted)
				}
			}
		})
	}
}

func TestTheClockWindowIsTheOrganisations(t *testing.T) {
	keys := sharedKeys(t)
	header, err := signer(t, keys["hs"]).Header(sign.Stamp{Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		window time.Duration
		off    time.Duration
		want   keystile.Reason
	}{
		{0, time.Minute, ""},
		{0, time.Minute + 1, keystile.ReasonClockSkew},
		{0, -time.Minute, ""},
		{0, -time.Minute - 1, keystile.ReasonClockSkew},
		{5 * time.Second, 5 * time.Second, ""},
		{5 * time.Second, 6 * time.Second, keystile.ReasonClockSkew},
		{time.Nanosecond, 5 * time.Second, ""},
		{15 * time.Minute, -15 * time.Minute, ""},
		{time.Hour, -16 * time.Minute, keystile.ReasonClockSkew},
	} {
		w := newWorld(t)
		w.change("demo-api-key", func(r *onetime.Record) { r.Organization.OneTime.ClockWindow = c.window })
		w.at(t0.Add(c.off))
		t.Run(fmt.Sprintf("window %s, clock off by %s", c.window, c.off), func(t *testing.T) {
			w.want(t, bearer(header), true, c.want)
		})
	}
}

// A nonce that was spent under a window of 60 s may be forgotten after 90 s. Then
// the window grows to 15 minutes, which makes the same header fit the clock again.
func TestWideningTheWindowMakesNothingGoodAgain(t *testing.T) {
	keys := sharedKeys(t)
	s := signer(t, keys["hs"])
	w := newWorld(t)
	old, err := s.Header(sign.Stamp{Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	w.want(t, bearer(old), true, "")
	for _, last := range w.ledger.spent {
		if want := t0.Add(time.Minute); !last.Equal(want) {
			t.Errorf("remembered until %s, want %s", last, want)
		}
	}
	changed := t0.Add(5 * time.Minute)
	w.at(changed)
	clear(w.ledger.spent) // the ledger purged it
	w.change("demo-api-key", func(r *onetime.Record) {
		r.Organization.OneTime.ClockWindow, r.Organization.UpdatedAt = 15*time.Minute, changed
	})
	w.want(t, bearer(old), true, keystile.ReasonClockSkew)
	slow, err := s.Header(sign.Stamp{Time: changed})
	if err != nil {
		t.Fatal(err)
	}
	w.at(changed.Add(14 * time.Minute))
	w.want(t, bearer(slow), true, "")
}

func TestANarrowWindowStillRemembersForAMinute(t *testing.T) {
	w := newWorld(t)
	w.change("demo-api-key", func(r *onetime.Record) { r.Organization.OneTime.ClockWindow = 5 * time.Second })
	jwt, err := signer(t, sharedKeys(t)["hs"]).JWT(sign.Stamp{Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	w.want(t, bearer(jwt), true, "")
	for _, last := range w.ledger.spent {
		if want := t0.Add(90 * time.Second); !last.Equal(want) {
			t.Errorf("remembered until %s, want exp and a minute, %s", last, want)
		}
	}
}

func TestAKeyThatEndsIsRefusedFromThenOn(t *testing.T) {
	keys := sharedKeys(t)
	fresh := func(t *testing.T) *keystile.Request {
		text, err := signer(t, keys["hs"]).Header(sign.Stamp{Time: t0})
		if err != nil {
			t.Fatal(err)
		}
		return bearer(text)
	}
	t.Run("revoked a moment ago", func(t *testing.T) {
		w := newWorld(t)
		w.want(t, fresh(t), true, "")
		w.change("demo-api-key", func(r *onetime.Record) { r.Key.RevokedAt = t0 })
		w.want(t, fresh(t), true, keystile.ReasonCredentialRevoked)
	})
	t.Run("expired", func(t *testing.T) {
		w := newWorld(t)
		w.change("demo-api-key", func(r *onetime.Record) { r.Key.ExpiresAt = t0.Add(time.Second) })
		w.want(t, fresh(t), true, "")
		w.at(t0.Add(time.Second))
		w.want(t, fresh(t), true, keystile.ReasonCredentialExpired)
	})
	t.Run("revoked between signature and claim", func(t *testing.T) {
		w := newWorld(t)
		r := fresh(t)
		found, rejection := credential.Find(r, route)
		if rejection != nil {
			t.Fatal(rejection)
		}
		presented, err := w.kind.Parse(r, found)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.kind.Verify(context.Background(), presented); err != nil {
			t.Fatal(err)
		}
		w.change("demo-api-key", func(r *onetime.Record) { r.Key.RevokedAt = t0 })
		if reason := reasonOf(w.kind.Claim(context.Background(), presented)); reason != keystile.ReasonCredentialRevoked {
			t.Errorf("got %q", reason)
		}
	})
}

func TestAKeyMadeAMomentAgoIsGoodAtOnce(t *testing.T) {
	w := newWorld(t)
	k := testKey{Organization: "org", APIKey: "new-key", Algorithm: "HS256", Secret: "s"}
	text, err := signer(t, k).Header(sign.Stamp{Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	w.want(t, bearer(text), true, keystile.ReasonCredentialUnknown)
	w.add(k)
	w.change("new-key", func(*onetime.Record) {})
	w.want(t, bearer(text), true, "")
}

func TestABadKeyInTheStoreIsRefusedAlone(t *testing.T) {
	w := newWorld(t)
	keys := sharedKeys(t)
	for name, edit := range map[string]func(*onetime.Record){
		"secret sealed for another place": func(r *onetime.Record) { r.Key.SealedSecret = []byte("signing_keys/x/secret:demo-secret") },
		"empty secret":                    func(r *onetime.Record) { r.Key.SealedSecret = []byte(keystile.SigningSecretPlace(r.Key.ID) + ":") },
		"unknown algorithm":               func(r *onetime.Record) { r.Key.Algorithm = "HS512" },
		"no public key":                   func(r *onetime.Record) { r.Key.Algorithm = keystile.RS256 },
	} {
		t.Run(name, func(t *testing.T) {
			w.add(keys["hs"])
			w.change("demo-api-key", edit)
			for key, want := range map[string]keystile.Reason{"hs": keystile.ReasonStoreUnavailable, "ed": ""} {
				text, err := signer(t, keys[key]).Header(sign.Stamp{Time: t0})
				if err != nil {
					t.Fatal(err)
				}
				w.want(t, bearer(text), true, want)
			}
		})
	}
}

func TestTheStoreMustMeanTheVeryKeyThatWasAskedFor(t *testing.T) {
	w := newWorld(t)
	w.mu.Lock()
	w.records["DEMO-API-KEY"] = w.records["demo-api-key"] // a store that ignores case
	w.mu.Unlock()
	k := sharedKeys(t)["hs"]
	k.APIKey = "DEMO-API-KEY"
	text, err := signer(t, k).Header(sign.Stamp{Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	w.want(t, bearer(text), true, keystile.ReasonCredentialUnknown)
}

func TestExplainSeesASpentNonceAndSpendsNone(t *testing.T) {
	w := newWorld(t)
	text, err := signer(t, sharedKeys(t)["hs"]).Header(sign.Stamp{Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	spent := func() keystile.Reason {
		found, rejection := credential.Find(bearer(text), route)
		if rejection != nil {
			t.Fatal(rejection)
		}
		presented, err := w.kind.Parse(bearer(text), found)
		if err != nil {
			t.Fatal(err)
		}
		return reasonOf(w.kind.Spent(context.Background(), presented))
	}
	if got := spent(); got != "" || len(w.ledger.spent) != 0 {
		t.Errorf("before: %q", got)
	}
	w.want(t, bearer(text), true, "")
	if got := spent(); got != keystile.ReasonReplayed {
		t.Errorf("after: %q", got)
	}
}

func TestALedgerThatCannotTellRefuses(t *testing.T) {
	w := newWorld(t)
	w.ledger.err = keystile.ErrUnavailable
	text, err := signer(t, sharedKeys(t)["hs"]).Header(sign.Stamp{Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	w.want(t, bearer(text), true, keystile.ReasonStoreUnavailable)
}

func TestUsesAreReportedOnceInAnInterval(t *testing.T) {
	w := newWorld(t)
	s := signer(t, sharedKeys(t)["hs"])
	for i := range 12 {
		w.at(t0.Add(time.Duration(i) * time.Second))
		text, err := s.Header(sign.Stamp{Time: t0})
		if err != nil {
			t.Fatal(err)
		}
		w.want(t, bearer(text), true, "")
	}
	if len(w.used) != 3 || w.used[0].KeyID != "sk_demo-api-key" {
		t.Errorf("uses %+v", w.used)
	}
}

// A caller that gives up while its key is looked up must not make the key
// unknown to the next one.
func TestACallerThatGivesUpSpoilsNothing(t *testing.T) {
	keys := sharedKeys(t)
	w := newWorld(t)
	text, err := signer(t, keys["hs"]).Header(sign.Stamp{Time: t0})
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var wg sync.WaitGroup
	for i := range 200 {
		w.kind.Apply(keystile.Change{Kind: keystile.ChangeAll})
		found, rejection := credential.Find(bearer(text), route)
		if rejection != nil {
			t.Fatal(rejection)
		}
		presented, err := w.kind.Parse(bearer(text), found)
		if err != nil {
			t.Fatal(err)
		}
		presented.Source = netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		wg.Go(func() {
			if _, err := w.kind.Verify(ended, presented); err != nil && reasonOf(err) != keystile.ReasonStoreUnavailable {
				t.Errorf("gave up: %v", err)
			}
		})
		if _, err := w.kind.Verify(context.Background(), presented); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
	wg.Wait()
}

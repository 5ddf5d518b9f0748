package credentialtest

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"

	keystile "keystile.dev/keystile"
)

// Fixture is one kind with a world around it.
type Fixture struct {
	Kind keystile.Kind
	// Good makes a credential that is accepted, as the classifier would find it.
	Good func(t *testing.T) (keystile.Found, keystile.Principal)
	// Revoke ends a credential that Good made; when it returns the credential is dead.
	Revoke func(t *testing.T, f keystile.Found)
	// DisableOrganization disables the tenant of every credential made so far.
	DisableOrganization func(t *testing.T)
	// BreakStore makes every look-up fail from now on.
	BreakStore func(t *testing.T)
}

// Run runs the suite; open makes a fresh fixture for each test.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Fixture){
		"a good credential names its principal":                 goodIsAccepted,
		"parsing is pure":                                       parseIsPure,
		"every truncation, extension and bit-flip is refused":   mutantsAreRefused,
		"a revoked credential is refused at the next request":   revokedIsRefused,
		"a disabled organisation's credentials are refused":     disabledIsRefused,
		"an unreachable store is no answer, and no allowance":   brokenStoreCannotTell,
		"64 goroutines get the same answer":                     concurrent,
		"an over-long credential is malformed or refused":       overLong,
		"refusals carry a reason and wrap ErrRejected":          reasons,
		"no error or principal shows the credential's material": nothingLeaks,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func request() *keystile.Request {
	return &keystile.Request{Method: "GET", Path: "/", ClientAddr: netip.MustParseAddr("192.0.2.1")}
}

func verify(f Fixture, found keystile.Found) (*keystile.Principal, error) {
	presented, err := f.Kind.Parse(request(), found)
	if err != nil {
		return nil, err
	}
	return f.Kind.Verify(context.Background(), presented)
}

func goodIsAccepted(t *testing.T, f Fixture) {
	found, want := f.Good(t)
	for range 3 {
		p, err := verify(f, found)
		if err != nil {
			t.Fatal(err)
		}
		if p.CredentialID != want.CredentialID || p.OrganizationID != want.OrganizationID || p.Kind != f.Kind.Name() || p.Subject == "" {
			t.Fatalf("got %+v, want %+v", p, want)
		}
	}
}

func parseIsPure(t *testing.T, f Fixture) {
	found, _ := f.Good(t)
	f.BreakStore(t)
	first, err := f.Kind.Parse(request(), found)
	if err != nil {
		t.Fatalf("parsing needed the store: %v", err)
	}
	second, err := f.Kind.Parse(request(), found)
	if err != nil || first.Digest != second.Digest || first.Kind != second.Kind {
		t.Fatalf("two parses differ: %v", err)
	}
}

func mutantsAreRefused(t *testing.T, f Fixture) {
	found, _ := f.Good(t)
	text := found.Value.Reveal()
	for i := range len(text) {
		flipped := []byte(text)
		flipped[i] ^= 1 << (i % 7)
		for _, mutant := range []string{text[:i], text[i+1:], text + text[i:i+1], string(flipped)} {
			if mutant == "" {
				continue
			}
			found.Value = keystile.Secret(mutant)
			if p, err := verify(f, found); err == nil {
				t.Fatalf("a mutant (byte %d) was accepted as %s", i, p.Subject)
			}
		}
	}
}

func revokedIsRefused(t *testing.T, f Fixture) {
	found, _ := f.Good(t)
	if _, err := verify(f, found); err != nil {
		t.Fatal(err)
	}
	f.Revoke(t, found)
	_, err := verify(f, found)
	var rejection *keystile.Rejection
	if !errors.As(err, &rejection) || rejection.Reason != keystile.ReasonCredentialRevoked && rejection.Reason != keystile.ReasonCredentialUnknown {
		t.Fatalf("got %v", err)
	}
}

func disabledIsRefused(t *testing.T, f Fixture) {
	found, _ := f.Good(t)
	if _, err := verify(f, found); err != nil {
		t.Fatal(err)
	}
	f.DisableOrganization(t)
	if _, err := verify(f, found); !errors.Is(err, keystile.ErrRejected) {
		t.Fatalf("got %v, want a rejection", err)
	}
}

func brokenStoreCannotTell(t *testing.T, f Fixture) {
	found, _ := f.Good(t)
	f.BreakStore(t)
	p, err := verify(f, found)
	if err == nil || p != nil || errors.Is(err, keystile.ErrRejected) {
		t.Fatalf("got %v, %v; want no principal and an error that is no rejection", p, err)
	}
}

func concurrent(t *testing.T, f Fixture) {
	found, want := f.Good(t)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if p, err := verify(f, found); err != nil || p.CredentialID != want.CredentialID {
				t.Errorf("got %v, %v", p, err)
			}
		})
	}
	wg.Wait()
}

func overLong(t *testing.T, f Fixture) {
	found, _ := f.Good(t)
	found.Value = keystile.Secret(strings.Repeat(found.Value.Reveal(), 200))
	if _, err := verify(f, found); !errors.Is(err, keystile.ErrMalformed) && !errors.Is(err, keystile.ErrRejected) {
		t.Fatalf("got %v", err)
	}
}

func reasons(t *testing.T, f Fixture) {
	found, _ := f.Good(t)
	found.Value += "x"
	_, err := verify(f, found)
	var rejection *keystile.Rejection
	if errors.Is(err, keystile.ErrMalformed) {
		return
	}
	if !errors.As(err, &rejection) || rejection.Reason == keystile.ReasonNone || !errors.Is(err, keystile.ErrRejected) {
		t.Fatalf("got %v", err)
	}
}

func nothingLeaks(t *testing.T, f Fixture) {
	found, _ := f.Good(t)
	bad := found
	bad.Value += "x"
	_, err := verify(f, bad)
	if err == nil || strings.Contains(err.Error(), found.Value.Reveal()[:8]) {
		t.Fatalf("the error shows the credential: %v", err)
	}
	p, err := verify(f, found)
	if err != nil || strings.Contains(p.Subject+p.CredentialID, found.Value.Reveal()[:8]) {
		t.Fatalf("the principal shows the credential: %+v %v", p, err)
	}
}

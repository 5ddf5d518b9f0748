package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
)

func TestTheLagOfARevocationIsMeasuredAndToldInReadyzAndMetrics(t *testing.T) {
	r := startServer(t, siteRoutes, simpleWorld)
	eventually(t, func() error {
		if _, body := r.call("GET", "/readyz", http.Header{}, ""); !strings.Contains(body, `"elsewhere_at_most":"1s","elsewhere_measured":"`) {
			return errors.New(body)
		}
		return nil
	})
	_, body := r.call("GET", "/metrics", http.Header{}, "")
	if !strings.Contains(body, "keystile_revocation_lag_seconds_count 1\n") || !strings.Contains(body, "keystile_revocation_waiting_seconds 0\n") {
		t.Errorf("metrics: %s", body)
	}
}

func TestACanaryThatIsUnderWayIsWaitedForAndNoOtherKeyIsTakenForIt(t *testing.T) {
	var seen []float64
	l := &lag{canary: "#canary.1", observe: func(seconds float64) { seen = append(seen, seconds) }}
	if !l.begin() || l.begin() {
		t.Error("two at once")
	}
	l.note(keystile.Change{Kind: keystile.ChangeKey, ID: "#canary.2"})
	l.note(keystile.Change{Kind: keystile.ChangeSigningKey, ID: "#canary.1"})
	if len(seen) != 0 || l.waiting() <= 0 {
		t.Errorf("seen %v", seen)
	}
	l.note(keystile.Change{Kind: keystile.ChangeKey, ID: "#canary.1"})
	l.committed() // the feed was faster than the answer
	if _, ok := l.last(); !ok || len(seen) != 1 || l.waiting() != 0 {
		t.Errorf("seen %v", seen)
	}
	l.begin()
	l.note(keystile.Change{Kind: keystile.ChangeAll})
	if !l.begin() || len(seen) != 1 {
		t.Error("everything was dropped, and the canary is still waited for")
	}
}

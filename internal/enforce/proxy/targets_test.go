package proxy

import (
	"fmt"
	"log/slog"
	"testing"
	"time"
)

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newTargets() (*targets, *clock) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	return &targets{now: c.now, log: slog.New(slog.DiscardHandler)}, c
}

func pickFrom(t *testing.T, s *targets, urls []string, tried ...*target) *target {
	t.Helper()
	got, err := s.pick(urls, tried)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestUpstreamURLs(t *testing.T) {
	origins := map[string]string{
		"http://a": "http://a", "http://a:80/": "http://a", "https://A.Example:443/x": "https://a.example", "http://a:443": "http://a:443",
		"http://[::1]:9000/base/": "http://[::1]:9000",
	}
	for raw, origin := range origins {
		got, err := parseTarget(raw)
		if err != nil || got.origin != origin {
			t.Errorf("%s: %+v, %v, want origin %s", raw, got, err, origin)
		}
	}
	for _, raw := range []string{
		"", "a", "/a", "ftp://a", "http://", "http://u@a", "http://u:p@a", "http://a?b", "http://a?", "http://a#b", "http:a", "http://a//b",
		"http://a/b\x00", "http://a:x",
	} {
		if got, err := parseTarget(raw); err == nil {
			t.Errorf("%q was read as %+v", raw, got)
		}
	}
}

func TestAnUpstreamThatCannotBeReachedIsLeftOutForAGrowingTime(t *testing.T) {
	s, c := newTargets()
	urls := []string{"http://a", "http://b"}
	a, err := s.get("http://a")
	if err != nil {
		t.Fatal(err)
	}
	offered := func() bool {
		for range len(urls) {
			if pickFrom(t, s, urls) == a {
				return true
			}
		}
		return false
	}
	s.failed(a)
	if !offered() {
		t.Error("one failure left it out")
	}
	s.failed(a)
	for _, length := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute} {
		c.t = c.t.Add(length - time.Millisecond)
		if offered() {
			t.Fatalf("offered before %s were over", length)
		}
		c.t = c.t.Add(time.Millisecond)
		if !offered() {
			t.Fatalf("not offered after %s", length)
		}
		if offered() {
			t.Fatal("offered to a second request before the first one knew")
		}
		s.failed(a)
	}
	s.succeeded(a)
	if !offered() || a.failures.Load() != 0 {
		t.Error("it is still left out after it was reached")
	}
}

func TestOneUpstreamIsAlwaysTried(t *testing.T) {
	s, c := newTargets()
	urls := []string{"http://a", "http://b"}
	first := pickFrom(t, s, urls)
	second := pickFrom(t, s, urls, first)
	for range 2 {
		s.failed(first)
	}
	c.t = c.t.Add(time.Millisecond)
	for range 2 {
		s.failed(second)
	}
	if got := pickFrom(t, s, urls); got != first {
		t.Error("not the one that was left out longest")
	}
	if _, err := s.pick(urls, []*target{first, second}); err == nil {
		t.Error("an upstream was offered again to the same request")
	}
	alone := []string{"http://a"}
	if pickFrom(t, s, alone) == nil {
		t.Error("the only upstream was not tried")
	}
}

func TestUpstreamsThatReloadsReplacedAreForgottenInTheEnd(t *testing.T) {
	s, _ := newTargets()
	known := map[string]*target{}
	for i := range maxTargets {
		known[fmt.Sprintf("http://old%d", i)] = &target{}
	}
	s.known.Store(&known)
	if _, err := s.get("http://new"); err != nil {
		t.Fatal(err)
	}
	if n := len(*s.known.Load()); n != 1 {
		t.Errorf("%d upstreams are remembered", n)
	}
}

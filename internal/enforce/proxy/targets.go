package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Passive health: after ejectAfter failures to connect in a row an upstream is
// left out for minEjection, twice as long each further time, at most maxEjection.
const (
	ejectAfter  = 2
	minEjection = time.Second
	maxEjection = time.Minute
	// maxTargets bounds what is remembered of upstreams that reloads replaced.
	maxTargets = 10_000
)

// target is one upstream server: where it is and how it has been doing.
type target struct {
	scheme string
	host   string
	// base precedes every path; no slash at its end.
	base string
	// origin is the audience of assertions: scheme://host, the default port left
	// out (RFC 6454, 6.2).
	origin string

	// turn counts the requests of routes whose first upstream this is.
	turn atomic.Int64
	// failures to connect in a row.
	failures atomic.Int32
	// ejectedUntil is when it may be tried again, Unix nanoseconds; 0 is healthy.
	ejectedUntil atomic.Int64
}

// parseTarget reads an absolute http or https URL with nothing but an authority
// and a path: credentials, queries and fragments have no place in an upstream.
func parseTarget(raw string) (*target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("read upstream %q: %w", raw, err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Opaque != "" {
		return nil, fmt.Errorf("upstream %q is not an absolute http or https URL", raw)
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, fmt.Errorf("upstream %q has more than an authority and a path", raw)
	}
	base := strings.TrimRight(u.EscapedPath(), "/")
	if _, ok := forwardPath(base+"/", ""); !ok {
		return nil, fmt.Errorf("the path of upstream %q cannot stand in a request", raw)
	}
	return &target{scheme: u.Scheme, host: strings.ToLower(u.Host), base: base, origin: originOf(u)}, nil
}

// originOf is the origin of an http or https URL in its one spelling (RFC 6454,
// 6.2): an audience is compared byte for byte.
func originOf(u *url.URL) string {
	origin := u.Scheme + "://" + strings.ToLower(u.Host)
	if port := u.Port(); (u.Scheme == "http" && port == "80") || (u.Scheme == "https" && port == "443") {
		origin = strings.TrimSuffix(origin, ":"+port)
	}
	return origin
}

// targets remembers every upstream by its URL, over reloads too, so that a
// reload does not forget who is down. Reading takes no lock.
type targets struct {
	now func() time.Time
	log *slog.Logger

	mu    sync.Mutex
	known atomic.Pointer[map[string]*target]
}

var errNoUpstream = errors.New("the route names no upstream")

// get returns the target of a URL, parsing it when it is first seen.
func (s *targets) get(raw string) (*target, error) {
	if known := s.known.Load(); known != nil {
		if t, ok := (*known)[raw]; ok {
			return t, nil
		}
	}
	return s.add(raw)
}

func (s *targets) add(raw string) (*target, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := map[string]*target{}
	if known := s.known.Load(); known != nil {
		if t, ok := (*known)[raw]; ok {
			return t, nil
		}
		if len(*known) < maxTargets {
			for k, v := range *known {
				next[k] = v
			}
		}
	}
	t, err := parseTarget(raw)
	if err != nil {
		return nil, err
	}
	next[raw] = t
	s.known.Store(&next)
	return t, nil
}

// pick chooses the next upstream of a route, by turn among those that are
// healthy and not in tried. If none is healthy it takes the one that has been
// left out longest: one is always tried. It answers errNoUpstream when all were
// tried.
func (s *targets) pick(urls []string, tried []*target) (*target, error) {
	if len(urls) == 0 {
		return nil, errNoUpstream
	}
	first, err := s.get(urls[0])
	if err != nil {
		return nil, err
	}
	if len(urls) == 1 {
		if len(tried) > 0 {
			return nil, errNoUpstream
		}
		return first, nil
	}
	start := int(first.turn.Add(1) % int64(len(urls)))
	now := s.now().UnixNano()
	var fallback *target
	for i := range urls {
		t, err := s.get(urls[(start+i)%len(urls)])
		if err != nil {
			return nil, err
		}
		if contains(tried, t) {
			continue
		}
		if t.admits(now) {
			return t, nil
		}
		if fallback == nil || t.ejectedUntil.Load() < fallback.ejectedUntil.Load() {
			fallback = t
		}
	}
	if fallback == nil {
		return nil, errNoUpstream
	}
	return fallback, nil
}

func contains(list []*target, t *target) bool {
	for _, other := range list {
		if other == t {
			return true
		}
	}
	return false
}

// admits says whether the target may be tried. When an ejection is over, one
// request goes ahead to see; the others wait for its outcome.
func (t *target) admits(now int64) bool {
	until := t.ejectedUntil.Load()
	if until == 0 {
		return true
	}
	if now < until {
		return false
	}
	return t.ejectedUntil.CompareAndSwap(until, now+int64(DefaultDialTimeout))
}

// succeeded notes that the target could be reached.
func (s *targets) succeeded(t *target) {
	if t.failures.Load() == 0 {
		return
	}
	t.failures.Store(0)
	if t.ejectedUntil.Swap(0) != 0 {
		s.log.Info("upstream can be reached again", "upstream", t.origin)
	}
}

// failed notes that the target could not be reached.
func (s *targets) failed(t *target) {
	n := t.failures.Add(1)
	if n < ejectAfter {
		return
	}
	length := minEjection << min(n-ejectAfter, 10)
	length = min(length, maxEjection)
	before := t.ejectedUntil.Swap(s.now().Add(length).UnixNano())
	if before == 0 {
		s.log.Warn("upstream cannot be reached and is left out", "upstream", t.origin, "for", length)
	}
}

package oidc

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// What a caller who proved nothing may have written, by network: so that one of them
// cannot fill a table.
const (
	// maxPending is how many devices and pushed requests of public clients one network may
	// begin in pendingWindow, which is how long they are kept.
	maxPending    = 300
	pendingWindow = 10 * time.Minute
	maxNetworks   = 10_000
)

// quota counts what networks begin in a window.
type quota struct {
	limit  int
	window time.Duration

	mu     sync.Mutex
	since  time.Time
	counts map[netip.Prefix]int
}

// more says whether a network may begin one more.
func (q *quota) more(addr netip.Addr, now time.Time) bool {
	bits := 24
	if addr = addr.Unmap(); addr.Is6() {
		bits = 48
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.counts == nil || now.Sub(q.since) >= q.window || len(q.counts) >= maxNetworks {
		q.since, q.counts = now, map[netip.Prefix]int{}
	}
	q.counts[network]++
	return q.counts[network] <= q.limit
}

// crowded is the answer where there is no more room.
func crowded() *Error {
	return &Error{Code: "temporarily_unavailable", Description: "Too many of these were asked for. Try again later.", status: http.StatusTooManyRequests}
}

// room refuses a caller whose network has begun too much.
func (s *Server) room(r *http.Request, q *quota, now time.Time) error {
	addr, err := s.o.ClientAddr(r)
	if err != nil {
		return badRequest("The caller's address cannot be told.")
	}
	if !q.more(addr, now) {
		return crowded()
	}
	return nil
}

// roomFor refuses a public client whose network has begun too many devices and pushed
// requests: anybody may call themselves one.
func (s *Server) roomFor(r *request, c *client) error {
	if !c.Client.Public {
		return nil
	}
	return s.room(r.http, &s.pending, s.now())
}

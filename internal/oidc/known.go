package oidc

import (
	"slices"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
)

// maxKnown bounds the clients that are remembered: about 2 KB each.
const maxKnown = 4096

// known remembers clients that may work, with their secrets, so that a request of one
// need not look it up. Changes that the feed tells of take them out, and nothing is
// remembered that was read before a change. Who is given something has to be as the
// store's revision says, too: the feed may be behind. What memory would refuse is always
// looked up: it can never refuse what was granted.
type known struct {
	// fresh says whether changes are still heard of.
	fresh func(time.Time) bool

	mu sync.RWMutex
	// changes counts those that may concern a client.
	changes int64
	clients map[string]*client
}

func newKnown(fresh func(time.Time) bool) *known {
	return &known{fresh: fresh, clients: map[string]*client{}}
}

// find is a remembered client; nil: it has to be looked up. Requests share it, so nobody
// changes anything in it.
func (k *known) find(id string, now time.Time) *client {
	if !k.fresh(now) {
		return nil
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.clients[id]
}

// begin is what keep has to be given: it is called before a client is read.
func (k *known) begin() int64 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.changes
}

// keep remembers a client that was read after begin, unless anything changed meanwhile.
func (k *known) keep(c *client, begun int64) {
	shared := *c
	shared.remembered = true
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changes != begun {
		return
	}
	if len(k.clients) >= maxKnown {
		clear(k.clients)
	}
	k.clients[c.id()] = &shared
}

// apply forgets the clients that a change concerns.
func (k *known) apply(change keystile.Change) {
	var hangs func(*client) bool
	switch change.Kind {
	case keystile.ChangeApplication:
		hangs = func(c *client) bool { return c.Client.ApplicationID == change.ID || c.id() == change.ID }
	case keystile.ChangeOrganization:
		hangs = func(c *client) bool { return c.Application.OrganizationID == change.ID }
	case keystile.ChangeAll:
		hangs = func(*client) bool { return true }
	default:
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes++
	for id, c := range k.clients {
		if change.ID == "" || hangs(c) {
			delete(k.clients, id)
		}
	}
}

// holds says whether one of the secrets, which are a client's, has one of the digests
// and has not ended.
func holds(secrets []keystile.OAuthSecret, digests [][32]byte, now time.Time) bool {
	return slices.ContainsFunc(secrets, func(s keystile.OAuthSecret) bool {
		return s.RevokedAt.IsZero() && (s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt)) && slices.Contains(digests, s.Digest)
	})
}

// Apply forgets what a change made stale. When it returns, no request that begins
// afterwards is answered from before the change.
func (s *Server) Apply(change keystile.Change) { s.known.apply(change) }

// Close waits for what is being written; later requests for tokens of clients' own are refused.
func (s *Server) Close() { s.tokens.Close() }

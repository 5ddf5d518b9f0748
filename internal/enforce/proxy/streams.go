package proxy

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	keystile "keystile.dev/keystile"
)

// Defaults of StreamsOptions.
const (
	// DefaultGrace is how long an ordinary exchange may go on after its credential
	// changed.
	DefaultGrace = 5 * time.Second
	// DefaultMaxOpen exchanges may be in flight at once.
	DefaultMaxOpen = 100_000

	streamShards  = 32
	changesMemory = 256
)

// Why an exchange was ended before its time.
var (
	errTimeout       = errors.New("the upstream did not begin its answer in time")
	errClientStalled = errors.New("the client stopped sending its body")
	errExpired       = errors.New("the credential expired")
	errChanged       = errors.New("the credential changed or was revoked")
	errShutdown      = errors.New("the server is shutting down")
	errFull          = errors.New("the server takes no more requests")
)

// StreamsOptions configure a Streams. The zero value is ready to use.
type StreamsOptions struct {
	// Grace is how long an ordinary request and its answer may still take after
	// the credential changed; WebSockets and event streams end at once.
	// 0: DefaultGrace.
	Grace time.Duration
	// MaxOpen exchanges may be in flight at once; further requests are answered
	// 503. Each holds about 1 KiB here besides its connections. 0: DefaultMaxOpen.
	MaxOpen int
}

// Streams knows every exchange in flight by the credential it was allowed with,
// so that a revocation ends what was opened before it.
//
// A change of a credential ends its WebSockets and event streams at once, and
// everything else of it after a grace. The change need not be a revocation: the
// client connects again and the gate judges it as it now is.
//
// It is safe for concurrent use.
type Streams struct {
	grace time.Duration
	max   int64
	seed  maphash.Seed

	open   atomic.Int64
	state  atomic.Int32
	shards [streamShards]streamShard

	// drops counts changes; recent holds the last ones, for exchanges whose
	// decision was being made while the change came.
	drops    atomic.Uint64
	recentMu sync.Mutex
	recent   [changesMemory]keystile.Change

	waitersMu sync.Mutex
	waiters   []chan struct{}
}

// States of a Streams.
const (
	streamsOpen int32 = iota
	streamsDraining
	streamsClosed
)

type streamShard struct {
	mu    sync.Mutex
	heads map[string]*link
}

// link is an exchange's place in the registry.
type link struct {
	owner        ender
	credential   string
	kind         keystile.KindName
	organization string
	user, role   string // a person's
	application  string // a partner's
	maker        string // the partner itself
	grant        string // of an OAuth token
	next, prev   *link
}

// ender is what the registry may do to an exchange. Both calls come under a lock
// of the registry: they must not call back and must not block.
type ender interface {
	// changed says that the credential is not what it was: a stream ends now, the
	// rest after grace.
	changed(grace time.Duration)
	// end ends the exchange now; if streamsOnly, only a WebSocket or event stream.
	end(cause error, streamsOnly bool)
}

// NewStreams makes a Streams.
func NewStreams(o StreamsOptions) *Streams {
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.MaxOpen == 0 {
		o.MaxOpen = DefaultMaxOpen
	}
	s := &Streams{grace: o.Grace, max: int64(o.MaxOpen), seed: maphash.MakeSeed()}
	for i := range s.shards {
		s.shards[i].heads = make(map[string]*link)
	}
	return s
}

// Open is how many exchanges are in flight.
func (s *Streams) Open() int { return int(s.open.Load()) }

// Drop ends what the change makes stale. It is meant to be called for every
// entry of the feed; changes that no credential hangs on are ignored.
func (s *Streams) Drop(c keystile.Change) {
	switch c.Kind {
	case keystile.ChangeKey, keystile.ChangeSigningKey, keystile.ChangeOrganization, keystile.ChangeAll,
		keystile.ChangeUser, keystile.ChangeSession, keystile.ChangeRole, keystile.ChangeApplication, keystile.ChangeAuthorization,
		keystile.ChangeOAuthGrant, keystile.ChangeOAuthToken:
	case keystile.ChangeAdminToken, keystile.ChangeReload, keystile.ChangeProvider, keystile.ChangeTokenKey:
		return
	}
	s.recentMu.Lock()
	// The change is written before it is counted: whoever sees the count finds it.
	s.recent[s.drops.Load()%changesMemory] = c
	s.drops.Add(1)
	s.recentMu.Unlock()
	if c.Kind == keystile.ChangeSigningKey || c.Kind == keystile.ChangeSession {
		s.shard(c.ID).each(c.ID, func(l *link) { l.dropIf(c, s.grace) })
		return
	}
	s.all(func(l *link) { l.dropIf(c, s.grace) })
}

// Drain ends WebSockets and event streams, now and as they come; other
// exchanges go on. It is for the begin of a shutdown, before
// http.Server.Shutdown waits for what is left.
func (s *Streams) Drain() {
	s.state.CompareAndSwap(streamsOpen, streamsDraining)
	s.all(func(l *link) { l.owner.end(errShutdown, true) })
}

// CloseAll ends every exchange and refuses further ones. It is for the end of a
// shutdown's drain time; http.Server.Shutdown does not know of WebSockets.
func (s *Streams) CloseAll() {
	s.state.Store(streamsClosed)
	s.all(func(l *link) { l.owner.end(errShutdown, false) })
}

// Wait blocks until no exchange is in flight, or returns the context's error.
func (s *Streams) Wait(ctx context.Context) error {
	done := make(chan struct{})
	s.waitersMu.Lock()
	s.waiters = append(s.waiters, done)
	s.waitersMu.Unlock()
	if s.open.Load() == 0 {
		s.wake()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Streams) wake() {
	s.waitersMu.Lock()
	defer s.waitersMu.Unlock()
	for _, done := range s.waiters {
		close(done)
	}
	s.waiters = nil
}

// draining says whether streams must not begin any more.
func (s *Streams) draining() bool { return s.state.Load() != streamsOpen }

// mark is taken before the gate is asked and given to join afterwards.
func (s *Streams) mark() uint64 { return s.drops.Load() }

// join enters an exchange. It answers false if the server is closing or full.
// Changes that came since mark, while the gate was deciding, reach the exchange
// before join returns.
func (s *Streams) join(l *link, mark uint64) bool {
	if s.open.Add(1) > s.max {
		s.left()
		return false
	}
	sh := s.shard(l.credential)
	sh.mu.Lock()
	if head := sh.heads[l.credential]; head != nil {
		l.next, head.prev = head, l
	}
	sh.heads[l.credential] = l
	sh.mu.Unlock()
	// Entered first, looked second: a change or a closing that is not seen here
	// sees the link.
	if s.state.Load() == streamsClosed {
		s.leave(l)
		return false
	}
	if s.drops.Load() != mark {
		s.catchUp(l, mark)
	}
	return true
}

// catchUp gives the link every change since mark. More of them than are
// remembered count as one that matches.
func (s *Streams) catchUp(l *link, mark uint64) {
	s.recentMu.Lock()
	defer s.recentMu.Unlock()
	now := s.drops.Load()
	if now-mark > changesMemory {
		l.dropIf(keystile.Change{Kind: keystile.ChangeAll}, s.grace)
		return
	}
	for ; mark < now; mark++ {
		l.dropIf(s.recent[mark%changesMemory], s.grace)
	}
}

// leave takes an exchange out. No call reaches its owner afterwards.
func (s *Streams) leave(l *link) {
	sh := s.shard(l.credential)
	sh.mu.Lock()
	switch {
	case l.prev != nil:
		l.prev.next = l.next
	case l.next != nil:
		sh.heads[l.credential] = l.next
	default:
		delete(sh.heads, l.credential)
	}
	if l.next != nil {
		l.next.prev = l.prev
	}
	l.next, l.prev = nil, nil
	sh.mu.Unlock()
	s.left()
}

func (s *Streams) left() {
	if s.open.Add(-1) == 0 {
		s.wake()
	}
}

func (s *Streams) shard(credential string) *streamShard {
	return &s.shards[maphash.String(s.seed, credential)%streamShards]
}

func (s *Streams) all(visit func(*link)) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for _, head := range sh.heads {
			for l := head; l != nil; l = l.next {
				visit(l)
			}
		}
		sh.mu.Unlock()
	}
}

func (sh *streamShard) each(credential string, visit func(*link)) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for l := sh.heads[credential]; l != nil; l = l.next {
		visit(l)
	}
}

// dropIf tells the owner if the change concerns it. An exchange without a
// credential (an observed one) hangs on none.
func (l *link) dropIf(c keystile.Change, grace time.Duration) {
	if l.credential == "" {
		return
	}
	byMaker := c.Kind == keystile.ChangeOrganization && l.maker == c.ID
	if c.Kind == keystile.ChangeAll || c.ID != "" && (byMaker || l.hangsOn(c.Kind) == c.ID) {
		l.owner.changed(grace)
	}
}

// credentialOf is the kind of credential that a change names, of those that name one.
var credentialOf = map[keystile.ChangeKind]keystile.KindName{
	keystile.ChangeKey: keystile.KindAPIKey, keystile.ChangeSigningKey: keystile.KindOneTime, keystile.ChangeSession: keystile.KindSessionJWT,
	keystile.ChangeOAuthToken: keystile.KindOAuthToken,
}

// hangsOn is the thing of a kind that the exchange hangs on, "" if it hangs on none.
func (l *link) hangsOn(kind keystile.ChangeKind) string {
	switch kind {
	case keystile.ChangeOrganization:
		return l.organization
	case keystile.ChangeUser:
		return l.user
	case keystile.ChangeRole:
		return l.role
	case keystile.ChangeApplication:
		return l.application
	case keystile.ChangeOAuthGrant:
		return l.grant
	case keystile.ChangeAuthorization: // named as the store names it
		if l.application == "" {
			return ""
		}
		return l.application + "/" + l.organization
	default:
		if l.kind == credentialOf[kind] {
			return l.credential
		}
		return ""
	}
}

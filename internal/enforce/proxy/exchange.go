package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

// lingering is how long a client whose body was not read to its end may go on
// sending before its connection is closed. Closing at once would reset the
// connection, and the answer could be lost with it.
const lingering = time.Second

// exchange is one allowed request and its answer, in flight. It is a
// httputil.ReverseProxy of its own, so that its hooks know their request without
// a closure or a context value for each; those that can be are used again.
type exchange struct {
	h     *Handler
	proxy httputil.ReverseProxy
	timer *time.Timer
	link  link

	w        http.ResponseWriter
	control  *http.ResponseController
	in       *http.Request // the caller's, with the exchange's context
	request  *keystile.Request
	decision keystile.Decision
	peer     peer
	path     string // what follows an upstream's base path
	mark     uint64 // of Streams, from before the decision
	body     *requestBody
	target   *target
	tried    [maxAttempts]*target
	attempts int
	upgraded bool
	// observing: the route only observes. Whatever the decision was, the upstream
	// must not rely on it.
	observing bool
	// lateTrailers: the answer may end with trailers that were not announced.
	lateTrailers bool

	mu sync.Mutex
	// active is false before the exchange begins and once it is over; the timer
	// and the registry then no longer touch it.
	active bool
	ended  bool // ended before its time
	cancel context.CancelCauseFunc
	// stream: a WebSocket, another upgraded connection, or an event stream.
	stream bool
	// dropped: the credential changed after the decision.
	dropped bool
	// begun: the header section of the answer is on its way.
	begun bool
	// Two deadlines run at once: for whoever has to move next, and for the
	// credential. The zero time is none.
	waitUntil, endAt    time.Time
	waitCause, endCause error
	armed               bool
	dueAt               time.Time
	dueCause            error
}

func newExchange(h *Handler) *exchange {
	x := &exchange{h: h}
	x.proxy = httputil.ReverseProxy{
		Rewrite:        x.rewrite,
		Transport:      attempts{x},
		ModifyResponse: x.answer,
		ErrorHandler:   x.fail,
		BufferPool:     &h.buffers,
		ErrorLog:       h.errorLog,
	}
	x.link.owner = x
	x.timer = time.AfterFunc(time.Hour, x.due)
	x.timer.Stop()
	return x
}

// begin takes a request. It answers false if the server takes no more.
func (x *exchange) begin(w http.ResponseWriter, hr *http.Request, r *keystile.Request, d *keystile.Decision) bool {
	ctx, cancel := context.WithCancelCause(hr.Context())
	x.w, x.request, x.decision = w, r, *d
	x.control = http.NewResponseController(w)
	x.in = hr.WithContext(ctx)
	now := x.h.now()
	x.observing = d.Observed || now.Before(d.Route.ObserveUntil)
	x.mu.Lock()
	x.active, x.cancel = true, cancel
	x.waitUntil, x.waitCause = now.Add(x.timeout()), errTimeout
	if p := d.Principal; p != nil && !x.observing {
		x.link.credential, x.link.kind, x.link.organization = p.CredentialID, p.Kind, p.OrganizationID
		x.link.user, x.link.role, x.link.application = p.UserID, p.Role, p.ApplicationID
		x.link.maker, x.link.grant = p.MakerID, p.GrantID
		if !p.ExpiresAt.IsZero() {
			x.endAt, x.endCause = p.ExpiresAt, errExpired
		}
	}
	x.arm(now)
	x.mu.Unlock()
	return x.h.streams.join(&x.link, x.mark)
}

// finish ends the exchange and says whether x may be used again: only if nothing
// can still hold on to it. A body may still be being read by the upstream's
// client; a timer that went off may still be waiting for the lock.
func (x *exchange) finish(joined, clean bool) bool {
	x.mu.Lock()
	x.active = false
	idle := x.timer.Stop() || !x.armed
	x.mu.Unlock()
	if joined {
		x.h.streams.leave(&x.link)
	}
	x.cancel(nil)
	if x.body != nil && !x.upgraded && !x.body.ended() && x.in.ProtoMajor == 1 {
		x.setDeadline(x.control.SetReadDeadline, x.h.now().Add(lingering))
	}
	return clean && idle && x.body == nil && !x.upgraded
}

// reset makes x ready for another request.
func (x *exchange) reset() {
	*x = exchange{h: x.h, proxy: x.proxy, timer: x.timer, link: link{owner: x}}
}

func (x *exchange) timeout() time.Duration {
	if t := x.decision.Route.Timeout; t > 0 {
		return t
	}
	return x.h.timeout
}

// arm sets the timer to the earlier deadline. The lock is held.
func (x *exchange) arm(now time.Time) {
	at, cause := x.waitUntil, x.waitCause
	if !x.endAt.IsZero() && (at.IsZero() || x.endAt.Before(at)) {
		at, cause = x.endAt, x.endCause
	}
	x.dueAt, x.dueCause = at, cause
	if at.IsZero() {
		if x.timer.Stop() {
			x.armed = false
		}
		return
	}
	x.timer.Reset(at.Sub(now))
	x.armed = true
}

// due runs when the timer goes off.
func (x *exchange) due() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.active || x.dueAt.IsZero() {
		x.armed = false
		return
	}
	if now := x.h.now(); now.Before(x.dueAt) {
		x.arm(now) // it was set anew while it went off
		return
	}
	x.armed = false
	x.abort(x.dueCause)
}

// abort ends the exchange before its time. The lock is held.
func (x *exchange) abort(cause error) {
	if x.ended {
		return
	}
	x.ended = true
	x.cancel(cause)
	// A body being read, or a client that no longer reads, would hold the handler
	// in spite of the context.
	past := time.Unix(1, 0)
	if x.in.Body != nil && x.in.Body != http.NoBody {
		x.setDeadline(x.control.SetReadDeadline, past)
	}
	if x.begun {
		x.setDeadline(x.control.SetWriteDeadline, past)
	}
}

func (x *exchange) setDeadline(set func(time.Time) error, t time.Time) {
	if err := set(t); err != nil && !errors.Is(err, http.ErrNotSupported) {
		x.h.log.LogAttrs(x.in.Context(), slog.LevelDebug, "a connection could not be given a deadline",
			slog.String("request_id", x.request.ID), slog.Any("error", err))
	}
}

// changed implements ender.
func (x *exchange) changed(grace time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.active {
		return
	}
	x.dropped = true
	if x.stream {
		x.abort(errChanged)
		return
	}
	now := x.h.now()
	if last := now.Add(grace); x.endAt.IsZero() || last.Before(x.endAt) {
		x.endAt, x.endCause = last, errChanged
		x.arm(now)
	}
}

// end implements ender.
func (x *exchange) end(cause error, streamsOnly bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.active && (x.stream || !streamsOnly) {
		x.abort(cause)
	}
}

// waitForClient says that the next bytes are the client's to send.
func (x *exchange) waitForClient() { x.wait(x.h.clientTimeout, errClientStalled) }

// waitForUpstream says that it is the upstream's turn: to take what it was given,
// and to begin its answer.
func (x *exchange) waitForUpstream() { x.wait(x.timeout(), errTimeout) }

func (x *exchange) wait(length time.Duration, cause error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	// Once the answer has begun both sides may take their time: a long silence in
	// either direction is what streams are made of.
	if !x.active || x.begun {
		return
	}
	now := x.h.now()
	x.waitUntil, x.waitCause = now.Add(length), cause
	x.arm(now)
}

// answering notes that the answer begins. It refuses to begin a stream that
// would have to be ended at once.
func (x *exchange) answering(stream bool) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return context.Cause(x.in.Context())
	}
	x.stream = stream
	switch {
	case stream && x.dropped:
		return errChanged
	case stream && x.h.streams.draining():
		return errShutdown
	}
	x.begun = true
	x.waitUntil = time.Time{}
	x.arm(x.h.now())
	return nil
}

// rewrite makes of the caller's request the one that is forwarded, all but what
// depends on the upstream it goes to.
func (x *exchange) rewrite(pr *httputil.ProxyRequest) {
	out := pr.Out
	out.URL.RawQuery = x.request.RawQuery
	out.URL.ForceQuery = x.in.URL.ForceQuery
	setForwarding(out.Header, x.in.Header, x.request, x.peer.text, x.peer.trusted)
	setVia(out.Header, x.in.ProtoMajor)
	enforce.StripCredential(out, x.decision.Route)
	enforce.StripIdentity(out.Header)
	told := &x.decision
	if x.observing && !told.Observed {
		nobody := x.decision
		nobody.Observed = true
		told = &nobody
	}
	enforce.SetIdentity(out.Header, told, x.request.ID, "", false)
	if out.Body == nil {
		out.Trailer = nil
		return
	}
	out.Trailer = keepTrailers(out.Trailer, x.decision.Route)
	x.body = &requestBody{src: out.Body, x: x, left: x.maxBody(), announced: x.in.Trailer, sent: out.Trailer}
	out.Body = x.body
}

func (x *exchange) maxBody() int64 { return x.h.bodyLimit(x.decision.Route) }

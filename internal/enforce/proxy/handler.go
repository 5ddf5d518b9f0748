package proxy

import (
	"log"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

// Defaults of Options.
const (
	DefaultTimeout       = 30 * time.Second
	DefaultClientTimeout = 60 * time.Second
	DefaultMaxBody       = 10 << 20
)

// Options configure a Handler.
type Options struct {
	// Gate decides; required.
	Gate enforce.Gate
	// Asserter mints Keystile-Assertion. Without one every request is answered 503:
	// an upstream that relies on the assertion must never be without it.
	Asserter enforce.Asserter
	// Trust lists the proxies whose X-Forwarded-* is believed.
	Trust enforce.Trust
	// Preflight finds the route that answers a CORS preflight; nil: none is answered.
	Preflight func(*keystile.Request) (*keystile.Route, bool)
	// Streams is told of every exchange; nil: one of its own.
	Streams *Streams
	// Upstream carries requests to upstreams; nil: a Transport with its defaults.
	Upstream Upstream
	// Failed is told of every exchange that ended in a status of the gateway's own;
	// nil: nobody is. It must not block.
	Failed func(route *keystile.Route, status int)
	// Logger takes failures; nil: they are dropped.
	Logger *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// DefaultTimeout is for routes without one: how long an upstream may take to
	// take the request and begin its answer; 0: 30 s.
	DefaultTimeout time.Duration
	// ClientTimeout is how long a client may be silent while its body is awaited
	// and no answer has begun; 0: 60 s.
	ClientTimeout time.Duration
	// DefaultMaxBody is for routes without a limit, in bytes; 0: 10 MiB.
	DefaultMaxBody int64
}

// Handler is the gateway. It is safe for concurrent use.
type Handler struct {
	gate          enforce.Gate
	asserter      enforce.Asserter
	trust         enforce.Trust
	preflight     func(*keystile.Request) (*keystile.Route, bool)
	streams       *Streams
	upstream      Upstream
	failed        func(*keystile.Route, int)
	log           *slog.Logger
	errorLog      *log.Logger
	now           func() time.Time
	timeout       time.Duration
	clientTimeout time.Duration
	maxBody       int64

	targets   targets
	buffers   buffers
	exchanges sync.Pool
}

// New makes a Handler.
func New(o Options) *Handler {
	h := &Handler{
		gate: o.Gate, asserter: o.Asserter, trust: o.Trust, preflight: o.Preflight,
		streams: o.Streams, upstream: o.Upstream, failed: o.Failed, log: o.Logger, now: o.Now,
		timeout: o.DefaultTimeout, clientTimeout: o.ClientTimeout, maxBody: o.DefaultMaxBody,
	}
	if h.streams == nil {
		h.streams = NewStreams(StreamsOptions{})
	}
	if h.upstream == nil {
		h.upstream = NewTransport(TransportOptions{})
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.now == nil {
		h.now = time.Now
	}
	if h.timeout == 0 {
		h.timeout = DefaultTimeout
	}
	if h.clientTimeout == 0 {
		h.clientTimeout = DefaultClientTimeout
	}
	if h.maxBody == 0 {
		h.maxBody = DefaultMaxBody
	}
	h.errorLog = slog.NewLogLogger(h.log.Handler(), slog.LevelWarn)
	h.targets.now, h.targets.log = h.now, h.log
	return h
}

// peer is who is at the other end of the connection.
type peer struct {
	text    string
	trusted bool
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	var from peer
	if addr, err := enforce.Peer(hr.RemoteAddr); err == nil {
		from = peer{addr.String(), h.trust.Contains(addr)}
	}
	id := enforce.RequestID(hr, from.trusted)
	cleanInbound(hr)
	r, err := h.read(hr, id)
	if err != nil {
		d := enforce.Refuse(err)
		enforce.WriteRefusal(w, hr, &d, id)
		return
	}
	if h.answerPreflight(w, r) {
		return
	}
	mark := h.streams.mark()
	d := enforce.Ask(hr.Context(), h.gate, r, h.log)
	if !d.Allowed || d.Route == nil {
		h.refuse(w, hr, &d, id)
		return
	}
	path, ok := forwardPath(r.Path, d.Route.StripPrefix)
	if !ok {
		h.refuse(w, hr, &keystile.Decision{
			Reason: keystile.ReasonRequestInvalid, Public: "the path cannot be forwarded", Route: d.Route,
		}, id)
		return
	}
	if limit := h.bodyLimit(d.Route); hr.ContentLength > limit {
		h.refuse(w, hr, &keystile.Decision{
			Reason: keystile.ReasonBodyTooLarge, Route: d.Route, Limit: d.Limit,
			Public: "the body is larger than " + strconv.FormatInt(limit, 10) + " bytes",
		}, id)
		return
	}
	if runsInCircle(hr.Header) {
		h.log.Warn("a request runs in a circle of gateways", "request_id", id, "route", d.Route.ID)
		enforce.WriteUpstreamError(w, hr, d.Route, http.StatusLoopDetected, id)
		return
	}
	x := h.take()
	x.peer, x.path, x.mark = from, path, mark
	h.forward(x, w, hr, r, &d)
}

// take returns an exchange that holds nothing.
func (h *Handler) take() *exchange {
	if x, ok := h.exchanges.Get().(*exchange); ok {
		return x
	}
	return newExchange(h)
}

// forward runs one exchange from its begin to its end.
func (h *Handler) forward(x *exchange, w http.ResponseWriter, hr *http.Request, r *keystile.Request, d *keystile.Decision) {
	joined, clean := x.begin(w, hr, r, d), false
	defer func() {
		if x.finish(joined, clean) {
			x.reset()
			h.exchanges.Put(x)
		}
	}()
	if !joined {
		x.fail(w, x.in, errFull)
		clean = true
		return
	}
	x.proxy.ServeHTTP(w, x.in)
	if x.lateTrailers {
		cleanTrailers(w.Header(), d.Route.SameOrigin)
	}
	clean = true
}

// read makes the Request and refuses what the gateway could not forward as it
// was judged.
func (h *Handler) read(hr *http.Request, id string) (*keystile.Request, error) {
	r, err := enforce.NewRequest(hr, keystile.PointGateway, h.trust, id)
	if err != nil {
		return nil, err
	}
	if hr.Method == http.MethodTrace {
		// It would show the caller what the gateway adds (RFC 9110, 9.3.8).
		return nil, &keystile.Rejection{
			Reason: keystile.ReasonRequestInvalid, Cause: "TRACE", Public: "TRACE is not served",
		}
	}
	return r, nil
}

// refuse writes a refusal, readable to scripts of other origins where the route
// lets them read answers.
func (h *Handler) refuse(w http.ResponseWriter, hr *http.Request, d *keystile.Decision, id string) {
	setCORS(w.Header(), d.Route, hr.Header.Get("Origin"))
	enforce.WriteRefusal(w, hr, d, id)
}

func (h *Handler) bodyLimit(route *keystile.Route) int64 {
	if route.MaxBody > 0 {
		return route.MaxBody
	}
	return h.maxBody
}

package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/textproto"

	"keystile.dev/keystile/internal/enforce"
)

// maxAttempts is how many upstreams one request is offered to.
const maxAttempts = 3

// errAssertion: the upstream could not be told who asks.
var errAssertion = errors.New("no assertion")

// attempts sends an exchange's request to one upstream after the other until one
// takes it. It is the http.RoundTripper of the exchange's ReverseProxy.
type attempts struct{ x *exchange }

// RoundTrip implements http.RoundTripper.
func (a attempts) RoundTrip(out *http.Request) (*http.Response, error) {
	x := a.x
	cleanInterim(out, x.decision.Route.SameOrigin)
	for {
		t, err := x.h.targets.pick(x.decision.Route.Upstreams, x.tried[:x.attempts])
		if err != nil {
			return nil, err
		}
		x.tried[x.attempts] = t
		x.attempts++
		x.target = t
		if err := x.aim(out, t); err != nil {
			return nil, err
		}
		res, err := x.h.upstream.RoundTrip(out)
		if err == nil {
			x.h.targets.succeeded(t)
			return res, nil
		}
		if !x.mayTryAgain(out, err) {
			return nil, err
		}
		// The client of the failed attempt may still be looking at its request.
		out = out.Clone(out.Context())
		if x.body != nil {
			x.body.sent = out.Trailer
		}
	}
}

// aim points the request at an upstream. The path is given as Opaque: that is
// sent byte for byte, where Path and RawPath would be encoded again.
func (x *exchange) aim(out *http.Request, t *target) error {
	u := out.URL
	u.Scheme, u.Host, u.User = t.scheme, t.host, nil
	u.Path, u.RawPath, u.Opaque = "", "", t.base+x.path
	if x.observing {
		return nil
	}
	if x.h.asserter == nil {
		return errAssertion
	}
	token, err := x.h.asserter.Assertion(&x.decision, t.origin)
	if err != nil {
		return fmt.Errorf("%w: %w", errAssertion, err)
	}
	out.Header[enforce.HeaderAssertion] = []string{token}
	return nil
}

// mayTryAgain says whether the request may go to another upstream: if nothing of
// it was sent, or if sending it twice is as good as once (RFC 9110, 9.2.2) and
// there is no body that is already half gone.
func (x *exchange) mayTryAgain(out *http.Request, err error) bool {
	if x.in.Context().Err() != nil {
		return false // ended from this side: that says nothing about the upstream
	}
	unsent := errors.Is(err, ErrNotSent)
	if unsent {
		x.h.targets.failed(x.target)
	}
	if x.attempts >= maxAttempts || x.attempts >= len(x.decision.Route.Upstreams) {
		return false
	}
	return unsent || (x.body == nil && out.Header["Upgrade"] == nil && isIdempotent(out.Method))
}

func isIdempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// cleanInterim has interim answers (100, 103) pass without what a final answer
// may not carry either. ReverseProxy forwards them itself, by the trace that it
// has put into the request's context.
func cleanInterim(out *http.Request, sameOrigin bool) {
	trace := httptrace.ContextClientTrace(out.Context())
	if trace == nil || trace.Got1xxResponse == nil {
		return
	}
	forward := trace.Got1xxResponse
	trace.Got1xxResponse = func(code int, header textproto.MIMEHeader) error {
		cleanAnswer(http.Header(header), sameOrigin)
		return forward(code, header)
	}
}

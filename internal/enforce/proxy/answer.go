package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

// statusClientGone is logged when the caller went away before the answer. It is
// never sent: nobody is there to read it.
const statusClientGone = 499

// answer makes of the upstream's answer the caller's. It implements
// ReverseProxy.ModifyResponse; an error goes to fail.
func (x *exchange) answer(res *http.Response) error {
	switching := res.StatusCode == http.StatusSwitchingProtocols
	if switching && !sameProtocol(x.in.Header, res.Header) {
		return errors.New("the upstream switched to a protocol that was not asked for")
	}
	if err := x.answering(switching || isEventStream(res.Header)); err != nil {
		return err
	}
	x.upgraded = switching
	route := x.decision.Route
	h := res.Header
	cleanAnswer(h, route.SameOrigin)
	// The upstream's word about its own listener (RFC 7838); the caller's is ours.
	delete(h, "Alt-Svc")
	if route.SameOrigin {
		h.Add("Content-Security-Policy", "sandbox")
		h["X-Content-Type-Options"] = []string{"nosniff"}
	}
	setCORS(h, route, x.request.Header.Get("Origin"))
	h[enforce.HeaderRequestID] = []string{x.request.ID}
	enforce.WriteLimits(h, x.decision.Limit)
	x.lateTrailers = res.ContentLength < 0
	if len(res.Trailer) > 0 {
		x.lateTrailers = true
		cleanAnswer(res.Trailer, route.SameOrigin)
	}
	if x.body != nil && !x.body.ended() && x.in.ProtoMajor == 1 && !switching {
		// The answer overtakes the body. Should the body end badly, nobody could
		// tell where on this connection the next request begins. It also keeps
		// net/http from reading the rest of the body itself, which it does to have
		// the connection free again, and which would take it from the upstream.
		h["Connection"] = []string{"close"}
	}
	return nil
}

// cleanAnswer removes what an upstream must not say in Keystile's name, and on
// Keystile's own origin what would reach its pages.
func cleanAnswer(h http.Header, sameOrigin bool) {
	enforce.StripIdentity(h)
	if sameOrigin {
		delete(h, "Set-Cookie")
		delete(h, "Set-Cookie2")
		delete(h, "Clear-Site-Data")
		delete(h, "Service-Worker-Allowed")
	}
}

// cleanTrailers does for trailers that were not announced what answer did for
// the others. They stand in the header map, with a prefix, until the server
// writes them.
func cleanTrailers(h http.Header, sameOrigin bool) {
	for name := range h {
		bare, ok := strings.CutPrefix(name, http.TrailerPrefix)
		if ok && (enforce.IsIdentity(bare) || (sameOrigin && textproto.CanonicalMIMEHeaderKey(bare) == "Set-Cookie")) {
			delete(h, name)
		}
	}
}

func sameProtocol(asked, answered http.Header) bool {
	want, got := asked["Upgrade"], answered["Upgrade"]
	return len(want) == 1 && len(got) == 1 && want[0] != "" && strings.EqualFold(want[0], got[0])
}

func isEventStream(h http.Header) bool {
	const eventStream = "text/event-stream"
	ct := h.Get("Content-Type")
	return len(ct) >= len(eventStream) && strings.EqualFold(ct[:len(eventStream)], eventStream)
}

// fail answers for an upstream that did not. It implements
// ReverseProxy.ErrorHandler.
func (x *exchange) fail(w http.ResponseWriter, _ *http.Request, err error) {
	if x.upgraded {
		// The connection is no longer HTTP's: there is nobody to tell.
		x.note(slog.LevelDebug, http.StatusSwitchingProtocols, err)
		return
	}
	status, reason := x.verdict(err)
	if status == statusClientGone {
		x.note(slog.LevelDebug, status, err)
		// To return would be to answer 200.
		panic(http.ErrAbortHandler)
	}
	level := slog.LevelWarn
	if status < http.StatusInternalServerError {
		level = slog.LevelInfo
	}
	x.note(level, status, err)
	if x.h.failed != nil {
		x.h.failed(x.decision.Route, status)
	}
	setCORS(w.Header(), x.decision.Route, x.request.Header.Get("Origin"))
	if x.body != nil && !x.body.ended() && x.in.ProtoMajor == 1 {
		w.Header()["Connection"] = []string{"close"}
	}
	if reason != keystile.ReasonNone {
		refused := keystile.Decision{Reason: reason, Cause: err.Error(), Route: x.decision.Route, Limit: x.decision.Limit}
		enforce.WriteRefusal(w, x.in, &refused, x.request.ID)
		return
	}
	if status == http.StatusServiceUnavailable {
		w.Header()["Retry-After"] = []string{"1"}
	}
	enforce.WriteLimits(w.Header(), x.decision.Limit)
	enforce.WriteUpstreamError(w, x.in, x.decision.Route, status, x.request.ID)
}

// verdict is what a failure is to the caller: a status, and for those that are
// refusals their reason.
func (x *exchange) verdict(err error) (int, keystile.Reason) {
	cause := context.Cause(x.in.Context())
	if cause == nil {
		cause = err
	}
	if x.body != nil && x.body.state.Load() == bodyTooLarge {
		return http.StatusRequestEntityTooLarge, keystile.ReasonBodyTooLarge
	}
	if status, reason, ok := ownVerdict(cause); ok {
		return status, reason
	}
	var timeout net.Error
	switch {
	case x.in.Context().Err() != nil:
		return statusClientGone, keystile.ReasonNone
	case x.body != nil && x.body.state.Load() == bodyBroken:
		return http.StatusBadRequest, keystile.ReasonRequestInvalid
	case errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusGatewayTimeout, keystile.ReasonNone
	}
	return http.StatusBadGateway, keystile.ReasonNone
}

// ownVerdict is the verdict when the gateway itself gave the exchange up, and
// whether it did. It goes before the signs of a caller who left and of a broken
// body: to end an exchange brings both about.
func ownVerdict(cause error) (status int, reason keystile.Reason, ok bool) {
	switch {
	case errors.Is(cause, errTimeout):
		return http.StatusGatewayTimeout, keystile.ReasonNone, true
	case errors.Is(cause, errClientStalled):
		return http.StatusRequestTimeout, keystile.ReasonNone, true
	case errors.Is(cause, errExpired):
		return http.StatusUnauthorized, keystile.ReasonCredentialExpired, true
	case errors.Is(cause, errChanged), errors.Is(cause, errShutdown),
		errors.Is(cause, errAssertion), errors.Is(cause, errFull):
		// A change need not be a revocation: asked again, the gate will know.
		return http.StatusServiceUnavailable, keystile.ReasonNone, true
	}
	return 0, keystile.ReasonNone, false
}

// note logs a failed exchange. Only here does anybody learn which upstream it was.
func (x *exchange) note(level slog.Level, status int, err error) {
	upstream := ""
	if x.target != nil {
		upstream = x.target.origin
	}
	if cause := context.Cause(x.in.Context()); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", cause, err)
	}
	x.h.log.LogAttrs(x.in.Context(), level, "a request could not be forwarded",
		slog.String("request_id", x.request.ID), slog.String("route", x.decision.Route.ID),
		slog.String("upstream", upstream), slog.Int("attempts", x.attempts),
		slog.Int("status", status), slog.Any("error", err))
}

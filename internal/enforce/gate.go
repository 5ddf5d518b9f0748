package enforce

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	keystile "keystile.dev/keystile"
)

// Gate decides. Check always answers, may block on a store, and is safe for
// concurrent use; it does not keep r.
type Gate interface {
	Check(ctx context.Context, r *keystile.Request) keystile.Decision
}

// Asserter mints Keystile-Assertion: a short-lived signed JWT with the facts
// of an allowed decision, for one audience. It reuses what it minted before and
// is safe for concurrent use. An error means that none can be had, and the
// enforcement point refuses the request.
type Asserter interface {
	Assertion(d *keystile.Decision, audience string) (string, error)
}

// Ask asks the gate once and makes sure of the answer: a panic, and an answer
// that contradicts itself, are refusals with store_unavailable. A panic is
// logged to logger, which may be nil.
func Ask(ctx context.Context, g Gate, r *keystile.Request, logger *slog.Logger) (d keystile.Decision) {
	defer func() {
		if p := recover(); p != nil {
			if logger != nil {
				logger.LogAttrs(ctx, slog.LevelError, "the gate panicked; the request is refused",
					slog.String("request_id", r.ID), slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
			}
			d = unavailable("the gate panicked")
		}
	}()
	d = g.Check(ctx, r)
	if cause := contradiction(&d); cause != "" {
		d = unavailable(cause)
	}
	if !d.Allowed {
		d.ResourceMetadata = metadataURL(r, d.Route)
	}
	return d
}

// contradiction says what is wrong with an answer that must not be followed.
func contradiction(d *keystile.Decision) string {
	switch {
	case !d.Allowed || d.Observed:
		return ""
	case d.Reason != keystile.ReasonNone:
		return "the gate allowed with reason " + string(d.Reason)
	case d.Principal == nil:
		return "the gate allowed nobody"
	case d.Route == nil:
		return "the gate allowed without a route"
	}
	return ""
}

// Unavailable turns an allowance into a refusal because something that it needs
// cannot be had. Who asked and for what stay, for the log; err is not shown.
func Unavailable(d *keystile.Decision, err error) keystile.Decision {
	refused := unavailable(err.Error())
	refused.Principal, refused.Route, refused.Resource = d.Principal, d.Route, d.Resource
	return refused
}

func unavailable(cause string) keystile.Decision {
	return keystile.Decision{Reason: keystile.ReasonStoreUnavailable, Cause: cause}
}

// Refuse is the decision for a request that could not even be put to the gate:
// the reason of a *keystile.Rejection, body_too_large for ErrBodyTooLarge, and
// store_unavailable for anything else.
func Refuse(err error) keystile.Decision {
	var no *keystile.Rejection
	if errors.As(err, &no) {
		return keystile.Decision{Reason: no.Reason, Cause: no.Cause, Public: no.Public}
	}
	if errors.Is(err, keystile.ErrBodyTooLarge) {
		return keystile.Decision{Reason: keystile.ReasonBodyTooLarge, Cause: err.Error()}
	}
	return unavailable(err.Error())
}

// invalid is the refusal of a request that is not clear. The text is safe for
// its sender: it names the part at fault and never repeats a value.
func invalid(public string) *keystile.Rejection {
	return &keystile.Rejection{Reason: keystile.ReasonRequestInvalid, Cause: public, Public: public}
}

package console

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/problem"
)

var errNoPage = errors.New("no such page")

// retryUnavailable is when to try again after an outage.
const retryUnavailable = 5 * time.Second

// fault is the one table from an error to a page. What it does not know is a 500
// that says nothing.
//
//nolint:gocyclo // one line a case: a table
func (c *Console) fault(v *visit, err error) answer {
	var throttled *login.Throttled
	var busy *login.Busy
	var large *http.MaxBytesError
	if page, ok := refusedRequest(err); ok {
		return page
	}
	switch {
	case errors.As(err, &throttled):
		return sorry(http.StatusTooManyRequests, "Too many attempts", "To protect accounts, sign-in from where you are is paused.", throttled.RetryAfter)
	case errors.As(err, &busy):
		return sorry(http.StatusServiceUnavailable, "Very busy", "Many people are signing in at this moment.", busy.RetryAfter)
	case errors.Is(err, keystile.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		c.options.Logger.Error("page", "path", v.request.URL.Path, "request", v.caller.RequestID, "error", err)
		return sorry(http.StatusServiceUnavailable, "Not available", "Something this page needs does not answer. Nothing was changed.", retryUnavailable)
	case errors.Is(err, login.ErrStepUp), errors.Is(err, login.ErrSessionEnded):
		return v.stepUp()
	case errors.Is(err, login.ErrInactive):
		return sorry(http.StatusForbidden, "Not active", "This account is not active. Ask whoever manages your organisation.", 0)
	case errors.Is(err, login.ErrOff):
		return sorry(http.StatusNotFound, "Not set up", "This server is not set up for that. Ask whoever manages it.", 0)
	case errors.Is(err, login.ErrChallengeExpired):
		return sorry(http.StatusForbidden, "Start again", "This sign-in took too long, or was finished already.", 0)
	case errors.Is(err, errCrossSite):
		return sorry(http.StatusForbidden, "Not sent from here", "This form was sent by another site, so nothing was done.", 0)
	case errors.Is(err, errStaleForm):
		return sorry(http.StatusForbidden, "This page is old", "You signed in again since it was opened, so nothing was done. Open it once more.", 0)
	case errors.As(err, &large):
		return sorry(http.StatusRequestEntityTooLarge, "Too much", "What was sent is longer than any form here.", 0)
	case errors.Is(err, errForm):
		return sorry(http.StatusBadRequest, "Not understood", "What was sent is not what a form here sends.", 0)
	case errors.Is(err, manage.ErrNotPermitted):
		return sorry(http.StatusForbidden, "Not yours to do", "Your role does not allow this. Ask an administrator of your organisation.", 0)
	case errors.Is(err, keystile.ErrConflict):
		return sorry(http.StatusConflict, "Not as it was", "It has changed since you opened that page, so nothing was done. Open it once more.", 0)
	case errors.Is(err, errNoPage), errors.Is(err, keystile.ErrNotFound):
		return sorry(http.StatusNotFound, "Nothing here", "There is no such page, or it is no longer there.", 0)
	}
	if v.request.Context().Err() == nil {
		c.options.Logger.Error("page", "path", v.request.URL.Path, "request", v.caller.RequestID, "error", err)
	}
	return sorry(http.StatusInternalServerError, "That did not work", "Something went wrong here. It has been written down.", 0)
}

// apology is the content of fault.html.
type apology struct {
	Text string
	// Retry is how long to wait, in words; empty: there is nothing to wait for.
	Retry string
	// Again is whether to offer a fresh start.
	Again bool
}

// faultView is the page of every apology.
const faultView = "fault"

// sendProblem tells a program what a page would say.
func sendProblem(w http.ResponseWriter, a answer) {
	p := problem.ForStatus(a.status)
	if content, ok := a.content.(apology); ok && a.status != http.StatusNotFound { // whose words are about pages
		p.Detail = content.Text
	}
	if a.retry != "" {
		w.Header().Set("Retry-After", a.retry)
	}
	problem.Write(w, p)
}

func sorry(status int, title, text string, retry time.Duration) answer {
	a := show(faultView, title, apology{Text: text, Retry: inWords(retry), Again: status != http.StatusTooManyRequests})
	a.status = status
	if retry > 0 {
		a.retry = strconv.Itoa(int((retry + time.Second - 1) / time.Second))
	}
	return a
}

// inWords is a waiting time, rounded up: "5 seconds", "12 minutes".
func inWords(d time.Duration) string {
	plural := func(n int, unit string) string {
		if n == 1 {
			return "1 " + unit
		}
		return strconv.Itoa(n) + " " + unit + "s"
	}
	switch {
	case d <= 0:
		return ""
	case d <= 90*time.Second:
		return plural(int((d+time.Second-1)/time.Second), "second")
	default:
		return plural(int((d+time.Minute-1)/time.Minute), "minute")
	}
}

package door

import (
	"context"
	"errors"
	"strconv"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
)

// Verdict is what the login service's error means at a door.
type Verdict int

// The verdicts. Failed is everything a door cannot explain: it refuses.
const (
	Failed Verdict = iota
	// BadCredentials: unknown user or wrong password, which nothing tells apart.
	BadCredentials
	// Inactive: the right password of a user who may not sign in.
	Inactive
	// BadCode: a wrong code for a live challenge.
	BadCode
	// ChallengeGone: the challenge is unknown, expired, burnt, used or another door's.
	ChallengeGone
	// Throttled: too many failures; the wait says how long to hold off.
	Throttled
	// Busy: too many sign-ins at once; the wait says when to try again.
	Busy
	// SessionGone: the session is unknown, expired or revoked, or of a user who may not sign in.
	SessionGone
	// ChangePassword: everything was right, and the password must be changed first.
	ChangePassword
)

// Judge names an error of the login service; wait is for Throttled and Busy. A
// door asks it about errors only.
func Judge(err error) (verdict Verdict, wait time.Duration) {
	var throttled *login.Throttled
	var busy *login.Busy
	var change *login.ChangeRequired
	switch {
	case errors.As(err, &throttled):
		return Throttled, throttled.RetryAfter
	case errors.As(err, &busy):
		return Busy, busy.RetryAfter
	case errors.As(err, &change):
		return ChangePassword, 0
	case errors.Is(err, login.ErrSessionEnded):
		return SessionGone, 0
	case errors.Is(err, login.ErrInvalidCredentials):
		return BadCredentials, 0
	case errors.Is(err, login.ErrInactive):
		return Inactive, 0
	case errors.Is(err, login.ErrInvalidCode):
		return BadCode, 0
	case errors.Is(err, login.ErrChallengeExpired):
		return ChallengeGone, 0
	case errors.Is(err, keystile.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Failed, 0
	case errors.Is(err, keystile.ErrRejected), errors.Is(err, keystile.ErrNotFound):
		return SessionGone, 0
	}
	return Failed, 0
}

// RetryAfter is a wait as Retry-After has it: whole seconds, rounded up, at
// least one (RFC 9110, section 10.2.3).
func RetryAfter(wait time.Duration) string {
	return strconv.FormatInt(max(1, int64((wait+time.Second-1)/time.Second)), 10)
}

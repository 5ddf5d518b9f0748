// Package login signs people in: it says which factors are needed, checks them,
// and opens, renews and ends sessions. Every door (Ona's auth API, NAO's
// sessions, the sign-in page, the exchange of foreign tokens) goes through the one
// dispatcher here, so none can forget a factor.
//
//	Password ─┐            all factors proven ──> session
//	Provider ─┼─ dispatch ─┤
//	Passkey  ─┘            not yet ──> challenge ── Code, FinishPasskey ──> dispatch again
//	                                             └─ ForcedChange ─────────> dispatch again
//
// A challenge is answered once: consuming it, spending the TOTP step or the
// recovery code, confirming an enrolment, making the session and keeping the
// answer are one transaction (rulings R18). So a process that is killed has done
// all of it or nothing, and of any number of racing answers one makes a session.
//
// A failed attempt is counted before it is checked and taken back if it was right
// (lockout.go): racing guesses are counted one by one, on whatever server they
// arrive.
//
// It is not for tokens, which the doors mint, nor for the wire formats of doors.
// It knows neither HTTP nor cookies.
package login

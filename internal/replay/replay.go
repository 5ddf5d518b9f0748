package replay

import (
	"context"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
)

// Nonce names what is spent.
type Nonce struct {
	// Scope is whose nonce it is: the API key of the signing key. The same value
	// in another scope is another nonce.
	Scope string
	// Space is for a scope and a value that were signed as one text with nothing
	// between them: within a space they are one nonce however that text is cut. All
	// nonces of a scope have one space. Empty: scope and value stand apart.
	Space string
	// Value is the nonce as it was signed.
	Value string
	// Stamp is when the token says it was signed (timestamp, created, iat).
	// Zero if it does not say, which is dearer only while the ledger is incomplete.
	Stamp time.Time
	// LastValid is the last instant at which the token could pass the clock
	// check: stamp + window; for a JWT exp + window.
	LastValid time.Time
}

// Ledger remembers what was spent. It is safe for concurrent use.
type Ledger interface {
	// Claim spends a nonce: nil once, an error that wraps keystile.ErrReplayed
	// ever after. Any other error means that the ledger cannot tell, and is a
	// refusal; it wraps keystile.ErrUnavailable, and the nonce may have been
	// spent. The claim is durable before Claim returns nil (not in Memory, which
	// is not durable). Memory never blocks; the others wait for a disk or a server,
	// and no longer than the context allows.
	Claim(ctx context.Context, n Nonce) error
	// Spent says what Claim would say, and changes nothing.
	Spent(ctx context.Context, n Nonce) error
	// Widen takes stamps as far ahead as window from now on. Windows never
	// narrow while a ledger is open. keep is called first, unless the window
	// is as wide already: if what was spent is lost later, what the store keeps says for
	// how long to refuse. An error leaves the window as it was.
	Widen(ctx context.Context, window time.Duration, keep Keep) error
}

// Keep has the store remember a ledger's epoch, durably.
type Keep func(ctx context.Context, epoch string) error

// Status is what readiness and metrics show of a ledger.
type Status struct {
	// Ready is false while requests that are signed now are refused.
	Ready bool
	// Text says why, and what to do about it; "ok" where there is nothing to say.
	Text string
	// Live is how many nonces this process holds; for a shared ledger, those that
	// it claimed itself.
	Live int64
	// Bytes is the memory they take in this process.
	Bytes int64
	// IncompleteUntil: tokens stamped up to then are refused, because what was
	// spent before is not known. Zero if there is none; it stays when it has passed.
	IncompleteUntil time.Time
	// Floor: tokens whose LastValid is at or below it are refused. Zero if nothing
	// was forgotten yet.
	Floor time.Time
}

const (
	// Margin is how much longer than needed a nonce is kept, on the ledger's clock.
	Margin = 30 * time.Second
	// MaxWindow is the widest clock window that an organisation can ask for.
	MaxWindow = 15 * time.Minute
	// MaxTokenLife is the longest time between a token's stamp and its end (exp - iat).
	MaxTokenLife = 5 * time.Minute
	// MaxSkew is how far a node's clock may be from the clock of a shared ledger.
	MaxSkew = 15 * time.Second
)

// Reasons for which a ledger cannot tell. All of them wrap keystile.ErrUnavailable.
var (
	// ErrIncomplete: the token may have been spent before the ledger's memory begins.
	ErrIncomplete = fmt.Errorf("the ledger of spent nonces does not reach back to this token, sign again: %w", keystile.ErrUnavailable)
	// ErrFull: a cap on live nonces is reached; nothing is forgotten early.
	ErrFull = fmt.Errorf("the ledger of spent nonces is full: %w", keystile.ErrUnavailable)
	// ErrAhead: the token is stamped, or is valid, further ahead than the ledger looks.
	ErrAhead = fmt.Errorf("the token is further ahead of the clock than the ledger of spent nonces looks: %w", keystile.ErrUnavailable)
	// ErrClock: this node's clock and the ledger's are too far apart.
	ErrClock = fmt.Errorf("this node's clock and that of the ledger of spent nonces differ by more than %v: %w", MaxSkew, keystile.ErrUnavailable)
)

// errReplayed and errTooOld are the two ways of being replayed.
var (
	errReplayed = fmt.Errorf("the nonce was used before: %w", keystile.ErrReplayed)
	errTooOld   = fmt.Errorf("the token is too old to tell whether its nonce was used: %w", keystile.ErrReplayed)
)

// stamp is the earliest time the token can have been signed.
func (n *Nonce) stamp(window time.Duration) time.Time {
	if n.Stamp.IsZero() {
		return n.LastValid.Add(-window - MaxTokenLife)
	}
	return n.Stamp
}

// complete refuses a nonce that names nothing.
func (n *Nonce) complete() error {
	if n.Scope == "" || n.Value == "" || n.LastValid.IsZero() {
		return fmt.Errorf("a nonce without scope, value or end: %w", keystile.ErrUnavailable)
	}
	return nil
}

// ahead refuses a token that no clock check within the window lets pass. slack is
// how far the checking clock may have been ahead of now.
func (n *Nonce) ahead(now time.Time, window, slack time.Duration) error {
	if n.stamp(window).After(now.Add(window+slack)) || n.LastValid.After(now.Add(2*window+MaxTokenLife+slack)) {
		return ErrAhead
	}
	return nil
}

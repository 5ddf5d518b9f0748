package password

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	keystile "keystile.dev/keystile"
)

// The parameters of new hashes: OWASP Password Storage Cheat Sheet, argon2id.
const (
	memoryKiB   = 19456
	passes      = 2
	parallelism = 1
	saltLength  = 16
	tagLength   = 32
)

const (
	// DefaultMemory is what all hashing at once may take, in bytes: six default hashes.
	DefaultMemory = maxMemory
	// DefaultWait is how long a password may wait for its turn.
	DefaultWait = 2 * time.Second
	// maxPad is the longest a failure is padded to (rulings R23).
	maxPad = 300 * time.Millisecond
	// leastWeight counts a hash that takes little memory: it still takes a core.
	leastWeight = 16 << 20
)

// ErrBusy says that the password waited too long for its turn, and was not looked at.
var ErrBusy = errors.New("too many passwords are being hashed")

// Options configure a Hasher.
type Options struct {
	// Memory bounds what all hashing at once may take, in bytes; 0: DefaultMemory. Never less than one hash takes.
	Memory int64
	// Wait bounds the queue; 0: DefaultWait.
	Wait time.Duration
	// Random draws salts.
	Random io.Reader
}

// Hasher hashes and verifies, a bounded number at once. It is safe for concurrent use.
type Hasher struct {
	o     Options
	turns *semaphore.Weighted
	// dummy is verified against for names that have no password.
	dummy Hash

	mu sync.Mutex
	// classes are the costs that are in use, and how long each takes.
	classes map[string]time.Duration
	pad     atomic.Int64
}

// New makes a Hasher.
func New(o Options) (*Hasher, error) {
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.Wait == 0 {
		o.Wait = DefaultWait
	}
	o.Memory = max(o.Memory, memoryKiB<<10)
	h := &Hasher{o: o, turns: semaphore.NewWeighted(o.Memory), classes: map[string]time.Duration{}}
	// Its tag is drawn, not made: no password has it, and a start costs no hash.
	a, tag := today(), make([]byte, tagLength)
	for _, drawn := range [][]byte{a.salt, tag} {
		if _, err := io.ReadFull(o.Random, drawn); err != nil {
			return nil, fmt.Errorf("draw a salt: %w", err)
		}
	}
	h.dummy = Hash{scheme: a, tag: tag}
	return h, nil
}

// Hash hashes a new password. ErrBusy: it would have to wait too long.
func (h *Hasher) Hash(ctx context.Context, password keystile.Secret) (text string, err error) {
	err = h.inTurn(ctx, h.dummy, func() error {
		text, err = h.hash([]byte(password.Reveal()))
		return err
	})
	return text, err
}

// today is argon2id at today's parameters, with an empty salt.
func today() argon {
	return argon{id: true, m: memoryKiB, t: passes, p: parallelism, salt: make([]byte, saltLength), tagLength: tagLength}
}

func (h *Hasher) hash(password []byte) (string, error) {
	a := today()
	if _, err := io.ReadFull(h.o.Random, a.salt); err != nil {
		return "", fmt.Errorf("draw a salt: %w", err)
	}
	tag, err := a.derive(password)
	if err != nil {
		return "", err
	}
	return a.encode(tag), nil
}

// Verify says whether a password has a stored hash, and whether the hash is to be
// replaced by one of today's. With an empty stored hash it takes as long and says no. began
// is called when its turn has come and before anything is hashed; its error ends it. ErrBusy: it would
// have to wait too long, and began was not called.
func (h *Hasher) Verify(ctx context.Context, stored string, password keystile.Secret, began func(context.Context) error) (ok, outdated bool, err error) {
	parsed := h.dummy
	if stored != "" {
		if parsed, err = Parse(stored); err != nil {
			return false, false, fmt.Errorf("read a stored password hash: %w", err)
		}
	}
	err = h.inTurn(ctx, parsed, func() (err error) {
		if err := began(ctx); err != nil {
			return err
		}
		ok, err = parsed.verify([]byte(password.Reveal()))
		return err
	})
	return ok && stored != "", parsed.Class() != h.dummy.Class() || len(parsed.tag) != tagLength, err
}

// inTurn runs fn when there is memory for a hash.
func (h *Hasher) inTurn(ctx context.Context, of Hash, fn func() error) error {
	weight := min(max(of.scheme.memory(), leastWeight), h.o.Memory)
	queued, cancel := context.WithTimeout(ctx, h.o.Wait)
	defer cancel()
	if err := h.turns.Acquire(queued, weight); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("wait to hash a password: %w", ctx.Err())
		}
		return ErrBusy
	}
	defer h.turns.Release(weight)
	return fn()
}

// Learn is told the classes of all stored hashes, so that failures can be padded to the slowest.
func (h *Hasher) Learn(classes map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var slowest time.Duration
	for class, example := range classes {
		took, known := h.classes[class]
		if parsed, err := Parse(example); !known && err == nil && class != h.dummy.Class() {
			// A fifth more than measured: the slowest scheme itself varies.
			took = measure(parsed) * 6 / 5
			h.classes[class] = took
		}
		slowest = max(slowest, took)
	}
	h.pad.Store(int64(min(slowest, maxPad)))
}

// Pad waits until a failure that began then has taken as long as the slowest stored scheme would.
// Where all hashes are of today's scheme it does not wait.
func (h *Hasher) Pad(ctx context.Context, began time.Time) {
	left := time.Duration(h.pad.Load()) - time.Since(began)
	if left <= 0 {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Padding is how long a failure takes at least; 0: as long as it takes.
func (h *Hasher) Padding() time.Duration { return time.Duration(h.pad.Load()) }

// measure is how long a hash takes, the shorter of two.
func measure(of Hash) time.Duration {
	best := time.Duration(1<<63 - 1)
	for range 2 {
		began := time.Now()
		if _, err := of.verify([]byte("a password that nobody has")); err != nil {
			return 0
		}
		best = min(best, time.Since(began))
	}
	return best
}

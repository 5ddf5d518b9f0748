package limit

import (
	"context"
	"crypto/rand"
	_ "embed" // for the scripts
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valkey-io/valkey-go"

	keystile "keystile.dev/keystile"
)

//go:embed window_take.lua
var windowTake string

//go:embed window_return.lua
var windowReturn string

//go:embed gcra_take.lua
var gcraTake string

//go:embed gcra_return.lua
var gcraReturn string

// Defaults of ValkeyOptions.
const (
	DefaultPrefix  = "keystile:limit:"
	DefaultTimeout = 250 * time.Millisecond
)

// ValkeyOptions configures NewValkey.
type ValkeyOptions struct {
	// URL of the server: valkey://, redis://, valkeys:// or rediss:// (TLS),
	// with user:password@ and /DB where needed. Not used if Client is set.
	URL string
	// Client is a connection that others use too; Close leaves it open.
	Client valkey.Client
	// Prefix of every key written; empty: DefaultPrefix. Nodes with one prefix
	// on one server count together.
	Prefix string
	// Timeout bounds each call; 0: DefaultTimeout.
	Timeout time.Duration
	// Random marks this node's draws; nil: crypto/rand.
	Random io.Reader
}

// Valkey counts for all nodes together, on a Valkey or Redis server (7 or
// later) and by that server's clock. Each Take is one script, atomic by itself.
//
// An exact window is a list of about 26 bytes a draw, so 260 KB at 10 000; gcra
// is one hash of at most 500 bytes. Every key expires with its window. The
// server should run with maxmemory-policy noeviction: a count that is evicted
// starts afresh.
type Valkey struct {
	client  valkey.Client
	owned   bool
	prefix  string
	timeout time.Duration
	node    uint64
	lost    atomic.Int64

	windowTake, windowReturn, gcraTake, gcraReturn *valkey.Lua
}

var _ Shared = (*Valkey)(nil)

// NewValkey connects. An error means that the URL is wrong or the server did not
// answer.
func NewValkey(o ValkeyOptions) (*Valkey, error) {
	v := &Valkey{client: o.Client, prefix: o.Prefix, timeout: o.Timeout}
	if v.prefix == "" {
		v.prefix = DefaultPrefix
	}
	if v.timeout <= 0 {
		v.timeout = DefaultTimeout
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	var mark [8]byte
	if _, err := io.ReadFull(o.Random, mark[:]); err != nil {
		return nil, fmt.Errorf("limit: mark this node: %w", err)
	}
	v.node = binary.BigEndian.Uint64(mark[:])
	v.useScripts(windowTake, gcraTake)
	if v.client != nil {
		return v, nil
	}
	option, err := valkey.ParseURL(o.URL)
	if err != nil {
		return nil, errors.New("limit: the Valkey URL cannot be read; write valkey://HOST:PORT") // the cause quotes the password
	}
	option.DisableCache = true     // nothing here is read twice
	option.DisableRetry = true     // a draw repeated after a lost answer would count twice
	option.AlwaysPipelining = true // reads all the time, so a connection that was cut is noticed before its next use
	option.Dialer.Timeout = v.timeout
	option.ConnWriteTimeout = max(v.timeout, time.Second)
	if v.client, err = valkey.NewClient(option); err != nil {
		return nil, fmt.Errorf("limit: connect to Valkey at %s: %w: %w",
			strings.Join(option.InitAddress, ", "), keystile.ErrUnavailable, err)
	}
	v.owned = true
	return v, nil
}

// useScripts sets the scripts. None is marked as safe to retry: if the answer
// is lost, the draw may have been made, and stays made.
func (v *Valkey) useScripts(window, gcra string) {
	v.windowTake, v.gcraTake = valkey.NewLuaScript(window), valkey.NewLuaScript(gcra)
	v.windowReturn, v.gcraReturn = valkey.NewLuaScript(windowReturn), valkey.NewLuaScript(gcraReturn)
}

// Close ends the connection, if it is Valkey's own.
func (v *Valkey) Close() {
	if v.owned {
		v.client.Close()
	}
}

// Take implements Limiter. It counts by the server's clock; now only names the
// draw, in case it is handed back.
func (v *Valkey) Take(ctx context.Context, k Key, rate *keystile.Rate, now time.Time) (keystile.LimitState, bool, error) {
	return v.ask(ctx, k, rate, v.tag(now), "1")
}

// Peek implements Limiter.
func (v *Valkey) Peek(ctx context.Context, k Key, rate *keystile.Rate, _ time.Time) (keystile.LimitState, bool, error) {
	return v.ask(ctx, k, rate, "", "0")
}

// Return implements Limiter. A draw that cannot be handed back, because the
// server is away, stays spent and is counted in LostReturns.
func (v *Valkey) Return(ctx context.Context, k Key, rate *keystile.Rate, at time.Time) {
	if _, err := v.ReturnDraw(ctx, k, rate, at); err != nil {
		v.lost.Add(1)
	}
}

// LostReturns counts the draws that stayed spent because the server was away
// when they were handed back.
func (v *Valkey) LostReturns() int64 { return v.lost.Load() }

// ReturnDraw implements Shared. It goes on when the request's own context has
// ended: what the caller gave up should not cost the quota.
func (v *Valkey) ReturnDraw(ctx context.Context, k Key, rate *keystile.Rate, at time.Time) (bool, error) {
	if err := check(rate); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.timeout)
	defer cancel()
	script, args := v.windowReturn, []string{v.tag(at)}
	if rate.Algorithm == keystile.AlgorithmGCRA {
		script, args = v.gcraReturn, append(args, strconv.FormatInt(interval(rate), 10))
	}
	n, err := script.Exec(ctx, v.client, []string{v.key(k, rate)}, args).AsInt64()
	if err != nil {
		return false, fmt.Errorf("limit: hand back a draw: %w: %w", keystile.ErrUnavailable, err)
	}
	return n == 1, nil
}

// ask runs a Take script.
func (v *Valkey) ask(ctx context.Context, k Key, rate *keystile.Rate, tag, draw string) (keystile.LimitState, bool, error) {
	if err := check(rate); err != nil {
		return keystile.LimitState{}, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	script, length := v.windowTake, (int64(rate.Window)+999)/1000 // microseconds
	if rate.Algorithm == keystile.AlgorithmGCRA {
		script, length = v.gcraTake, interval(rate)
	}
	args := []string{strconv.Itoa(rate.Requests), strconv.FormatInt(length, 10), tag, draw}
	answer, err := script.Exec(ctx, v.client, []string{v.key(k, rate)}, args).AsIntSlice()
	if err != nil {
		return keystile.LimitState{}, false, fmt.Errorf("limit: draw from a shared count: %w: %w", keystile.ErrUnavailable, err)
	}
	if len(answer) != 3 {
		return keystile.LimitState{}, false, fmt.Errorf("limit: a shared count answered %d numbers, not 3: %w", len(answer), keystile.ErrUnavailable)
	}
	return keystile.LimitState{
		Rate: rate, Per: k.Per, Remaining: int(answer[1]), Reset: time.Duration(answer[2]) * time.Microsecond,
	}, answer[0] == 1, nil
}

// key is the server's key of a counter: every part is delimited by characters
// it cannot hold or by its length, so no two counters share one.
func (v *Valkey) key(k Key, rate *keystile.Rate) string {
	b := make([]byte, 0, len(v.prefix)+len(k.Per)+len(k.Route)+len(k.ID)+64)
	b = append(b, v.prefix...)
	if rate.Algorithm == keystile.AlgorithmGCRA {
		b = append(b, "gcra:"...)
	} else {
		b = append(b, "window:"...)
	}
	b = strconv.AppendInt(b, int64(rate.Requests), 10)
	b = append(b, '/')
	b = strconv.AppendInt(b, int64(rate.Window), 10)
	for _, part := range [...]string{string(k.Per), k.Route, k.ID} {
		b = append(b, ':')
		b = strconv.AppendInt(b, int64(len(part)), 10)
		b = append(b, ':')
		b = append(b, part...)
	}
	return string(b)
}

// tag names a draw among all nodes': eight bytes out of this node's mark and the
// time the caller named it by.
func (v *Valkey) tag(at time.Time) string {
	// The finaliser of splitmix64 (Steele, Lea, Flood 2014): one to one, so two
	// times of one node never share a tag.
	x := uint64(at.UnixNano()) ^ v.node
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	var tag [8]byte
	binary.BigEndian.PutUint64(tag[:], x)
	return string(tag[:])
}

package replay

import (
	"context"
	_ "embed" // for the script
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"

	keystile "keystile.dev/keystile"
)

//go:embed claim.lua
var claimScript string

// Defaults of ValkeyOptions.
const (
	DefaultPrefix  = "keystile:nonce:"
	DefaultTimeout = 250 * time.Millisecond
)

// errReader: the ledger was opened to look only.
var errReader = fmt.Errorf("a reader of the ledger of spent nonces claims nothing: %w", keystile.ErrUnavailable)

// ValkeyOptions configures NewValkey.
type ValkeyOptions struct {
	// URL of the server: valkey://, redis://, valkeys:// or rediss:// (TLS),
	// with user:password@ and /DB where needed. Not used if Client is set.
	URL string
	// Client is a connection that others use too; Close leaves it open.
	Client valkey.Client
	// Prefix of every key written; empty: DefaultPrefix. Nodes with one prefix on
	// one server share a ledger; two installations must not.
	Prefix string
	// Timeout bounds each call; 0: DefaultTimeout.
	Timeout time.Duration
	// Epoch is what Epoch() answered last time, kept by the store; empty if the
	// store never knew a ledger.
	Epoch string
	// Look is for a reader beside the servers (explain): the ledger is neither begun,
	// joined nor taken over, nothing is written, and every Claim is refused.
	Look bool
	// Memory is for what this node claimed itself: its caps hold for this node.
	Memory MemoryOptions

	script string // for tests: with another clock
}

// Valkey is a ledger for all nodes together, on a Valkey or Redis server (7 or
// later, not a cluster) and by that server's clock. Each claim is one script, so
// one round trip. The server holds about 70 bytes a nonce and must run with
// maxmemory-policy noeviction: full, it refuses.
//
// Whatever replaces the server's data, or part of it, changes its replication id:
// a restart, with or without persistence, or the promotion of a replica. The first
// call that sees another id than the epoch's begins an incompleteness, for all nodes.
// So restarting the server costs about one window of refusals.
type Valkey struct {
	client  valkey.Client
	owned   bool
	script  *valkey.Lua
	keys    []string
	timeout time.Duration
	memory  *Memory
	id      string // of the epoch, in hex; empty if a reader knows none
	look    bool
	fixed   []string // ARGV 9 to 12

	mu      sync.Mutex
	epoch   epoch
	trouble error
	refuse  time.Time
	floor   time.Time
}

var _ Ledger = (*Valkey)(nil)

// What the script is asked to do.
const (
	doClaim = "claim"
	doLook  = "look"
	doCheck = "check"
	doBegin = "begin"
)

// errForeign: another installation uses the same prefix.
var errForeign = fmt.Errorf("the ledger of spent nonces was taken over by another store; give each installation its own prefix: %w", keystile.ErrUnavailable)

// NewValkey connects, checks the server and joins its ledger, or begins one. It
// fails with keystile.ErrUnavailable if the server does not answer, and with a
// *keystile.Invalid if it may not be used as it is.
func NewValkey(ctx context.Context, o ValkeyOptions) (*Valkey, error) {
	o.Memory = o.Memory.withDefaults()
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.script == "" {
		o.script = claimScript
	}
	known, exists, err := parseEpoch(o.Epoch)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	fresh, err := newEpoch(o.Memory.Random, 0)
	if err != nil {
		return nil, err
	}
	window := max(o.Memory.Window, known.window)
	// Four or five buckets are alive at a time: few to look into, few to drop.
	width := ((2*window+MaxTokenLife+o.Memory.Margin)/4 + time.Second).Truncate(time.Second)
	v := &Valkey{
		client: o.Client, script: valkey.NewLuaScript(o.script), timeout: o.Timeout, memory: newMemory(o.Memory, shared),
		keys:  []string{o.Prefix + "epoch", o.Prefix + "buckets", o.Prefix + "bucket:"},
		fixed: []string{milli(o.Memory.Margin), milli(width), milli(MaxTokenLife), milli(MaxSkew)},
	}
	if v.client == nil {
		if v.client, err = connect(o.URL, o.Timeout); err != nil {
			return nil, err
		}
		v.owned = true
	}
	v.epoch, v.look = epoch{id: known.id, window: window}, o.Look
	if exists {
		v.id = hex.EncodeToString(known.id[:])
	}
	if v.look {
		return v, nil
	}
	if err := v.join(ctx, fresh); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// connect opens a connection that never asks twice.
func connect(url string, timeout time.Duration) (valkey.Client, error) {
	option, err := valkey.ParseURL(url)
	if err != nil {
		return nil, errors.New("replay: the Valkey URL cannot be read; write valkey://HOST:PORT") // the cause quotes the password
	}
	option.DisableCache = true     // nothing here is read twice
	option.DisableRetry = true     // a claim repeated after a lost answer would find itself spent
	option.AlwaysPipelining = true // reads all the time, so a connection that was cut is noticed before its next use
	option.Dialer.Timeout = timeout
	option.ConnWriteTimeout = max(timeout, time.Second)
	client, err := valkey.NewClient(option)
	if err != nil {
		return nil, fmt.Errorf("replay: connect to Valkey at %s: %w: %w",
			strings.Join(option.InitAddress, ", "), keystile.ErrUnavailable, err)
	}
	return client, nil
}

func milli(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// join checks the server and makes this node one of its ledger's.
func (v *Valkey) join(ctx context.Context, fresh epoch) error {
	if err := v.checkServer(ctx); err != nil {
		return err
	}
	a, err := v.call(ctx, question{todo: doBegin, known: v.id, fresh: hex.EncodeToString(fresh.id[:])})
	if err != nil {
		return err
	}
	if a.code == codeSkewed {
		return fmt.Errorf("replay: join the ledger on Valkey: %w; set both clocks by NTP", ErrClock)
	}
	raw, err := hex.DecodeString(a.id)
	if err != nil || len(raw) != len(v.epoch.id) {
		return fmt.Errorf("replay: the ledger on Valkey is named %q: %w", a.id, keystile.ErrUnavailable)
	}
	copy(v.epoch.id[:], raw)
	v.id = a.id
	return nil
}

// checkServer refuses a server that may lose single nonces.
func (v *Valkey) checkServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	facts := map[string]string{}
	for _, section := range []string{"server", "memory", "cluster"} {
		text, err := v.client.Do(ctx, v.client.B().Info().Section(section).Build()).ToString()
		if err != nil {
			return v.note(fmt.Errorf("replay: ask Valkey how it runs: %w: %w", keystile.ErrUnavailable, err))
		}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			facts[name] = value
		}
	}
	switch policy := facts["maxmemory_policy"]; {
	case policy != "noeviction":
		return v.note(keystile.Invalidf("valkey", "set maxmemory-policy noeviction, or use another server for nonces",
			"the server runs with maxmemory-policy %s, so it may drop a spent nonce, which could be used again", policy))
	case facts["cluster_enabled"] == "1":
		return v.note(keystile.Invalidf("valkey", "use a server that is not a cluster", "the ledger of spent nonces needs one server with one history"))
	}
	version := facts["valkey_version"]
	if version == "" {
		version = facts["redis_version"]
	}
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < 7 {
		return v.note(keystile.Invalidf("valkey", "use Valkey, or Redis 7 or later", "the server's version is %q", version))
	}
	return nil
}

// Close ends the connection, if it is Valkey's own.
func (v *Valkey) Close() {
	if v.owned {
		v.client.Close()
	}
}

// Epoch is what the store must keep before the first claim is answered, and
// pass to the next NewValkey. All nodes answer the same id.
func (v *Valkey) Epoch() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.epoch.String()
}

// Widen implements Ledger. The server is told with the next call.
func (v *Valkey) Widen(ctx context.Context, window time.Duration, keep Keep) error {
	v.mu.Lock()
	wider := v.epoch
	v.mu.Unlock()
	if window > wider.window {
		wider.window = window
		if err := keep(ctx, wider.String()); err != nil {
			return fmt.Errorf("replay: widen the clock window: %w", err)
		}
		v.mu.Lock()
		v.epoch.window = max(v.epoch.window, window)
		v.mu.Unlock()
	}
	return v.memory.Widen(ctx, window, keep)
}

// Claim implements Ledger. A claim whose answer is lost or late is
// unavailable: it may have been made.
func (v *Valkey) Claim(ctx context.Context, n Nonce) error {
	if v.look {
		return errReader
	}
	now := v.memory.now()
	k, err := v.memory.admit(&n, now)
	if err != nil {
		return err
	}
	if err := v.memory.spend(&k, now); err != nil {
		return err
	}
	return v.ask(ctx, doClaim, &n, &k)
}

// Spent implements Ledger.
func (v *Valkey) Spent(ctx context.Context, n Nonce) error {
	k, err := v.memory.admit(&n, v.memory.now())
	if err != nil {
		return err
	}
	if err := v.memory.spent(&k); err != nil {
		return err
	}
	return v.ask(ctx, doLook, &n, &k)
}

// Check asks the server, so that Status is of now and a loss is noticed before
// the next claim. Call it every few seconds.
func (v *Valkey) Check(ctx context.Context) error {
	if err := v.checkServer(ctx); err != nil || v.look {
		return err
	}
	a, err := v.call(ctx, question{todo: doCheck, known: v.id})
	if err != nil {
		return err
	}
	if a.code == codeSkewed || a.code == codeForeign {
		return v.note(a.err())
	}
	return nil
}

// ask has one nonce claimed or looked up.
func (v *Valkey) ask(ctx context.Context, todo string, n *Nonce, k *mark) error {
	a, err := v.call(ctx, question{todo: todo, known: v.id, mark: *k, stamp: n.stamp(v.memory.window()).UnixMilli()})
	if err != nil {
		return err
	}
	err = a.err()
	if a.code == codeSkewed || a.code == codeForeign {
		return v.note(err)
	}
	return err
}

// question is what one run of the script is about.
type question struct {
	todo  string
	known string // id of the ledger
	fresh string // id for a ledger that begins where none is known
	mark  mark   // for claim and look
	stamp int64  // Unix milliseconds
}

// call runs the script.
func (v *Valkey) call(ctx context.Context, q question) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	v.mu.Lock()
	window := v.epoch.window
	v.mu.Unlock()
	args := make([]string, 0, 12)
	args = append(args, q.todo, q.known, q.fresh, string(q.mark.key[:]),
		strconv.FormatInt(q.mark.last/int64(time.Millisecond), 10), strconv.FormatInt(q.stamp, 10),
		strconv.FormatInt(v.memory.now().UnixMilli(), 10), milli(window))
	reply, err := v.script.Exec(ctx, v.client, v.keys, append(args, v.fixed...)).ToArray()
	if err != nil {
		return answer{}, v.note(fmt.Errorf("ask the ledger of spent nonces on Valkey: %w: %w", keystile.ErrUnavailable, err))
	}
	a, err := readAnswer(reply)
	if err != nil {
		return a, v.note(err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.trouble, v.refuse, v.floor = nil, a.refuse, a.floor
	return a, nil
}

// note keeps a trouble for Status.
func (v *Valkey) note(err error) error {
	if errors.Is(err, context.Canceled) {
		return err // the request ended, which says nothing of the server
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.trouble = err
	return err
}

// Status says how the ledger was when it was last asked; see Check.
func (v *Valkey) Status() Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := Status{
		Ready: true, Text: "ok", Live: v.memory.Live(), Bytes: v.memory.Bytes(), Floor: v.floor, IncompleteUntil: v.refuse,
	}
	switch {
	case v.trouble != nil:
		s.Ready, s.Text = false, v.trouble.Error()
	case !v.refuse.IsZero() && !v.memory.now().After(v.refuse):
		s.Ready, s.Text = false, incompleteText(v.refuse)
	}
	return s
}

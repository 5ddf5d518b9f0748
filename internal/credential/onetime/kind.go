package onetime

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
	"keystile.dev/keystile/internal/credential/warm"
)

// Record is what the store knows of one signing key.
type Record struct {
	Key          keystile.SigningKey
	Organization keystile.Organization
}

// Nonce is what a one-time request spends.
type Nonce struct {
	// Scope is whose nonce it is: the API key of the signing key.
	Scope string
	// Space is shared by keys that one signature may be good for. The header form
	// signs API key and nonce with nothing between them: where two API keys have one
	// secret and one name begins with the other, the same signature fits both, with
	// the text cut at another place. Within a space that is one nonce.
	Space string
	// Value is the nonce as it was signed.
	Value string
	// Stamp is when the request says it was signed (timestamp, iat, created).
	Stamp time.Time
	// LastValid is the last instant at which the request can pass the clock check.
	LastValid time.Time
}

// Ledger remembers spent nonces. Both methods are safe for concurrent use; an
// error that is not ErrReplayed means "cannot tell".
type Ledger interface {
	// Claim spends a nonce, exactly once however many ask at the same time, and
	// remembers it at least until LastValid. ErrReplayed: it was spent before.
	Claim(ctx context.Context, n Nonce) error
	// Spent answers as Claim would and spends nothing.
	Spent(ctx context.Context, n Nonce) error
}

// Use is one use of a signing key, for the last-used batch.
type Use struct {
	KeyID string
	At    time.Time
}

// useInterval is how often the use of one key is recorded.
const useInterval = 5 * time.Second

// Options configure a Kind. All but Used and the numbers are required.
type Options struct {
	// Find reads the signing key with that name (SigningKey.APIKey), and its
	// organisation. None is keystile.ErrNotFound.
	Find func(ctx context.Context, apiKey string) (Record, error)
	// Open unseals an HS256 secret that was sealed for a place.
	Open   func(sealed []byte, place string) ([]byte, error)
	Ledger Ledger
	// Fresh says whether changes are still heard of.
	Fresh func(time.Time) bool
	Now   func() time.Time
	// DefaultWindow is the clock window of organisations that name none; 0 is 60 s.
	DefaultWindow time.Duration
	// Used is told that a key was used, at most once in five seconds a key; it must not block.
	Used func(Use)
	// MaxEntries and MaxRejections bound what is remembered, Lookups and LookupBatch
	// what may be asked of the store at once; 0 is the default of package warm.
	MaxEntries, MaxRejections, Lookups, LookupBatch int
}

// Kind proves and claims one-time requests. It is safe for concurrent use.
type Kind struct {
	o       Options
	cache   *warm.Cache
	names   names
	costly  *costly
	started time.Time
}

// New makes the kind.
func New(o Options) (*Kind, error) {
	if o.Find == nil || o.Open == nil || o.Ledger == nil || o.Fresh == nil || o.Now == nil {
		return nil, errors.New("one-time requests: Find, Open, Ledger, Fresh and Now are required")
	}
	if o.DefaultWindow == 0 {
		o.DefaultWindow = rememberedWindow
	}
	k := &Kind{o: o, costly: newCostly(), started: o.Now()}
	k.names.waiting = map[warm.Digest]*name{}
	cache, err := warm.New(warm.Options{
		Lookup: k.lookup, Credential: keystile.ChangeSigningKey, Fresh: o.Fresh, Now: o.Now,
		MaxEntries: o.MaxEntries, MaxRejections: o.MaxRejections, Workers: o.Lookups, BatchSize: o.LookupBatch,
	})
	if err != nil {
		return nil, fmt.Errorf("one-time requests: %w", err)
	}
	k.cache = cache
	return k, nil
}

// Name implements keystile.Kind.
func (k *Kind) Name() keystile.KindName { return keystile.KindOneTime }

// Parse implements keystile.Kind: an HTTP message signature if it was found as
// one, else a JWT if it has three parts, else the header form.
func (k *Kind) Parse(r *keystile.Request, f keystile.Found) (keystile.Presented, error) {
	text := f.Value.Reveal()
	var p *proof
	var err error
	switch {
	case f.Header == credential.HeaderSignature:
		text = r.Header.Get(credential.HeaderSignatureInput) + "\n" + text
		p, err = parseMessage(r)
	case len(text) > credential.MaxLength:
		err = malformed("the credential is longer than 8 KiB")
	case strings.Count(text, ".") == 2:
		p, err = parseJWT(text)
	default:
		p, err = parseHeader(text)
	}
	if err != nil {
		return keystile.Presented{}, err
	}
	var space [1024]byte // most credentials fit: no copy on the heap
	return keystile.Presented{
		Kind: keystile.KindOneTime, Digest: sha256.Sum256(append(space[:0], text...)), Value: f.Value, Detail: p, Source: sourceOf(r.ClientAddr),
	}, nil
}

// sourceOf is the address that failures are counted by: IPv6 callers own a whole /64.
func sourceOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// Verify implements keystile.Kind.
func (k *Kind) Verify(ctx context.Context, presented keystile.Presented) (*keystile.Principal, error) {
	p, entry, key, err := k.keyOf(ctx, presented)
	if err != nil {
		return nil, err
	}
	now := k.o.Now()
	if rejection := key.check(p, now); rejection != nil {
		return nil, rejection
	}
	if err := k.prove(ctx, presented.Source, key, p); err != nil {
		return nil, err
	}
	if p.content != nil {
		if err := p.content.check(); err != nil {
			return nil, err
		}
	}
	if k.o.Used != nil && entry.ReportDue(now, useInterval) {
		k.o.Used(Use{KeyID: entry.Principal.CredentialID, At: now})
	}
	return entry.Principal, nil
}

// prove checks the signature. Wrong costly ones are counted; see costly.
func (k *Kind) prove(ctx context.Context, source netip.Addr, key *key, p *proof) error {
	switch {
	case p.algorithm != "" && p.algorithm != key.verifier.algorithm:
		return keystile.Reject(keystile.ReasonSignatureInvalid, "the request names another algorithm than its key has")
	case p.broken != "":
		return keystile.Reject(keystile.ReasonSignatureInvalid, p.broken)
	case !key.verifier.costly():
		if !key.verifier.verify(p.signed, p.signature) {
			return wrongSignature
		}
		return nil
	}
	who := pair{source, p.keyDigest}
	leave, err := k.costly.enter(ctx, who, k.o.Now())
	if err != nil {
		return err
	}
	defer leave()
	if !key.verifier.verify(p.signed, p.signature) {
		k.costly.failed(who, k.o.Now())
		return wrongSignature
	}
	return nil
}

// wrongSignature is made once: a flood of wrong ones must cost little.
var wrongSignature = keystile.Reject(keystile.ReasonSignatureInvalid, "the signature is not the key's over what was sent")

// Claim implements keystile.Claimer. A key that was revoked since Verify spends nothing.
func (k *Kind) Claim(ctx context.Context, presented keystile.Presented) error {
	return k.ledger(ctx, presented, k.o.Ledger.Claim)
}

// Spent implements keystile.Claimer.
func (k *Kind) Spent(ctx context.Context, presented keystile.Presented) error {
	return k.ledger(ctx, presented, k.o.Ledger.Spent)
}

func (k *Kind) ledger(ctx context.Context, presented keystile.Presented, ask func(context.Context, Nonce) error) error {
	p, _, key, err := k.keyOf(ctx, presented)
	if err != nil {
		return err
	}
	n := Nonce{Scope: key.scope, Space: key.space, Value: string(p.nonce), Stamp: time.Unix(p.times.stamp, 0), LastValid: key.clock.lastValid(p)}
	if err := ask(ctx, n); err != nil {
		return fmt.Errorf("the nonce of a one-time request: %w", err)
	}
	return nil
}

// keyOf is the parsed proof, and the live key that its name stands for.
func (k *Kind) keyOf(ctx context.Context, presented keystile.Presented) (*proof, *warm.Entry, *key, error) {
	p, ok := presented.Detail.(*proof)
	if !ok {
		return nil, nil, nil, fmt.Errorf("a one-time request that was not parsed here: %w", keystile.ErrUnavailable)
	}
	entry, ok := k.cache.Get(p.keyDigest, k.o.Now())
	if !ok {
		release := k.names.hold(p.keyDigest, string(p.apiKey))
		defer release()
		var err error
		if entry, err = k.cache.Load(ctx, p.keyDigest, presented.Source); err != nil {
			return nil, nil, nil, err
		}
	}
	key, ok := entry.Detail.(*key)
	if !ok {
		return nil, nil, nil, fmt.Errorf("a remembered key without its verifier: %w", keystile.ErrUnavailable)
	}
	return p, entry, key, nil
}

// Apply drops what a change made stale.
func (k *Kind) Apply(change keystile.Change) { k.cache.Apply(change) }

// Warm is how many keys are remembered.
func (k *Kind) Warm() int { return k.cache.Len() }

// Close ends background work.
func (k *Kind) Close() { k.cache.Close() }

// names holds the names of the keys that are being looked up: the cache knows
// them by digest alone, the store by name.
type names struct {
	mu      sync.Mutex
	waiting map[warm.Digest]*name
}

type name struct {
	text    string
	holders int
}

// hold keeps a name until release is called.
func (n *names) hold(digest warm.Digest, text string) (release func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	held := n.waiting[digest]
	if held == nil {
		held = &name{text: text}
		n.waiting[digest] = held
	}
	held.holders++
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if held.holders--; held.holders == 0 {
			delete(n.waiting, digest)
		}
	}
}

func (n *names) of(digest warm.Digest) (text string, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	held, ok := n.waiting[digest]
	if !ok {
		return "", false
	}
	return held.text, true
}

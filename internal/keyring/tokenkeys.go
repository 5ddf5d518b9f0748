package keyring

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/jws"
)

func base64url(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// TokenKeysOptions configure TokenKeys.
type TokenKeysOptions struct {
	// Load reads the set as the store has it now.
	Load func(ctx context.Context) (*TokenSet, error)
	// Secret is the general HS256 secret of the configuration; empty: the set's.
	Secret keystile.Secret
	Now    func() time.Time
}

// TokenKeys sign session tokens and verify them. They read the set again after a
// change to it, before they next sign or verify: until then they answer
// [keystile.ErrUnavailable]. They read it, too, for a token that no key they know
// has signed: another server may have heard of a new key first. It is safe for
// concurrent use.
type TokenKeys struct {
	load   func(context.Context) (*TokenSet, error)
	secret keystile.Secret
	now    func() time.Time

	changes atomic.Int64 // counts changes
	mu      sync.Mutex   // one reading at a time
	ready   atomic.Pointer[openKeys]
	missed  time.Time // when the set was last read for an unknown key; under mu
}

// missInterval is how often unknown keys may have the set read again: whoever has
// one good token can make as many as they like that name a key which is not there.
const missInterval = 100 * time.Millisecond

// openKeys is a set ready for use.
type openKeys struct {
	change int64 // that the set was read after
	keys   []*openKey
}

// openKey is one key ready for use.
type openKey struct {
	TokenKey
	verifier *jws.Key
	signers  map[string]jose.Signer // of a public key, one for each type of token
	secret   []byte                 // of HS256
}

// NewTokenKeys makes TokenKeys that read the set when it is first needed.
func NewTokenKeys(o TokenKeysOptions) *TokenKeys {
	return &TokenKeys{load: o.Load, secret: o.Secret, now: o.Now}
}

// Apply hears of a change.
func (k *TokenKeys) Apply(change keystile.Change) {
	if change.Kind == keystile.ChangeTokenKey || change.Kind == keystile.ChangeAll {
		k.changes.Add(1)
	}
}

// current is the set as it was after the last change.
func (k *TokenKeys) current(ctx context.Context) (*openKeys, error) {
	if ready := k.ready.Load(); ready != nil && ready.change == k.changes.Load() {
		return ready, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if ready := k.ready.Load(); ready != nil && ready.change == k.changes.Load() {
		return ready, nil
	}
	return k.read(ctx)
}

// again reads the set for a token that none of its keys has signed, unless that
// was done a moment ago; nil then, and if it cannot be read.
func (k *TokenKeys) again(ctx context.Context) *openKeys {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if since := now.Sub(k.missed); since < missInterval && since > -missInterval {
		return nil
	}
	k.missed = now
	ready, err := k.read(ctx)
	if err != nil {
		return nil
	}
	return ready
}

// read reads and opens the set. The lock is held.
func (k *TokenKeys) read(ctx context.Context) (*openKeys, error) {
	change := k.changes.Load() // before the reading: a later change makes it stale
	set, err := k.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the token keys: %w: %w", keystile.ErrUnavailable, err)
	}
	ready, err := k.open(set)
	if err != nil {
		return nil, fmt.Errorf("open the token keys: %w: %w", keystile.ErrUnavailable, err)
	}
	ready.change = change
	k.ready.Store(ready)
	return ready, nil
}

func (k *TokenKeys) open(set *TokenSet) (*openKeys, error) {
	ready := &openKeys{}
	for i := range set.keys {
		stored := &set.keys[i]
		if stored.Algorithm == keystile.HS256 && stored.OrganizationID == "" && k.secret != "" {
			continue // the configuration's takes its place
		}
		key, err := openTokenKey(stored)
		if err != nil {
			return nil, fmt.Errorf("token key %s: %w", stored.ID, err)
		}
		ready.keys = append(ready.keys, key)
	}
	if k.secret != "" {
		key, err := openTokenKey(&storedKey{TokenKey: TokenKey{ID: "configured", Algorithm: keystile.HS256}, Material: []byte(k.secret.Reveal())})
		if err != nil {
			return nil, err
		}
		ready.keys = append(ready.keys, key)
	}
	return ready, nil
}

func openTokenKey(stored *storedKey) (*openKey, error) {
	key := &openKey{TokenKey: stored.TokenKey}
	var err error
	if stored.Algorithm == keystile.HS256 {
		key.secret = stored.Material
		key.verifier, err = jws.NewSecret(keystile.Secret(stored.Material))
		return key, err
	}
	private, err := privateOf(stored.Material)
	if err != nil {
		return nil, err
	}
	if key.verifier, err = jws.NewPublic(stored.ID, private.Public()); err != nil {
		return nil, err
	}
	if key.verifier.Algorithm() != stored.Algorithm {
		return nil, fmt.Errorf("it is for %s, and said to be for %s", key.verifier.Algorithm(), stored.Algorithm)
	}
	key.signers = map[string]jose.Signer{}
	for _, typ := range tokenTypes {
		key.signers[typ], err = jose.NewSigner(
			jose.SigningKey{Algorithm: jose.SignatureAlgorithm(stored.Algorithm), Key: jose.JSONWebKey{Key: private, KeyID: stored.ID}},
			(&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
		if err != nil {
			return nil, fmt.Errorf("use it: %w", err)
		}
	}
	return key, nil
}

// signing is the key of a line that signs now.
func (o *openKeys) signing(algorithm keystile.SigningAlgorithm, organization string, now time.Time) *openKey {
	var found *openKey
	for _, k := range o.keys {
		if k.sameLine(algorithm, organization) && k.live(now) && !now.Before(k.SignsFrom) && (found == nil || !k.SignsFrom.Before(found.SignsFrom)) {
			found = k
		}
	}
	return found
}

// tokenTypes are the types of tokens that are signed: of sessions and ID tokens, access
// tokens (RFC 9068, section 2.1) and logout tokens (OpenID Connect Back-Channel Logout,
// section 2.4). No verifier takes one for another (RFC 8725, section 3.11).
var tokenTypes = []string{"JWT", "at+jwt", "logout+jwt"}

// Sign is SignAs for tokens of type JWT.
func (k *TokenKeys) Sign(ctx context.Context, algorithm keystile.SigningAlgorithm, claims []byte) (keystile.Secret, error) {
	return k.SignAs(ctx, algorithm, "JWT", claims)
}

// SignAs signs claims with the key of an algorithm that signs now, and names it and the
// token's type in the header. An algorithm without a key, and a type that is none of
// ours, is an error.
func (k *TokenKeys) SignAs(ctx context.Context, algorithm keystile.SigningAlgorithm, typ string, claims []byte) (keystile.Secret, error) {
	ready, err := k.current(ctx)
	if err != nil {
		return "", err
	}
	key := ready.signing(algorithm, "", k.now())
	if key == nil || key.signers[typ] == nil {
		return "", fmt.Errorf("sign a token: there is no key for %s and type %s: %w", algorithm, typ, keystile.ErrUnavailable)
	}
	signed, err := key.signers[typ].Sign(claims)
	if err != nil {
		return "", fmt.Errorf("sign a token with key %s: %w", key.ID, err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("sign a token with key %s: %w", key.ID, err)
	}
	return keystile.Secret(text), nil
}

// sharedHeader is the header of tokens under a secret: {"alg":"HS256","typ":"JWT"}.
var sharedHeader = base64url([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "."

// SignShared signs claims with the HS256 secret of an organisation, or with the
// general one where it has none.
func (k *TokenKeys) SignShared(ctx context.Context, organization string, claims []byte) (keystile.Secret, error) {
	ready, err := k.current(ctx)
	if err != nil {
		return "", err
	}
	now := k.now()
	var key *openKey
	if organization != "" {
		key = ready.signing(keystile.HS256, organization, now)
	}
	if key == nil {
		key = ready.signing(keystile.HS256, "", now)
	}
	if key == nil {
		return "", fmt.Errorf("sign a token: there is no HS256 secret: %w", keystile.ErrUnavailable)
	}
	text := base64.RawURLEncoding.AppendEncode([]byte(sharedHeader), claims)
	mac := hmac.New(sha256.New, key.secret)
	mac.Write(text)
	text = append(text, '.')
	return keystile.Secret(base64.RawURLEncoding.AppendEncode(text, mac.Sum(nil))), nil
}

// Verify says whether the public key that the token names signed it. Only a key
// of this set is ever looked for, and it says what algorithm it is for.
func (k *TokenKeys) Verify(ctx context.Context, t *jws.Token) (bool, error) {
	ready, err := k.current(ctx)
	if err != nil || t.KeyID == "" {
		return false, err
	}
	key := ready.named(t.KeyID)
	if key == nil {
		if ready = k.again(ctx); ready == nil {
			return false, nil
		}
		key = ready.named(t.KeyID)
	}
	return key != nil && key.live(k.now()) && key.verifier.Verify(t), nil
}

// named is the public key of that name.
func (o *openKeys) named(id string) *openKey {
	for _, key := range o.keys {
		if key.signers != nil && key.ID == id {
			return key
		}
	}
	return nil
}

// VerifyShared says whether a secret of the organisation signed the token: one of
// its own, or the general one where it has none or has had one only for as long as
// older tokens live.
func (k *TokenKeys) VerifyShared(ctx context.Context, organization string, t *jws.Token) (bool, error) {
	ready, err := k.current(ctx)
	if err != nil || t.KeyID != "" {
		return false, err
	}
	if ready.signedShared(organization, t, k.now()) {
		return true, nil
	}
	ready = k.again(ctx)
	return ready != nil && ready.signedShared(organization, t, k.now()), nil
}

// signedShared says whether a secret that counts for the organisation signed the token.
func (o *openKeys) signedShared(organization string, t *jws.Token, now time.Time) bool {
	general := o.generalCounts(organization, now)
	for _, key := range o.keys {
		counts := key.OrganizationID == organization || key.OrganizationID == "" && general
		if key.secret != nil && counts && key.live(now) && key.verifier.Verify(t) {
			return true
		}
	}
	return false
}

// generalCounts says whether the general secret signs for an organisation: it has
// none of its own, or has one only for as long as older tokens live.
func (o *openKeys) generalCounts(organization string, now time.Time) bool {
	for _, key := range o.keys {
		if organization != "" && key.sameLine(keystile.HS256, organization) && key.SharedUntil.Before(now) {
			return false
		}
	}
	return true
}

// Public is every public key that tokens may be verified with, those that will
// sign soon among them. While the store is away it is the set last read.
func (k *TokenKeys) Public(ctx context.Context) ([]*jws.Key, error) {
	ready, err := k.current(ctx)
	if err != nil {
		if ready = k.ready.Load(); ready == nil {
			return nil, err
		}
	}
	now := k.now()
	var keys []*jws.Key
	for _, key := range ready.keys {
		if key.signers != nil && key.live(now) {
			keys = append(keys, key.verifier)
		}
	}
	return keys, nil
}

package manage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/login/password"
	"keystile.dev/keystile/internal/store"
)

// ErrNotPermitted says that the thing may be seen, but that the caller's token may not do
// this to it, such as giving another token more than it has itself.
var ErrNotPermitted = errors.New("not permitted")

// Sealer seals values for one place each; [keyring.Sealer] is one. It is safe
// for concurrent use.
type Sealer interface {
	Seal(plain []byte, place string) ([]byte, error)
	// Open opens what was sealed for the same place by the same store.
	Open(sealed []byte, place string) ([]byte, error)
	// MasterID names the master key that the sealed values hang on.
	MasterID() string
}

// Hasher hashes and verifies passwords; [password.Hasher] is one. It waits for its
// turn and is safe for concurrent use.
type Hasher interface {
	Hash(ctx context.Context, text keystile.Secret) (string, error)
	// Verify says whether a password has a stored hash. began is called before anything is hashed.
	Verify(ctx context.Context, stored string, text keystile.Secret, began func(context.Context) error) (ok, outdated bool, err error)
}

// Service runs management operations on one store. It is safe for concurrent
// use; its fields are set once, before first use.
type Service struct {
	Store *store.Store
	// Digester makes the keyed digests that secrets are stored as.
	Digester *keyring.Digester
	// Sealer seals what must be readable again: HS256 secrets of signing keys.
	Sealer Sealer
	// Passwords hashes passwords; nil: none can be set.
	Passwords Hasher
	// PasswordPolicy says which new passwords are good enough.
	PasswordPolicy password.Policy
	// Issuer is what authenticator apps show; empty: Keystile.
	Issuer string
	// Reachable says whether webhooks may be delivered to an address; nil: that is
	// asked at delivery alone.
	Reachable func(netip.Addr) error
	// Random is a cryptographic source, crypto/rand.Reader outside tests.
	Random io.Reader
	// Now is the clock, time.Now outside tests.
	Now func() time.Time

	// TokenLife is the longest that a session token lives: for so long a token key
	// verifies after its last signature. 0 is the longest that configuration allows, 30 days.
	TokenLife time.Duration

	// token confines the operations to what an admin token may touch; nil: the operator.
	token *keystile.AdminToken
}

// For returns a Service that acts on behalf of an admin token: one bound to an
// organisation sees and changes that organisation's things only, and no token
// makes another one that may do more than itself.
func (s *Service) For(token keystile.AdminToken) *Service {
	narrowed := *s
	narrowed.token = &token
	return &narrowed
}

// boundTo is the organisation the caller is confined to; empty: none.
func (s *Service) boundTo() string {
	if s.token == nil {
		return ""
	}
	return s.token.OrganizationID
}

// sees says whether things of an organisation exist for the caller.
func (s *Service) sees(organizationID string) bool {
	bound := s.boundTo()
	return bound == "" || bound == organizationID
}

// scope returns the organisation to list: the one asked for, or the caller's
// own. ok is false where the caller may see nothing of what it asked for.
func (s *Service) scope(organizationID string) (id string, ok bool) {
	bound := s.boundTo()
	if bound == "" {
		return organizationID, true
	}
	return bound, organizationID == "" || organizationID == bound
}

// global refuses callers that are confined to an organisation.
func (s *Service) global(what string) error {
	if s.boundTo() != "" {
		return fmt.Errorf("%s with a token bound to an organization: %w", what, ErrNotPermitted)
	}
	return nil
}

// now is the clock in the resolution that the store keeps.
func (s *Service) now() time.Time {
	return s.Now().UTC().Truncate(time.Microsecond)
}

// newID makes an id that nobody can guess or meet by chance: prefix and 16
// characters of base32, 80 bits.
func (s *Service) newID(prefix string) (string, error) {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	var random [16]byte
	if _, err := io.ReadFull(s.Random, random[:]); err != nil {
		return "", fmt.Errorf("draw random bytes for an id: %w", err)
	}
	id := make([]byte, 0, len(prefix)+len(random))
	id = append(id, prefix...)
	for _, b := range random {
		id = append(id, alphabet[b&31])
	}
	return string(id), nil
}

// missing is the error for a thing that is not there, or not there for the caller.
func missing(noun, id string) error {
	return fmt.Errorf("%s %q: %w", noun, id, keystile.ErrNotFound)
}

// change runs fn in one transaction. Its result counts only if the transaction
// was committed; fn may run several times.
func change[T any](ctx context.Context, s *Service, a store.Actor, fn func(context.Context, *store.Tx) (T, error)) (T, error) {
	var result, none T
	err := s.Store.Mutate(ctx, a, func(ctx context.Context, tx *store.Tx) error {
		var err error
		result, err = fn(ctx, tx)
		return err
	})
	if err != nil {
		return none, err
	}
	return result, nil
}

// remove is change for operations that leave nothing to return.
func remove(ctx context.Context, s *Service, a store.Actor, fn func(context.Context, *store.Tx) error) error {
	return s.Store.Mutate(ctx, a, fn)
}

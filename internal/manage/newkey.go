package manage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/store"
)

// keyIDs are words that stand where a key's id stands in the API's paths.
var keyIDs = []string{"self", "leaked", "bulk", "bulk-revoke"}

// NewKey says what an API key is to be. At most one of Secret, SHA256 and
// Digests is set: the key is imported; with none of them a secret is generated.
type NewKey struct {
	// ID may be empty, then one is drawn: "key_" and 16 characters.
	ID             string
	OrganizationID string
	Name           string
	// Environment defaults to the organisation's.
	Environment keystile.Environment
	// PermittedSiteIDs: none permits none.
	PermittedSiteIDs []string
	Scopes           []keystile.Scope
	// AllowedIPs: none allows any address.
	AllowedIPs []netip.Prefix
	// Limit replaces a route's own per-credential rate; nil keeps the route's.
	Limit *keystile.Rate
	// ExpiresAt: zero is never. A time that is past is refused unless AllowExpired.
	ExpiresAt time.Time
	// AllowExpired is for state files, which may hold keys already expired.
	AllowExpired bool
	// Secret imports a key of any shape.
	Secret keystile.Secret
	// SHA256 imports a key known only by the 32 bytes of its SHA-256.
	SHA256 []byte
	// Digests imports keyed digests as an export of this store wrote them.
	Digests []KeyDigest
	// Hint is kept with Digests, to recognise the key by.
	Hint string
	// Faults is what was found wrong with members while they were read; it is
	// told together with everything else. nil: nothing.
	Faults error
}

// KeyDigest is a secret as the store keeps it: its digest under a pepper.
type KeyDigest struct {
	Digest   [sha256.Size]byte
	PepperID string
	// ExpiresAt ends this secret alone; zero is never.
	ExpiresAt time.Time
}

// Warnings says what is allowed but probably not meant; each is one sentence
// "member: what; remedy" that shows nothing of a secret.
func (in NewKey) Warnings() []string {
	warnings := warnAddresses(in.AllowedIPs)
	if n := len(in.Secret); n > 0 && n < apikey.WeakImport {
		warnings = append(warnings, keystile.Invalidf("secret", "rotate the key soon",
			"an imported secret of %d characters can be guessed sooner than one of %d", n, apikey.WeakImport).Error())
	}
	return warnings
}

// CreateKey makes an API key. The secret is returned where it was generated
// and is empty for an import. The organisation must exist and not be disabled,
// the sites must be its own.
func (s *Service) CreateKey(ctx context.Context, a store.Actor, in NewKey) (keystile.APIKey, keystile.Secret, error) {
	// Outside the transaction, which then needs no second connection.
	if err := s.unused(ctx, in); err != nil {
		return keystile.APIKey{}, "", err
	}
	made, err := change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keyAndSecret, error) {
		key, secret, err := s.createKey(ctx, tx, in)
		return keyAndSecret{key, secret}, err
	})
	return made.key, made.secret, err
}

type keyAndSecret struct {
	key    keystile.APIKey
	secret keystile.Secret
}

// CreateKeyTx is CreateKey inside a transaction.
func (s *Service) CreateKeyTx(ctx context.Context, tx *store.Tx, in NewKey) (keystile.APIKey, keystile.Secret, error) {
	if err := s.unused(ctx, in); err != nil {
		return keystile.APIKey{}, "", err
	}
	return s.createKey(ctx, tx, in)
}

func (s *Service) createKey(ctx context.Context, tx *store.Tx, in NewKey) (keystile.APIKey, keystile.Secret, error) {
	var none keystile.APIKey
	if in.OrganizationID == "" {
		in.OrganizationID = s.boundTo()
	}
	org, key, err := s.describeKey(ctx, tx, in)
	if err != nil {
		return none, "", err
	}
	made, err := s.keySecrets(org, key, in)
	if err != nil {
		return none, "", err
	}
	key.Hint = made.hint
	if err := tx.CreateAPIKey(ctx, key, made.stored...); err != nil {
		return none, "", fmt.Errorf("create API key %q: %w", key.ID, err)
	}
	return key, made.shown, nil
}

// describeKey checks everything that is wrong with a new key at once and
// returns the record it will be.
func (s *Service) describeKey(ctx context.Context, tx *store.Tx, in NewKey) (keystile.Organization, keystile.APIKey, error) {
	now := s.now()
	key := keystile.APIKey{
		ID: in.ID, OrganizationID: in.OrganizationID, Name: in.Name, Environment: in.Environment,
		PermittedSiteIDs: in.PermittedSiteIDs, Scopes: in.Scopes, AllowedIPs: in.AllowedIPs,
		Limit: in.Limit, CreatedAt: now, UpdatedAt: now,
	}
	if !in.ExpiresAt.IsZero() {
		key.ExpiresAt = in.ExpiresAt.UTC().Truncate(time.Microsecond)
	}
	var p problems
	if err := p.take(in.Faults); err != nil {
		return keystile.Organization{}, key, err
	}
	if key.ID == "" {
		id, err := s.newID("key_")
		if err != nil {
			return keystile.Organization{}, key, err
		}
		key.ID = id
	}
	p.id("id", key.ID, keyIDs...)
	checkKeyRights(&p, key)
	if !in.AllowExpired {
		p.expiry("expires_at", key.ExpiresAt, now)
	}
	s.checkImport(&p, in)
	org, err := s.keyOwner(ctx, tx, &p, &key)
	if err != nil {
		return org, key, err
	}
	return org, key, p.err()
}

// keyOwner checks what depends on a new key's organisation: that it may have
// keys, its environment and its sites.
func (s *Service) keyOwner(ctx context.Context, tx *store.Tx, p *problems, key *keystile.APIKey) (keystile.Organization, error) {
	p.reference("organization", key.OrganizationID)
	if !keystile.ValidID(key.OrganizationID) {
		return keystile.Organization{}, nil
	}
	org, err := s.owner(ctx, tx, key.OrganizationID)
	var invalid *keystile.Invalid
	if errors.As(err, &invalid) {
		p.under(invalid.Field, err)
		return org, nil
	}
	if err != nil {
		return org, err
	}
	if org.Disabled {
		p.add("organization", "enable the organization first", "the organization is disabled")
	}
	if key.Environment == "" {
		key.Environment = org.Environment
	}
	checkEnvironment(p, key.Environment)
	if s.boundTo() != "" && org.Environment == keystile.Sandbox && key.Environment != keystile.Sandbox {
		// Otherwise a tenant on trial could give itself production keys.
		p.add("environment", "use sandbox, or have the organization moved to production",
			"an organization in the sandbox makes sandbox keys only")
	}
	return org, s.checkSites(ctx, tx, p, *key)
}

// checkImport checks the secret a key is imported with.
func (s *Service) checkImport(p *problems, in NewKey) {
	given := 0
	if in.Secret != "" {
		given++
		p.under("secret", apikey.CheckImport(in.Secret))
		if strings.HasPrefix(in.Secret.Reveal(), adminTokenHead) {
			p.add("secret", "generate a new key", "the text looks like an admin token")
		}
	}
	if in.SHA256 != nil {
		given++
		if len(in.SHA256) != sha256.Size {
			p.add("sha256", "write the SHA-256 of the key as 64 hexadecimal digits", "has %d bytes", len(in.SHA256))
		}
	}
	if in.Digests != nil {
		given++
		for i, d := range in.Digests {
			if !s.Digester.Knows(d.PepperID) {
				p.add(fmt.Sprintf("digests[%d]", i), "apply it to the store that it was exported from",
					"was made with pepper %q, which this store does not have", d.PepperID)
			}
		}
		if len(in.Digests) == 0 || len(in.Digests) > maxLiveSecrets {
			p.add("digests", fmt.Sprintf("name 1 to %d", maxLiveSecrets), "names %d digests", len(in.Digests))
		}
	}
	if given > 1 {
		p.add("secret", "keep one of them", "secret, sha256 and digests exclude each other")
	}
}

// newSecrets are the secrets of a new key: what is stored, what is shown once.
type newSecrets struct {
	stored []keystile.APIKeySecret
	shown  keystile.Secret
	hint   string
}

func (s *Service) keySecrets(org keystile.Organization, key keystile.APIKey, in NewKey) (newSecrets, error) {
	switch {
	case in.Digests != nil:
		made := newSecrets{hint: in.Hint}
		for _, d := range in.Digests {
			made.stored = append(made.stored, keystile.APIKeySecret{
				KeyID: key.ID, Digest: d.Digest, PepperID: d.PepperID, CreatedAt: key.CreatedAt, ExpiresAt: d.ExpiresAt,
			})
		}
		return made, nil
	case in.Secret != "", in.SHA256 != nil:
		sum, hint := [sha256.Size]byte(in.sum()), ""
		if in.Secret != "" {
			hint = apikey.Hint(in.Secret)
		}
		return newSecrets{stored: []keystile.APIKeySecret{s.keySecret(key.ID, sum, key.CreatedAt)}, hint: hint}, nil
	}
	secret, err := apikey.Generate(s.Random, org.KeyPrefix, key.Environment)
	if err != nil {
		return newSecrets{}, fmt.Errorf("generate API key %q: %w", key.ID, err)
	}
	return newSecrets{
		stored: []keystile.APIKeySecret{s.keySecret(key.ID, apikey.Sum(secret), key.CreatedAt)},
		shown:  secret, hint: apikey.Hint(secret),
	}, nil
}

// sum is the SHA-256 of an imported key.
func (in NewKey) sum() []byte {
	if in.Secret != "" {
		sum := apikey.Sum(in.Secret)
		return sum[:]
	}
	return in.SHA256
}

// keySecret is a secret as it is stored: under the current pepper.
func (s *Service) keySecret(keyID string, sum [sha256.Size]byte, at time.Time) keystile.APIKeySecret {
	digest, pepperID := s.Digester.Digest(sum)
	return keystile.APIKeySecret{KeyID: keyID, Digest: digest, PepperID: pepperID, CreatedAt: at}
}

// unused refuses an imported secret that a key already has under a retired
// pepper; under the current one the store's unique index refuses it. Two keys
// with one secret would make it a matter of chance whose rights a caller gets.
func (s *Service) unused(ctx context.Context, in NewKey) error {
	sum := in.sum()
	if len(sum) != sha256.Size {
		return nil // no import, or one that is refused for its length
	}
	candidates := s.Digester.Candidates([sha256.Size]byte(sum), make([][sha256.Size]byte, 0, keyring.MaxPeppers))
	if len(candidates) < 2 {
		return nil
	}
	_, err := s.Store.FindAPIKeySecret(ctx, candidates)
	switch {
	case isNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("look for a key with the imported secret: %w", err)
	}
	return fmt.Errorf("import a secret that a key already has: %w", keystile.ErrConflict)
}

func isNotFound(err error) bool { return errors.Is(err, keystile.ErrNotFound) }

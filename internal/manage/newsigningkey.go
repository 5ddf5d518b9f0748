package manage

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/onetime"
	"keystile.dev/keystile/internal/store"
)

// MaxAPIKeyName is the longest api_key of a signing key, in bytes.
const MaxAPIKeyName = 200

// NewSigningKey says what a signing key is to be. At most one of Secret, Sealed
// and PublicKey is set: the key is imported; with none of them its secret or
// key pair is generated.
type NewSigningKey struct {
	// ID may be empty: then it is SigningKeyID of the APIKey.
	ID             string
	OrganizationID string
	Name           string
	// Environment defaults to the organisation's.
	Environment keystile.Environment
	// APIKey may be empty, then one is drawn: "sig_" and 20 characters.
	APIKey    string
	Algorithm keystile.SigningAlgorithm
	// PermittedSiteIDs, Scopes, AllowedIPs, Limit, ExpiresAt, AllowExpired: as of a NewKey.
	PermittedSiteIDs []string
	Scopes           []keystile.Scope
	AllowedIPs       []netip.Prefix
	Limit            *keystile.Rate
	ExpiresAt        time.Time
	AllowExpired     bool
	// Secret imports an HS256 key: its bytes are the HMAC key, whatever they are.
	Secret keystile.Secret
	// Sealed imports an HS256 key as an export of this store wrote it. ID is then required.
	Sealed []byte
	// PublicKey imports the others: PEM, PKCS#1 or SPKI.
	PublicKey string
	// Faults is what was found wrong with members while they were read; it is
	// told together with everything else. nil: nothing.
	Faults error
}

// Warnings says what is allowed but probably not meant; see NewKey.Warnings.
func (in NewSigningKey) Warnings() []string {
	return append(warnAddresses(in.AllowedIPs), warnSecret(in.Secret)...)
}

// warnSecret says what is weak about an imported secret.
func warnSecret(secret keystile.Secret) []string {
	if secret == "" {
		return nil
	}
	warning, err := onetime.CheckSecret(secret)
	if err != nil || warning == "" {
		return nil
	}
	return []string{keystile.Invalidf("secret", "rotate the key soon", "%s", warning).Error()}
}

// MadeSigningKey is a signing key with what is shown of it once.
type MadeSigningKey struct {
	Key keystile.SigningKey
	// Secret of an HS256 key that was generated; its text is the HMAC key.
	Secret keystile.Secret
	// PrivateKey of another one that was generated: PEM, PKCS#8. It is kept nowhere.
	PrivateKey keystile.Secret
}

// SigningKeyID is the id of a signing key that is given none: its api_key where
// that is an id, else "sgk_" and 16 characters made from it. So one state file
// makes the same ids everywhere.
func SigningKeyID(apiKey string) string {
	if keystile.ValidID(apiKey) && apiKey != "." && apiKey != ".." {
		return apiKey
	}
	sum := sha256.Sum256([]byte("signing key " + apiKey))
	return "sgk_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

// CreateSigningKey makes or imports a signing key. An api_key that any signing
// key has or ever had is keystile.ErrConflict. The organisation must exist and not be
// disabled, the sites must be its own.
func (s *Service) CreateSigningKey(ctx context.Context, a store.Actor, in NewSigningKey) (MadeSigningKey, error) {
	// Outside the transaction, which would wait for an RSA key to be found.
	ready, err := s.prepareSigningKey(ctx, in)
	if err != nil {
		return MadeSigningKey{}, err
	}
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (MadeSigningKey, error) {
		return s.createSigningKey(ctx, tx, ready)
	})
}

// CreateSigningKeyTx is CreateSigningKey inside a transaction. It is meant for
// imports: a key pair is generated while the transaction waits.
func (s *Service) CreateSigningKeyTx(ctx context.Context, tx *store.Tx, in NewSigningKey) (MadeSigningKey, error) {
	ready, err := s.prepareSigningKey(ctx, in)
	if err != nil {
		return MadeSigningKey{}, err
	}
	return s.createSigningKey(ctx, tx, ready)
}

// preparedKey is a signing key before the store was asked about it.
type preparedKey struct {
	made MadeSigningKey
	// faults are what is wrong with it so far; made has no material then.
	faults problems
}

// prepareSigningKey checks everything that needs no look-up, and makes what the
// key is verified by.
func (s *Service) prepareSigningKey(ctx context.Context, in NewSigningKey) (preparedKey, error) {
	now := s.now()
	if in.OrganizationID == "" {
		in.OrganizationID = s.boundTo()
	}
	key := keystile.SigningKey{
		ID: in.ID, OrganizationID: in.OrganizationID, Name: in.Name, Environment: in.Environment, APIKey: in.APIKey, Algorithm: in.Algorithm,
		PermittedSiteIDs: in.PermittedSiteIDs, Scopes: in.Scopes, AllowedIPs: in.AllowedIPs, Limit: in.Limit, CreatedAt: now, UpdatedAt: now,
	}
	if !in.ExpiresAt.IsZero() {
		key.ExpiresAt = in.ExpiresAt.UTC().Truncate(time.Microsecond)
	}
	var p problems
	if err := p.take(in.Faults); err != nil {
		return preparedKey{}, err
	}
	if err := s.nameSigningKey(&p, &key); err != nil {
		return preparedKey{}, err
	}
	checkKeyRights(&p, rightsOf(key))
	if !in.AllowExpired {
		p.expiry("expires_at", key.ExpiresAt, now)
	}
	in.ID = key.ID
	imported, err := s.importMaterial(&p, in)
	if err != nil || len(p) > 0 {
		return preparedKey{made: MadeSigningKey{Key: key}, faults: p}, err
	}
	made, err := s.material(ctx, key, imported)
	return preparedKey{made: made}, err
}

// nameSigningKey settles and checks the api_key and id of a new key.
func (s *Service) nameSigningKey(p *problems, key *keystile.SigningKey) error {
	if key.APIKey == "" {
		name, err := s.newAPIKeyName()
		if err != nil {
			return err
		}
		key.APIKey = name
	}
	p.under("api_key", CheckAPIKeyName(key.APIKey))
	if key.ID == "" {
		key.ID = SigningKeyID(key.APIKey)
	}
	p.id("id", key.ID)
	return nil
}

// CheckAPIKeyName checks the api_key of a signing key: 1-200 printable ASCII
// characters without space. Its error is *keystile.Invalid.
func CheckAPIKeyName(name string) error {
	bad := len(name) == 0 || len(name) > MaxAPIKeyName
	for i := range len(name) {
		bad = bad || name[i] <= ' ' || name[i] > '~'
	}
	if bad {
		return keystile.Invalidf("api_key", fmt.Sprintf("use 1 to %d printable ASCII characters without space", MaxAPIKeyName), "not an api_key")
	}
	return nil
}

// createSigningKey asks the store what only it knows, and writes.
func (s *Service) createSigningKey(ctx context.Context, tx *store.Tx, ready preparedKey) (MadeSigningKey, error) {
	made, p := ready.made, append(problems(nil), ready.faults...)
	rights := rightsOf(made.Key)
	_, err := s.keyOwner(ctx, tx, &p, &rights)
	if err != nil {
		return MadeSigningKey{}, err
	}
	if err := p.err(); err != nil {
		return MadeSigningKey{}, err
	}
	made.Key.Environment = rights.Environment
	if err := tx.CreateSigningKey(ctx, made.Key); err != nil {
		return MadeSigningKey{}, fmt.Errorf("create signing key %q: %w", made.Key.ID, err)
	}
	return made, nil
}

// rightsOf is what a signing key may do as an API key that may do the same, for
// the checks that both share.
func rightsOf(k keystile.SigningKey) keystile.APIKey {
	return keystile.APIKey{
		ID: k.ID, OrganizationID: k.OrganizationID, Name: k.Name, Environment: k.Environment, PermittedSiteIDs: k.PermittedSiteIDs,
		Scopes: k.Scopes, AllowedIPs: k.AllowedIPs, Limit: k.Limit, ExpiresAt: k.ExpiresAt, RevokedAt: k.RevokedAt,
	}
}

// errNoSealer: nothing that must be readable again can be kept.
var errNoSealer = errors.New("there is nothing to seal secrets with")

package federation

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/jws"
)

// Options configure a Verifier. All are required, but Of where no assertions are taken.
type Options struct {
	// Find reads a provider and its organisation by the provider's name. None is
	// keystile.ErrNotFound.
	Find func(ctx context.Context, name string) (keystile.IdentityProvider, keystile.Organization, error)
	// Of lists the providers of an organisation.
	Of func(ctx context.Context, organizationID string) ([]keystile.IdentityProvider, error)
	// Open unseals a provider's HS256 secret.
	Open func(sealed []byte, place string) ([]byte, error)
	// Fetch returns what a URL serves, at most limit bytes.
	Fetch func(ctx context.Context, url string, limit int64) ([]byte, error)
	Now   func() time.Time
}

// Verifier verifies tokens of identity providers. It is safe for concurrent use.
type Verifier struct {
	o    Options
	sets *sets[jws.Set]
	// configurations are the discovery documents of issuers that people sign in at.
	configurations *sets[configuration]
}

// New makes a Verifier.
func New(o Options) (*Verifier, error) {
	if o.Find == nil || o.Open == nil || o.Fetch == nil || o.Now == nil {
		return nil, errors.New("federation: Find, Open, Fetch and Now are required")
	}
	return &Verifier{o: o, sets: newSets(o, jws.MaxSet, jws.ParseSet), configurations: newSets(o, maxConfiguration, parseConfiguration)}, nil
}

// Apply drops the fetched keys of a provider that changed.
func (v *Verifier) Apply(change keystile.Change) {
	switch change.Kind {
	case keystile.ChangeProvider:
		v.sets.drop(change.ID)
		v.configurations.drop(change.ID)
	case keystile.ChangeAll:
		v.sets.dropAll()
		v.configurations.dropAll()
	default: // nothing else is about providers
	}
}

// Verify says whom a provider's token stands for. A "no" is [ErrInvalidToken]; any
// other error means that it cannot be told: the store or the provider's keys are away.
func (v *Verifier) Verify(ctx context.Context, provider string, token keystile.Secret) (Identity, error) {
	p, err := v.enabled(ctx, provider)
	if err != nil {
		return Identity{}, err
	}
	payload, err := v.signed(ctx, &p, types, token)
	if err != nil {
		return Identity{}, err
	}
	c, err := readClaims(payload)
	if err != nil {
		return Identity{}, err
	}
	id, err := c.identify(&p, p.Audience, v.o.Now())
	if err != nil {
		return Identity{}, err
	}
	if id.AuthenticatedAt, err = c.provenAt(Pending{}, v.o.Now()); err != nil {
		return Identity{}, err
	}
	return id, nil
}

// enabled reads a provider that may sign somebody in.
func (v *Verifier) enabled(ctx context.Context, provider string) (keystile.IdentityProvider, error) {
	p, organization, err := v.o.Find(ctx, provider)
	switch {
	case errors.Is(err, keystile.ErrNotFound):
		return p, refuse("there is no such provider")
	case err != nil:
		return p, fmt.Errorf("read an identity provider: %w: %w", keystile.ErrUnavailable, err)
	case p.Name != provider || organization.ID != p.OrganizationID:
		return p, refuse("the store compares names more loosely than we do")
	case p.Disabled, organization.Disabled:
		return p, refuse("provider " + p.Name + " or its organisation is disabled")
	}
	return p, nil
}

// signed is the payload of a token of one of the types that the provider signed.
func (v *Verifier) signed(ctx context.Context, p *keystile.IdentityProvider, types []string, token keystile.Secret) ([]byte, error) {
	parsed, err := jws.Parse(token.Reveal())
	if err != nil {
		return nil, refuse(err.Error())
	}
	if err := checkHeader(p, types, parsed); err != nil {
		return nil, err
	}
	if err := v.checkSignature(ctx, p, parsed); err != nil {
		return nil, err
	}
	return parsed.Payload, nil
}

// types are the "typ" of tokens that say who somebody is. Tokens of other types
// are signed with the same keys and say other things: that somebody was signed
// out, that a key was proven (RFC 8725, section 3.11).
var types = []string{"", "jwt", "at+jwt", "application/jwt", "application/at+jwt"}

func checkHeader(p *keystile.IdentityProvider, types []string, t *jws.Token) error {
	if t.Algorithm == "" || !slices.Contains(p.Algorithms, t.Algorithm) {
		return refuse("provider " + p.Name + " signs with other algorithms")
	}
	if !slices.Contains(types, strings.ToLower(t.Type)) {
		return refuse("a token of another type")
	}
	return nil
}

// checkSignature asks the provider's keys. Which of its sources counts is settled
// by the provider alone, and a secret verifies HS256 and nothing else does.
func (v *Verifier) checkSignature(ctx context.Context, p *keystile.IdentityProvider, t *jws.Token) error {
	if p.JWKSURL != "" {
		return v.checkFetched(ctx, place{p.Name, p.JWKSURL}, t)
	}
	if p.SignIn != nil && p.JWKS == "" && p.PublicKey == "" && len(p.SealedSecret) == 0 {
		found, err := v.configuration(ctx, p)
		if err != nil {
			return err
		}
		return v.checkFetched(ctx, place{p.Name, found.JWKSURI}, t)
	}
	verify, err := v.own(p)
	if err != nil {
		return fmt.Errorf("the keys of provider %s: %w: %w", p.Name, keystile.ErrUnavailable, err)
	}
	if !verify(t) {
		return refuse("the signature is not the provider's")
	}
	return nil
}

// own verifies with the keys of a provider that are in the store. A public key or
// a secret by itself has no name: it verifies a token whatever key that names.
func (v *Verifier) own(p *keystile.IdentityProvider) (func(*jws.Token) bool, error) {
	switch {
	case p.JWKS != "":
		set, err := jws.ParseSet([]byte(p.JWKS))
		return set.Verify, err
	case p.PublicKey != "":
		key, err := publicKey(p.PublicKey)
		return key.Verify, err
	case len(p.SealedSecret) > 0:
		secret, err := v.o.Open(p.SealedSecret, keystile.ProviderSecretPlace(p.Name))
		if err != nil {
			return nil, fmt.Errorf("open its secret: %w", err)
		}
		key, err := jws.NewSecret(keystile.Secret(secret))
		return key.Verify, err
	}
	return nil, errors.New("it has none")
}

// publicKey reads one PEM block, PKCS#1 or SPKI.
func publicKey(text string) (*jws.Key, error) {
	block, _ := pem.Decode([]byte(strings.TrimSpace(text)))
	if block == nil {
		return nil, errors.New("its public key is not PEM")
	}
	if key, err := x509.ParsePKCS1PublicKey(block.Bytes); err == nil {
		return jws.NewPublic("", key)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read its public key: %w", err)
	}
	return jws.NewPublic("", key)
}

// checkFetched asks the keys that the provider serves, fetched again if they do
// not know the one that the token names.
func (v *Verifier) checkFetched(ctx context.Context, place place, t *jws.Token) error {
	set, err := v.sets.of(ctx, place)
	if err != nil {
		return fmt.Errorf("the keys of provider %s: %w: %w", place.provider, keystile.ErrUnavailable, err)
	}
	key := set.Find(t)
	if key == nil && v.sets.again(ctx, place) {
		if set, err = v.sets.of(ctx, place); err == nil {
			key = set.Find(t)
		}
	}
	switch {
	case key == nil:
		return refuse("no key of the provider has that name and algorithm, or more than one")
	case !key.Verify(t):
		return refuse("the signature is not the provider's")
	}
	return nil
}

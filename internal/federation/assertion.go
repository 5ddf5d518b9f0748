package federation

import (
	"context"
	"fmt"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/jws"
)

// maxAssertionLife bounds what a provider may sign ahead (RFC 7523, section 3, item 4): no longer than the ledger remembers it.
const maxAssertionLife = 5 * time.Minute

// assertionTypes are the "typ" of assertions. An access token is none: whoever it was
// sent to holds it.
var assertionTypes = []string{"", "jwt", "application/jwt", "authorization-grant+jwt", "application/authorization-grant+jwt"}

// Assertion is what an assertion says (RFC 7523, section 3).
type Assertion struct {
	Identity
	// ID is its jti, which must never be taken twice; empty: it has none.
	ID string
	// ExpiresAt is at most 5 minutes ahead.
	ExpiresAt time.Time
}

// Assertion says whom an assertion stands for that a provider of an organisation made for
// us, as an authorization grant (RFC 7523, sections 2.1 and 3). The request names no
// provider: the assertion's issuer has to be that of exactly one, enabled, of the
// organisation. audiences are our names, of which it names one and nobody else: neither
// an ID token, which is for a client, nor an assertion that others were sent, too, is one
// for us. A "no" is [ErrInvalidToken]; any other error means that it cannot be told.
func (v *Verifier) Assertion(ctx context.Context, organizationID string, audiences []string, token keystile.Secret) (Assertion, error) {
	p, err := v.issuerOf(ctx, organizationID, token)
	if err != nil {
		return Assertion{}, err
	}
	if p, err = v.enabled(ctx, p.Name); err != nil {
		return Assertion{}, err
	}
	if p.OrganizationID != organizationID {
		return Assertion{}, refuse("provider " + p.Name + " is of another organisation")
	}
	payload, err := v.signed(ctx, &p, assertionTypes, token)
	if err != nil {
		return Assertion{}, err
	}
	c, err := readClaims(payload)
	if err != nil {
		return Assertion{}, err
	}
	return v.asserted(c, &p, audiences)
}

// asserted checks the claims of an assertion that was signed.
func (v *Verifier) asserted(c claims, p *keystile.IdentityProvider, audiences []string) (a Assertion, err error) {
	now := v.o.Now()
	audience, err := c.list("aud", 1)
	if err != nil {
		return Assertion{}, err
	}
	if len(audience) != 1 || !slices.Contains(audiences, audience[0]) {
		return Assertion{}, refuse("it is for another audience")
	}
	if a.Identity, err = c.identify(p, audience[0], now); err != nil {
		return Assertion{}, err
	}
	if a.ExpiresAt, _, err = c.time("exp"); err != nil {
		return Assertion{}, err
	}
	if a.ExpiresAt.After(now.Add(maxAssertionLife)) {
		return Assertion{}, refuse("it ends more than 5 minutes ahead")
	}
	if a.AuthenticatedAt, err = c.provenAt(Pending{}, now); err != nil {
		return Assertion{}, err
	}
	if _, there := c["jti"]; there {
		if a.ID, err = c.text("jti", true); err != nil {
			return Assertion{}, err
		}
	}
	return a, nil
}

// issuerOf is the one provider of an organisation that a token says it is of. That is
// what it says: nothing is proven yet.
func (v *Verifier) issuerOf(ctx context.Context, organizationID string, token keystile.Secret) (keystile.IdentityProvider, error) {
	var none keystile.IdentityProvider
	parsed, err := jws.Parse(token.Reveal())
	if err != nil {
		return none, refuse(err.Error())
	}
	c, err := readClaims(parsed.Payload)
	if err != nil {
		return none, err
	}
	issuer, err := c.text("iss", true)
	if err != nil {
		return none, err
	}
	if v.o.Of == nil {
		return none, refuse("assertions are not taken")
	}
	providers, err := v.o.Of(ctx, organizationID)
	if err != nil {
		return none, fmt.Errorf("list identity providers: %w: %w", keystile.ErrUnavailable, err)
	}
	found := slices.DeleteFunc(slices.Clone(providers), func(p keystile.IdentityProvider) bool { return p.Disabled || p.Issuer != issuer })
	switch len(found) {
	case 0:
		return none, refuse("no provider of the organisation has that issuer")
	case 1:
		return found[0], nil
	}
	return none, refuse("several providers of the organisation have that issuer")
}

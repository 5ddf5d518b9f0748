package onetime

import (
	"context"
	"errors"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/warm"
)

// key is a live signing key, ready to prove requests: warm.Entry.Detail.
type key struct {
	organization string
	policy       keystile.OneTimePolicy
	clock        clock
	verifier     *verifier
	// scope names the key in the ledger: its API key, which is never used again.
	scope string
	// space is that of all keys which may verify what this one does; see Nonce.
	space string
}

// check says why a proof that names this key is not good, whoever signed it.
func (k *key) check(p *proof, now time.Time) *keystile.Rejection {
	// The header form does not sign the organisation: what it says is compared, not believed.
	if p.organization != nil && string(p.organization) != k.organization {
		return otherOrganization
	}
	if !k.policy.Accepts(p.form) {
		return keystile.Reject(keystile.ReasonKindNotAccepted, "the organisation does not take one-time requests in the form "+string(p.form))
	}
	return k.clock.check(p, now)
}

// Made once: a flood of them must cost little.
var (
	otherOrganization = keystile.Reject(keystile.ReasonCredentialUnknown, "the key is not of the organisation that the request names")
	unknownKey        = keystile.Reject(keystile.ReasonCredentialUnknown, "no such signing key")
)

// abandoned answers a look-up that nobody waits for any more and whose name is
// gone with whoever waited. It ended long ago, so that the next request for that
// key asks the store again; a "no" would refuse it for a second.
func abandoned() warm.Result {
	return warm.Result{Entry: &warm.Entry{Principal: &keystile.Principal{}, NotAfter: 1}}
}

// lookup answers a batch of digests of key names from the store.
func (k *Kind) lookup(ctx context.Context, digests []warm.Digest) ([]warm.Result, error) {
	results := make([]warm.Result, len(digests))
	for i, digest := range digests {
		apiKey, ok := k.names.of(digest)
		if !ok {
			results[i] = abandoned()
			continue
		}
		record, err := k.o.Find(ctx, apiKey)
		switch {
		case errors.Is(err, keystile.ErrNotFound):
			results[i].Rejection = unknownKey
		case err != nil:
			return nil, fmt.Errorf("read a signing key: %w", err)
		case record.Key.APIKey != apiKey || record.Organization.ID != record.Key.OrganizationID:
			// A store that compares names more loosely than we do.
			results[i].Rejection = unknownKey
		default:
			results[i] = k.judge(&record, k.o.Now())
		}
	}
	return results, nil
}

// judge turns a record into an entry, or says why the key is not good.
func (k *Kind) judge(record *Record, now time.Time) warm.Result {
	refuse := func(reason keystile.Reason, cause string) warm.Result {
		return warm.Result{Rejection: keystile.Reject(reason, cause)}
	}
	stored := &record.Key
	switch {
	case !stored.RevokedAt.IsZero():
		return refuse(keystile.ReasonCredentialRevoked, "signing key "+stored.ID+" was revoked")
	case record.Organization.Disabled:
		return refuse(keystile.ReasonCredentialRevoked, "organisation "+stored.OrganizationID+" is disabled")
	case !stored.ExpiresAt.IsZero() && !now.Before(stored.ExpiresAt):
		return refuse(keystile.ReasonCredentialExpired, "signing key "+stored.ID+" expired")
	}
	v, err := k.verifierOf(stored)
	if err != nil {
		// One bad key must not make the look-ups of others fail.
		return refuse(keystile.ReasonStoreUnavailable, fmt.Sprintf("signing key %s cannot be used: %v", stored.ID, err))
	}
	entry := &warm.Entry{Principal: principalOf(stored, record.Organization.TenantID), Detail: &key{
		organization: stored.OrganizationID,
		policy:       record.Organization.OneTime,
		clock:        newClock(record.Organization.OneTime, k.o.DefaultWindow, latest(k.started, record.Organization.UpdatedAt)),
		verifier:     v,
		scope:        stored.APIKey,
		space:        spaceOf(stored, v),
	}}
	if !stored.ExpiresAt.IsZero() {
		entry.NotAfter = stored.ExpiresAt.UnixNano()
	}
	return warm.Result{Entry: entry}
}

// verifierOf reads the stored key. It is checked again as it was when it was
// imported: what stands in the store may have come there another way.
func (k *Kind) verifierOf(stored *keystile.SigningKey) (*verifier, error) {
	if stored.Algorithm == keystile.HS256 {
		secret, err := k.o.Open(stored.SealedSecret, keystile.SigningSecretPlace(stored.ID))
		if err != nil {
			return nil, fmt.Errorf("open its secret: %w", err)
		}
		return newVerifier(keystile.HS256, nil, secret)
	}
	public, err := ParsePublicKey(stored.Algorithm, stored.PublicKey)
	if err != nil {
		return nil, err
	}
	return newVerifier(stored.Algorithm, public, nil)
}

// spaceOf names the nonces of all keys that verify the same signatures: those of one
// public key, wherever it was imported, or the HS256 keys of one organisation. A secret
// is not named, not even by a digest: short ones could be guessed from it.
func spaceOf(stored *keystile.SigningKey, v *verifier) string {
	if v.fingerprint != "" {
		return v.fingerprint
	}
	return "organization:" + stored.OrganizationID
}

// subjectPrefix makes a key's subject of its id.
const subjectPrefix = "signing_key:"

func principalOf(stored *keystile.SigningKey, tenantID string) *keystile.Principal {
	subject := subjectPrefix + stored.ID
	return &keystile.Principal{
		Subject:        subject,
		OrganizationID: stored.OrganizationID,
		TenantID:       tenantID,
		Environment:    stored.Environment,
		Kind:           keystile.KindOneTime,
		CredentialID:   subject[len(subjectPrefix):],
		Scopes:         stored.Scopes,
		SiteIDs:        stored.PermittedSiteIDs,
		AllowedIPs:     stored.AllowedIPs,
		Limit:          stored.Limit,
		ExpiresAt:      stored.ExpiresAt,
	}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

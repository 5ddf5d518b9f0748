package state

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/yamlfile"
)

// signingKey proves one-time requests of an organisation.
type signingKey struct {
	ID               string          `yaml:"id" doc:"Id. Absent: the api_key where that is an id, else made from it."`
	Organization     string          `yaml:"organization,required" example:"bank-x" doc:"Organization that signs."`
	APIKey           string          `yaml:"api_key,required" example:"demo-api-key" doc:"Public name of the key that callers send: 1-200 printable ASCII characters without space, unique in the store and never used again."`
	Algorithm        string          `yaml:"algorithm,required" enum:"HS256 RS256 ES256 EdDSA" doc:"Signature algorithm."`
	Secret           keystile.Secret `yaml:"secret" doc:"Shared secret, for HS256: its bytes are the HMAC key."`
	Sealed           *sealed         `yaml:"sealed" doc:"In place of secret, as an export writes it: MASTERKEY:BASE64."`
	PublicKey        string          `yaml:"public_key" doc:"Public key, PEM (PKCS#1 or SPKI), for the others."`
	Name             string          `yaml:"name" doc:"Name for people."`
	Environment      string          `yaml:"environment" enum:"production sandbox" doc:"Absent: the organization's."`
	PermittedSiteIDs []string        `yaml:"permitted_site_ids" doc:"Sites of the organization it may act on. Absent: none."`
	Scopes           []string        `yaml:"scopes" example:"[\"finapi:*\"]" doc:"Scopes of requests signed with it. Absent: none."`
	ExpiresAt        time.Time       `yaml:"expires_at" example:"2027-01-01T00:00:00Z" doc:"When it ends; a time that is past makes an expired key. Absent: never."`
	Limit            string          `yaml:"limit" example:"60/1m" doc:"Requests and window, in place of a route's rate per credential."`
	LimitAlgorithm   string          `yaml:"limit_algorithm" enum:"window gcra" doc:"window: never more in any rolling window, exactly. gcra: paced. Absent: window."`
	AllowedIPs       []netip.Prefix  `yaml:"allowed_ips" example:"[10.0.0.0/8]" doc:"Networks it may be used from. Absent: any."`
	RevokedAt        time.Time       `yaml:"revoked_at" doc:"When it was revoked. Absent: it is live, unless the store says otherwise."`

	limit *keystile.Rate
}

// id is the id it has or will be given.
func (a *signingKey) id() string {
	if a.ID != "" {
		return a.ID
	}
	return manage.SigningKeyID(a.APIKey)
}

// sealed is a secret under a store's master key, written "MASTERKEY:BASE64".
type sealed struct {
	master string
	data   []byte
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *sealed) UnmarshalText(text []byte) error {
	master, data, ok := strings.Cut(string(text), ":")
	raw, err := base64.StdEncoding.Strict().DecodeString(data)
	// The decoder passes over line breaks.
	if !ok || err != nil || len(raw) == 0 || strings.ContainsAny(data, "\r\n") || !keystile.ValidID(master) || !strings.HasPrefix(master, "mk_") {
		return keystile.Invalidf("", "write MASTERKEY:BASE64 as keystile export does", "is not a sealed value")
	}
	s.master, s.data = master, raw
	return nil
}

// String is the form UnmarshalText reads.
func (s sealed) String() string { return s.master + ":" + base64.StdEncoding.EncodeToString(s.data) }

// DescribeSchema implements yamlfile.Describer.
func (*sealed) DescribeSchema() map[string]any {
	return map[string]any{"type": "string", "pattern": "^mk_[0-9a-f]+:[0-9A-Za-z+/]+=*$"}
}

// signingKeys is the collection of the section of that name. A key is known by
// its api_key, which never comes to mean another key.
type signingKeys struct {
	entries []entry[signingKey]
	named   bool

	byAPIKey map[string]*entry[signingKey]
	stored   map[string]keystile.SigningKey
}

func (k *signingKeys) take(s *source) {
	k.entries = append(k.entries, entriesOf(s, "signing_keys", s.document.SigningKeys)...)
	k.named = k.named || s.document.SigningKeys != nil
}

func (k *signingKeys) check(c *checker) {
	for i := range k.entries {
		e := &k.entries[i]
		a := e.value
		checkAPIKeyName(c, e)
		reference(c, e, "organization", a.Organization)
		label(c, e, "name", a.Name)
		scopes(c, e, a.Scopes)
		a.limit = checkRights(c, e, rights{
			sites: a.PermittedSiteIDs, addresses: a.AllowedIPs, limit: a.Limit, algorithm: a.LimitAlgorithm,
			times:    []*time.Time{&a.ExpiresAt, &a.RevokedAt},
			warnings: manage.NewSigningKey{AllowedIPs: a.AllowedIPs, Secret: a.Secret}.Warnings(),
		})
		checkMaterial(c, e)
	}
	k.byAPIKey = namesOf(k.entries, func(a *signingKey) string { return a.APIKey })
}

// checkAPIKeyName checks that the api_key can be one and that no other entry has it.
func checkAPIKeyName(c *checker, e *entry[signingKey]) {
	a := e.value
	if a.APIKey == "" {
		return // missing, which the decoder reported
	}
	if err := manage.CheckAPIKeyName(a.APIKey); err != nil {
		c.adopt(e.from, e.path(""), err)
		return
	}
	key := "api_key of a signing key " + a.APIKey
	if first, ok := c.seen[key]; ok {
		c.add(e.from, e.path("api_key"), "keep one", "%s is named a second time (first at %s)", yamlfile.Quote(a.APIKey), first)
		return
	}
	c.seen[key] = e.where()
	identity(c, e, "signing key", a.id())
}

// checkMaterial checks that the key can be verified by what its algorithm asks
// for, and by that alone. An unknown algorithm was reported by the decoder.
func checkMaterial(c *checker, e *entry[signingKey]) {
	switch algorithm := keystile.SigningAlgorithm(e.value.Algorithm); {
	case algorithm == keystile.HS256:
		checkSharedSecret(c, e)
	case manage.KnownAlgorithm(algorithm):
		checkPublicKey(c, e, algorithm)
	}
}

func checkSharedSecret(c *checker, e *entry[signingKey]) {
	a := e.value
	switch {
	case a.PublicKey != "":
		c.add(e.from, e.path("public_key"), "give its secret, or another algorithm", "an HS256 key has no public key")
	case a.Secret != "" && a.Sealed != nil:
		c.add(e.from, e.path("sealed"), "keep one of them", "secret and sealed exclude each other")
	case a.Secret != "":
		c.adopt(e.from, e.path(""), manage.CheckSigningSecret(a.Secret))
	case a.Sealed == nil:
		c.add(e.from, e.path("secret"), "write the secret", "is missing, and HS256 needs it")
	}
}

func checkPublicKey(c *checker, e *entry[signingKey], algorithm keystile.SigningAlgorithm) {
	a := e.value
	switch {
	case a.Secret != "" || a.Sealed != nil:
		c.add(e.from, e.path("secret"), "give its public_key", "a key of %s has no shared secret", a.Algorithm)
	case a.PublicKey == "":
		c.add(e.from, e.path("public_key"), "write the public key", "is missing, and %s needs it", a.Algorithm)
	default:
		text, err := manage.PublicKeyText(algorithm, a.PublicKey)
		c.adopt(e.from, e.path(""), err)
		a.PublicKey = text
	}
}

// owners lists the organisations that signing keys refer to.
func (k *signingKeys) owners() []string {
	ids := make([]string, len(k.entries))
	for i := range k.entries {
		ids[i] = k.entries[i].value.Organization
	}
	return ids
}

// sites lists the sites that signing keys refer to.
func (k *signingKeys) sites() []string {
	var ids []string
	for i := range k.entries {
		ids = append(ids, k.entries[i].value.PermittedSiteIDs...)
	}
	return ids
}

func listSigningKeys(tx *store.Tx) lister[keystile.SigningKey] {
	return func(ctx context.Context, after string, limit int) ([]keystile.SigningKey, error) {
		return tx.SigningKeys(ctx, store.SigningKeyFilter{Page: store.Page{AfterID: after, Limit: limit}})
	}
}

func storedSigningKeyID(a *keystile.SigningKey) string { return a.ID }

func (k *signingKeys) look(ctx context.Context, tx *store.Tx, r *run) error {
	k.stored = map[string]keystile.SigningKey{}
	for i := range k.entries {
		e := &k.entries[i]
		found, err := tx.FindSigningKey(ctx, e.value.APIKey)
		switch {
		case err == nil:
			// Again, so that it does not change until the transaction ends.
			old, err := tx.SigningKey(ctx, found.Key.ID)
			if err != nil {
				return err
			}
			k.stored[e.value.APIKey] = old
		case !errors.Is(err, keystile.ErrNotFound):
			return err
		}
		if err := k.lookAt(ctx, tx, r, e); err != nil {
			return err
		}
	}
	return nil
}

// lookAt reports what contradicts the store, and references that lead nowhere.
func (k *signingKeys) lookAt(ctx context.Context, tx *store.Tx, r *run, e *entry[signingKey]) error {
	a := e.value
	if !owned(r, e, a.Organization) {
		return nil
	}
	old, ok := k.stored[a.APIKey]
	switch {
	case ok && old.OrganizationID != a.Organization:
		report(r, e, keystile.Invalidf("organization", "choose another api_key", "the api_key belongs to another organization, and keys do not move"))
		return nil
	case ok && a.ID != "" && old.ID != a.ID:
		report(r, e, keystile.Invalidf("id", "write that id, or choose another api_key", "the key of this api_key has the id %s", old.ID))
		return nil
	case ok && !old.RevokedAt.IsZero():
		return nil // stays as it is, whatever it refers to
	case !ok:
		if err := k.lookAtID(ctx, tx, r, e); err != nil {
			return err
		}
	}
	lookAtSites(r, e, a.Organization, a.PermittedSiteIDs)
	if a.Sealed != nil {
		lookAtSealed(r, e, "sealed", a.Sealed)
	}
	return nil
}

// lookAtID reports a new key whose id another key has and keeps.
func (k *signingKeys) lookAtID(ctx context.Context, tx *store.Tx, r *run, e *entry[signingKey]) error {
	id := e.value.id()
	other, err := tx.SigningKey(ctx, id)
	if errors.Is(err, keystile.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if !r.prunes(k.named) || k.byAPIKey[other.APIKey] != nil {
		report(r, e, keystile.Invalidf("api_key", "give the new key an id of its own", "signing key %s has another api_key, which cannot change", id))
	}
	return nil
}

// lookAtSealed reports a sealed value that needs another master key.
func lookAtSealed[T any](r *run, e *entry[T], member string, value *sealed) {
	const remedy = "apply it to the store that it was exported from, or give the secret"
	if r.service.Sealer == nil {
		report(r, e, keystile.Invalidf(member, "give the secret", "there is no master key to open it with"))
		return
	}
	if needed, given := value.master, r.service.Sealer.MasterID(); needed != given {
		report(r, e, keystile.Invalidf(member, remedy, "was sealed under master key %s, and this store has %s", needed, given))
	}
}

// before deletes the keys that go, so that a key may take over an id.
func (k *signingKeys) before(ctx context.Context, tx *store.Tx, r *run) error {
	if !r.prunes(k.named) {
		return nil
	}
	var gone []string
	err := every(ctx, listSigningKeys(tx), storedSigningKeyID, func(a *keystile.SigningKey) error {
		if k.byAPIKey[a.APIKey] == nil {
			gone = append(gone, a.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.prune("signing_key", gone, func(id string) error { return r.service.DeleteSigningKeyTx(ctx, tx, id) })
}

func (*signingKeys) after(context.Context, *store.Tx, *run) error { return nil }

func (k *signingKeys) write(ctx context.Context, tx *store.Tx, r *run) error {
	for i := range k.entries {
		e := &k.entries[i]
		old, ok := k.stored[e.value.APIKey]
		var err error
		if ok {
			err = k.update(ctx, tx, r, e, old)
		} else {
			err = k.create(ctx, tx, r, e)
		}
		if err := answer(r, e, err); err != nil {
			return err
		}
	}
	return nil
}

func (k *signingKeys) create(ctx context.Context, tx *store.Tx, r *run, e *entry[signingKey]) error {
	a := e.value
	in := manage.NewSigningKey{
		ID: a.ID, OrganizationID: a.Organization, Name: a.Name, Environment: keystile.Environment(a.Environment), APIKey: a.APIKey,
		Algorithm: keystile.SigningAlgorithm(a.Algorithm), PermittedSiteIDs: a.PermittedSiteIDs, Scopes: converted[keystile.Scope](a.Scopes),
		AllowedIPs: a.AllowedIPs, Limit: a.limit, ExpiresAt: a.ExpiresAt, AllowExpired: true, Secret: a.Secret, PublicKey: a.PublicKey,
	}
	if a.Sealed != nil {
		in.Sealed = a.Sealed.data
	}
	made, err := r.service.CreateSigningKeyTx(ctx, tx, in)
	if err != nil {
		return err
	}
	r.created("signing_key", made.Key.ID)
	if a.RevokedAt.IsZero() {
		return nil
	}
	return tx.RevokeSigningKey(ctx, made.Key.ID, a.RevokedAt)
}

func (k *signingKeys) update(ctx context.Context, tx *store.Tx, r *run, e *entry[signingKey], old keystile.SigningKey) error {
	a := e.value
	if !old.RevokedAt.IsZero() {
		if a.RevokedAt.IsZero() {
			warn(r, e, keystile.Invalidf("", "take it out of the file, or set revoked_at", "signing key %s was revoked at %s and stays so", old.ID, old.RevokedAt.Format(time.RFC3339)))
		}
		return nil
	}
	want := a.wanted(old, r.world.organizations.environmentOf(old.OrganizationID))
	d := signingKeyDiff(old, want)
	if err := a.verifyBy(r, &want, old, &d); err != nil {
		return err
	}
	if len(d) > 0 {
		if err := tx.UpdateSigningKey(ctx, want); err != nil {
			return err
		}
	}
	if !a.RevokedAt.IsZero() {
		d.text("revoked_at", "", a.RevokedAt.Format(time.RFC3339Nano))
		if err := tx.RevokeSigningKey(ctx, old.ID, a.RevokedAt); err != nil {
			return err
		}
	}
	if len(d) > 0 {
		r.updated("signing_key", old.ID, d)
	}
	return nil
}

// wanted is the key as the file wants it, but for what it is verified by.
func (a *signingKey) wanted(old keystile.SigningKey, environment keystile.Environment) keystile.SigningKey {
	want := old
	want.Name, want.Environment, want.Limit, want.ExpiresAt = a.Name, keystile.Environment(a.Environment), a.limit, a.ExpiresAt
	if want.Environment == "" {
		want.Environment = environment
	}
	want.Algorithm = keystile.SigningAlgorithm(a.Algorithm)
	want.PermittedSiteIDs = slices.Clone(a.PermittedSiteIDs)
	want.Scopes = converted[keystile.Scope](a.Scopes)
	want.AllowedIPs = slices.Clone(a.AllowedIPs)
	return want
}

func signingKeyDiff(old, want keystile.SigningKey) diff {
	var d diff
	d.text("name", old.Name, want.Name)
	d.text("environment", string(old.Environment), string(want.Environment))
	d.text("algorithm", string(old.Algorithm), string(want.Algorithm))
	list(&d, "permitted_site_ids", old.PermittedSiteIDs, want.PermittedSiteIDs)
	list(&d, "scopes", old.Scopes, want.Scopes)
	d.text("expires_at", timeText(old.ExpiresAt), timeText(want.ExpiresAt))
	d.text("limit", rateText(old.Limit), rateText(want.Limit))
	d.text("limit_algorithm", algorithmText(old.Limit), algorithmText(want.Limit))
	list(&d, "allowed_ips", old.AllowedIPs, want.AllowedIPs)
	return d
}

// verifyBy gives want what the file verifies it by. A secret that is the stored
// one stays sealed as it is, so that applying again writes nothing.
func (a *signingKey) verifyBy(r *run, want *keystile.SigningKey, old keystile.SigningKey, d *diff) error {
	if want.Algorithm != keystile.HS256 {
		want.SealedSecret, want.PublicKey = nil, a.PublicKey
		if want.PublicKey != old.PublicKey {
			d.text("public_key", "old", "new")
		}
		return nil
	}
	want.PublicKey = ""
	secret := a.Secret
	if a.Sealed != nil {
		if slices.Equal(a.Sealed.data, old.SealedSecret) {
			return nil
		}
		var err error
		if secret, err = r.service.OpenSigningSecret(keystile.SigningKey{ID: old.ID, SealedSecret: a.Sealed.data}); err != nil {
			return keystile.Invalidf("sealed", "apply it to the store that it was exported from, or give the secret", "does not open in this store")
		}
	}
	if old.Algorithm == keystile.HS256 {
		stored, err := r.service.OpenSigningSecret(old)
		if err != nil {
			return fmt.Errorf("compare the secret with the stored one: %w", err)
		}
		if stored.Equal(secret) {
			return nil
		}
	}
	d.text("secret", "old", "new")
	var err error
	want.SealedSecret, err = r.service.SealSigningSecret(old.ID, secret)
	return err
}

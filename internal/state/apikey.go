package state

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// apiKey is an API key as a file writes it.
type apiKey struct {
	ID               string          `yaml:"id,required" example:"key_sibaya" doc:"Id."`
	Secret           keystile.Secret `yaml:"secret" example:"opa_prod_…" doc:"The key itself, to import one. Absent, with no sha256 and no digest: one is generated and shown once."`
	SHA256           *sum            `yaml:"sha256" doc:"In place of secret: its SHA-256, 64 hexadecimal digits."`
	Digest           []digest        `yaml:"digest,single" doc:"In place of secret, as an export writes it: hmac-sha256:PEPPER:HEX, for a secret that ends with \" until TIME\"; a list while the key is being rotated; [] for a key without a secret."`
	Hint             string          `yaml:"hint" doc:"With digest: the visible head of the secret, to recognise it by."`
	Name             string          `yaml:"name" doc:"Name for people."`
	Organization     string          `yaml:"organization,required" example:"sibaya-power" doc:"Organization it belongs to and acts for."`
	Environment      string          `yaml:"environment" enum:"production sandbox" doc:"Absent: the organization's."`
	PermittedSiteIDs []string        `yaml:"permitted_site_ids" example:"[Sibaya]" doc:"Sites of the organization it may read. Absent: none."`
	Scopes           []string        `yaml:"scopes" example:"[\"telemetry:read\"]" doc:"Scopes it holds. Absent: none."`
	ExpiresAt        time.Time       `yaml:"expires_at" example:"2027-01-01T00:00:00Z" doc:"When it ends; a time that is past makes an expired key. Absent: never."`
	Limit            string          `yaml:"limit" example:"60/1m" doc:"Requests and window, in place of a route's rate per credential."`
	LimitAlgorithm   string          `yaml:"limit_algorithm" enum:"window gcra" doc:"window: never more in any rolling window, exactly. gcra: paced. Absent: window."`
	AllowedIPs       []netip.Prefix  `yaml:"allowed_ips" example:"[10.0.0.0/8]" doc:"Networks it may be used from. Absent: any."`
	RevokedAt        time.Time       `yaml:"revoked_at" doc:"When it was revoked. Absent: it is live, unless the store says otherwise."`

	limit *keystile.Rate
}

// apiKeys is the collection of the section of that name.
type apiKeys struct {
	entries []entry[apiKey]
	named   bool

	byID   map[string]*entry[apiKey]
	stored map[string]keystile.APIKey
}

func (k *apiKeys) take(s *source) {
	k.entries = append(k.entries, entriesOf(s, "api_keys", s.document.APIKeys)...)
	k.named = k.named || s.document.APIKeys != nil
}

func (k *apiKeys) check(c *checker) {
	sums := map[[sha256.Size]byte]string{}
	for i := range k.entries {
		e := &k.entries[i]
		identity(c, e, "API key", e.value.ID)
		reference(c, e, "organization", e.value.Organization)
		label(c, e, "name", e.value.Name)
		scopes(c, e, e.value.Scopes)
		a := e.value
		a.limit = checkRights(c, e, rights{
			sites: a.PermittedSiteIDs, addresses: a.AllowedIPs, limit: a.Limit, algorithm: a.LimitAlgorithm,
			times: []*time.Time{&a.ExpiresAt, &a.RevokedAt}, warnings: manage.NewKey{AllowedIPs: a.AllowedIPs, Secret: a.Secret}.Warnings(),
		})
		checkSecrets(c, e, sums)
	}
	k.byID = namesOf(k.entries, func(a *apiKey) string { return a.ID })
}

// rights is what API keys and signing keys have in common, as a file writes it.
type rights struct {
	sites            []string
	addresses        []netip.Prefix
	limit, algorithm string
	times            []*time.Time
	// warnings are those of package manage.
	warnings []string
}

// checkRights checks sites, addresses and limit, and settles times to the
// resolution that stores keep. It returns the limit.
func checkRights[T any](c *checker, e *entry[T], in rights) (limit *keystile.Rate) {
	if len(in.sites) > manage.MaxSites {
		c.add(e.from, e.path("permitted_site_ids"), fmt.Sprintf("name at most %d", manage.MaxSites), "names %d sites", len(in.sites))
	}
	if len(in.addresses) > manage.MaxAddresses {
		c.add(e.from, e.path("allowed_ips"), fmt.Sprintf("name at most %d", manage.MaxAddresses), "names %d networks", len(in.addresses))
	}
	once(c, e, "permitted_site_ids", in.sites)
	once(c, e, "allowed_ips", in.addresses)
	for i, id := range in.sites {
		reference(c, e, fmt.Sprintf("permitted_site_ids[%d]", i), id)
	}
	for _, at := range in.times {
		*at = at.Truncate(time.Microsecond)
	}
	switch {
	case in.limit != "":
		algorithm := keystile.AlgorithmWindow // also for an unknown one, which the decoder reported
		if in.algorithm == string(keystile.AlgorithmGCRA) {
			algorithm = keystile.AlgorithmGCRA
		}
		rate, err := keystile.ParseRate(in.limit, algorithm)
		c.adopt(e.from, e.path("limit"), err)
		limit = rate
	case in.algorithm != "":
		c.add(e.from, e.path("limit_algorithm"), "add limit, or remove it", "there is no limit to count")
	}
	for _, text := range in.warnings {
		member, rest, _ := strings.Cut(text, ": ")
		problem, remedy, _ := strings.Cut(rest, "; ")
		*c.warnings = append(*c.warnings, e.from.problem(e.path(member), remedy, problem))
	}
	return limit
}

// owners lists the organisations that keys refer to.
func (k *apiKeys) owners() []string {
	ids := make([]string, len(k.entries))
	for i := range k.entries {
		ids[i] = k.entries[i].value.Organization
	}
	return ids
}

// sites lists the sites that keys refer to.
func (k *apiKeys) sites() []string {
	var ids []string
	for i := range k.entries {
		ids = append(ids, k.entries[i].value.PermittedSiteIDs...)
	}
	return ids
}

func listAPIKeys(tx *store.Tx) lister[keystile.APIKey] {
	return func(ctx context.Context, after string, limit int) ([]keystile.APIKey, error) {
		return tx.APIKeys(ctx, store.APIKeyFilter{Page: store.Page{AfterID: after, Limit: limit}})
	}
}

func storedKeyID(a *keystile.APIKey) string { return a.ID }

func (k *apiKeys) look(ctx context.Context, tx *store.Tx, r *run) error {
	ids := make([]string, len(k.entries))
	for i := range k.entries {
		ids[i] = k.entries[i].value.ID
	}
	var err error
	if k.stored, err = fetch(ctx, listAPIKeys(tx), storedKeyID, ids); err != nil {
		return err
	}
	for i := range k.entries {
		k.lookAt(r, &k.entries[i])
	}
	return nil
}

// lookAt reports what a key refers to that there will not be.
func (k *apiKeys) lookAt(r *run, e *entry[apiKey]) {
	a := e.value
	if !owned(r, e, a.Organization) {
		return
	}
	old, ok := k.stored[a.ID]
	if ok && old.OrganizationID != a.Organization {
		report(r, e, keystile.Invalidf("organization", "choose another id, or delete the key there first", "the key belongs to another organization, and keys do not move"))
		return
	}
	if ok && old.UserID != "" {
		report(r, e, keystile.Invalidf("id", "choose another id; a personal key is the auth_token of its user", "is the personal API key of a user"))
		return
	}
	if ok && !old.RevokedAt.IsZero() {
		return // stays as it is, whatever it refers to
	}
	lookAtSites(r, e, a.Organization, a.PermittedSiteIDs)
	for i, d := range a.Digest {
		if !r.service.Digester.Knows(d.pepper) {
			report(r, e, keystile.Invalidf(fmt.Sprintf("digest[%d]", i), "apply it to the store that it was exported from, or give secret or sha256",
				"was made with pepper %s, which this store does not have", d.pepper))
		}
	}
}

// lookAtSites reports permitted sites that the organisation will not have.
func lookAtSites[T any](r *run, e *entry[T], organization string, sites []string) {
	for i, id := range sites {
		if owner, ok := r.world.sites.owner(r, id); !ok || owner != organization {
			report(r, e, keystile.Invalidf(fmt.Sprintf("permitted_site_ids[%d]", i), "name a site of the key's organization", "organization %s has no site %s", organization, id))
		}
	}
}

// before deletes the keys that go, so that a key of another id may take over a secret.
func (k *apiKeys) before(ctx context.Context, tx *store.Tx, r *run) error {
	if !r.prunes(k.named) {
		return nil
	}
	var gone []string
	err := every(ctx, listAPIKeys(tx), storedKeyID, func(a *keystile.APIKey) error {
		if k.byID[a.ID] == nil && a.UserID == "" { // users' own go with them
			gone = append(gone, a.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.prune("api_key", gone, func(id string) error { return r.service.DeleteKeyTx(ctx, tx, id) })
}

func (*apiKeys) after(context.Context, *store.Tx, *run) error { return nil }

func (k *apiKeys) write(ctx context.Context, tx *store.Tx, r *run) error {
	for i := range k.entries {
		e := &k.entries[i]
		old, ok := k.stored[e.value.ID]
		var err error
		if ok {
			err = k.update(ctx, tx, r, e, old)
		} else {
			err = k.create(ctx, tx, r, e)
		}
		if err := answer(r, e, renamed(err)); err != nil {
			return err
		}
	}
	return nil
}

// renamed gives the fields of package manage the names they have in a file.
func renamed(err error) error {
	invalids, ok := invalidsOf(err)
	if !ok {
		return err
	}
	for _, i := range invalids {
		if rest, ok := strings.CutPrefix(i.Field, "digests"); ok {
			i.Field = "digest" + rest
		}
	}
	return err
}

func (k *apiKeys) create(ctx context.Context, tx *store.Tx, r *run, e *entry[apiKey]) error {
	a := e.value
	in := manage.NewKey{
		ID: a.ID, OrganizationID: a.Organization, Name: a.Name, Environment: keystile.Environment(a.Environment),
		PermittedSiteIDs: a.PermittedSiteIDs, Scopes: converted[keystile.Scope](a.Scopes), AllowedIPs: a.AllowedIPs, Limit: a.limit,
		ExpiresAt: a.ExpiresAt, AllowExpired: true, Secret: a.Secret, Hint: a.Hint,
	}
	if a.SHA256 != nil {
		in.SHA256 = a.SHA256[:]
	}
	for _, d := range a.Digest {
		in.Digests = append(in.Digests, manage.KeyDigest{Digest: d.sum, PepperID: d.pepper, ExpiresAt: d.until})
	}
	var secret keystile.Secret
	var err error
	if a.Digest != nil && len(a.Digest) == 0 {
		err = k.createBare(ctx, tx, e)
	} else {
		_, secret, err = r.service.CreateKeyTx(ctx, tx, in)
	}
	if err != nil {
		return err
	}
	if secret != "" {
		r.summary.Secrets = append(r.summary.Secrets, NewSecret{Kind: "api_key", KeyID: a.ID, Secret: secret})
	}
	r.created("api_key", a.ID)
	if a.RevokedAt.IsZero() {
		return nil
	}
	return tx.RevokeAPIKey(ctx, a.ID, a.RevokedAt)
}

// createBare makes a key that has no secret at all, as an export may hold one.
func (k *apiKeys) createBare(ctx context.Context, tx *store.Tx, e *entry[apiKey]) error {
	org, err := tx.Organization(ctx, e.value.Organization)
	if err != nil {
		return fmt.Errorf("organization of API key %s: %w", e.value.ID, err)
	}
	key := e.value.wanted(keystile.APIKey{ID: e.value.ID, OrganizationID: org.ID, Hint: e.value.Hint}, org.Environment)
	return tx.CreateAPIKey(ctx, key)
}

// wanted is the key as the file wants it.
func (a *apiKey) wanted(old keystile.APIKey, environment keystile.Environment) keystile.APIKey {
	want := old
	want.Name, want.Environment, want.Limit, want.ExpiresAt = a.Name, keystile.Environment(a.Environment), a.limit, a.ExpiresAt
	if want.Environment == "" {
		want.Environment = environment
	}
	want.PermittedSiteIDs = slices.Clone(a.PermittedSiteIDs)
	want.Scopes = converted[keystile.Scope](a.Scopes)
	want.AllowedIPs = slices.Clone(a.AllowedIPs)
	return want
}

func (k *apiKeys) update(ctx context.Context, tx *store.Tx, r *run, e *entry[apiKey], old keystile.APIKey) error {
	a := e.value
	if !old.RevokedAt.IsZero() {
		if a.RevokedAt.IsZero() {
			warn(r, e, keystile.Invalidf("", "take it out of the file, or set revoked_at", "API key %s was revoked at %s and stays so", a.ID, old.RevokedAt.Format(time.RFC3339)))
		}
		return nil
	}
	want := a.wanted(old, r.world.organizations.environmentOf(old.OrganizationID))
	d := keyDiff(old, want)
	if len(d) > 0 {
		if err := tx.UpdateAPIKey(ctx, want); err != nil {
			return err
		}
	}
	if err := k.updateSecrets(ctx, tx, r, e, &d); err != nil {
		return err
	}
	if !a.RevokedAt.IsZero() {
		d.text("revoked_at", "", a.RevokedAt.Format(time.RFC3339Nano))
		if err := tx.RevokeAPIKey(ctx, a.ID, a.RevokedAt); err != nil {
			return err
		}
	}
	if len(d) > 0 {
		r.updated("api_key", a.ID, d)
	}
	return nil
}

func keyDiff(old, want keystile.APIKey) diff {
	var d diff
	d.text("name", old.Name, want.Name)
	d.text("environment", string(old.Environment), string(want.Environment))
	list(&d, "permitted_site_ids", old.PermittedSiteIDs, want.PermittedSiteIDs)
	list(&d, "scopes", old.Scopes, want.Scopes)
	d.text("expires_at", timeText(old.ExpiresAt), timeText(want.ExpiresAt))
	d.text("limit", rateText(old.Limit), rateText(want.Limit))
	d.text("limit_algorithm", algorithmText(old.Limit), algorithmText(want.Limit))
	list(&d, "allowed_ips", old.AllowedIPs, want.AllowedIPs)
	return d
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func rateText(rate *keystile.Rate) string {
	if rate == nil {
		return ""
	}
	return rate.String()
}

func algorithmText(rate *keystile.Rate) string {
	if rate == nil {
		return ""
	}
	return string(rate.Algorithm)
}

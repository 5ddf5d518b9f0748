package state

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/yamlfile"
)

// errTooLarge: what the store holds makes a file that Parse would refuse.
var errTooLarge = fmt.Errorf("the store holds more than a state file may (%d bytes); use keystile backup", yamlfile.MaxState)

// reader is what a store and a transaction share.
type reader interface {
	Organizations(context.Context, store.Page) ([]keystile.Organization, error)
	Sites(context.Context, store.SiteFilter) ([]keystile.Site, error)
	Roles(context.Context, store.Page) ([]keystile.Role, error)
	APIKeys(context.Context, store.APIKeyFilter) ([]keystile.APIKey, error)
	SigningKeys(context.Context, store.SigningKeyFilter) ([]keystile.SigningKey, error)
	Applications(context.Context, store.ApplicationFilter) ([]keystile.Application, error)
	ApplicationKeys(ctx context.Context, applicationID string) ([]keystile.ApplicationKey, error)
	OAuthClientOfApplication(ctx context.Context, applicationID string) (keystile.OAuthClient, error)
	OAuthSecrets(ctx context.Context, clientID string) ([]keystile.OAuthSecret, error)
	Webhooks(ctx context.Context, applicationID string, p store.Page) ([]keystile.Webhook, error)
	Authorizations(context.Context, store.AuthorizationFilter) ([]keystile.Authorization, error)
	APIKeySecrets(ctx context.Context, keyID string) ([]keystile.APIKeySecret, error)
	APIKey(ctx context.Context, id string) (keystile.APIKey, error)
	Users(context.Context, store.UserFilter) ([]keystile.User, error)
	Password(ctx context.Context, userID string) (store.Password, error)
	Factors(ctx context.Context, userID string) ([]keystile.Factor, error)
	AuthToken(ctx context.Context, userID string) (store.AuthToken, error)
	IdentityProviders(context.Context, store.IdentityProviderFilter) ([]keystile.IdentityProvider, error)
}

// Export writes what the store holds as a state file that Apply takes back as
// no changes. Secrets of API keys are written as keyed digests, of use only to
// a store with the same peppers. The order is that of the ids, so that two
// exports of one world are the same bytes. now is the clock by which secrets
// have ended; ended ones are left out unless the key has no other.
//
// Passwords are written as their hashes. Secrets of HS256 signing keys and identity
// providers, second factors, personal API keys and the secrets of webhooks are written as they are sealed, with the
// id of the master key they hang on: without [SealedUnder] a store that has such is not exported.
func Export(ctx context.Context, s *store.Store, now time.Time, options ...ExportOption) ([]byte, error) {
	var o exportOptions
	for _, set := range options {
		set(&o)
	}
	before, err := s.Revision(ctx)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	out, err := write(ctx, &exporter{reader: s, now: now, exportOptions: o})
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	after, err := s.Revision(ctx)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if before == after {
		return out, nil
	}
	// Something was changed or deleted in between, so that what was read may not
	// fit together: read it again while nobody can write.
	err = s.Mutate(ctx, store.Actor{Name: "system"}, func(ctx context.Context, tx *store.Tx) (err error) {
		out, err = write(ctx, &exporter{reader: tx, now: now, exportOptions: o})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return out, nil
}

// ExportOption says how an export is made.
type ExportOption func(*exportOptions)

type exportOptions struct{ masterID string }

// SealedUnder names the master key that the store's sealed secrets hang on
// (manage.Sealer.MasterID).
func SealedUnder(masterID string) ExportOption {
	return func(o *exportOptions) { o.masterID = masterID }
}

// errNoMasterID: a sealed secret without the name of its key could not be refused elsewhere.
var errNoMasterID = errors.New("the store has sealed secrets, and the master key that they hang on is not known")

const exportHead = "# Written by keystile export; keystile apply takes it back.\n"

// exporter reads a store and writes sections.
type exporter struct {
	reader
	exportOptions
	// now decides which secrets have ended.
	now time.Time
	// sites that exist.
	sites map[string]bool
}

// write reads keys before what they refer to: what is created meanwhile then
// dangles nowhere.
func write(ctx context.Context, x *exporter) ([]byte, error) {
	keys, signing := newSection("api_keys"), newSection("signing_keys")
	apps, yes := newSection("applications"), newSection("authorizations")
	people, providers := newSection("users"), newSection("identity_providers")
	roleText, siteText, orgText := newSection("roles"), newSection("sites"), newSection("organizations")
	if err := x.authorizations(ctx, yes); err != nil {
		return nil, err
	}
	if err := x.applications(ctx, apps); err != nil {
		return nil, err
	}
	revoked, err := x.keys(ctx, keys)
	if err != nil {
		return nil, err
	}
	revokedSigning, err := x.signingKeys(ctx, signing)
	if err != nil {
		return nil, err
	}
	x.sites = map[string]bool{}
	for _, step := range []func() error{
		func() error { return x.users(ctx, people) },
		func() error { return x.providers(ctx, providers) },
		func() error { return x.roles(ctx, roleText) },
		func() error { return x.listSites(ctx, siteText) },
		func() error { return x.organizations(ctx, orgText) },
		func() error { return x.revoked(ctx, keys, revoked) },
		func() error { return x.revokedSigning(signing, revokedSigning) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	out := []byte(exportHead)
	for _, s := range []*section{orgText, siteText, roleText, people, keys, signing, providers, apps, yes} {
		out = append(out, s.String()...)
	}
	if len(out) > yamlfile.MaxState {
		return nil, errTooLarge
	}
	return out, nil
}

// section writes one collection.
type section struct {
	name  string
	items strings.Builder
	// members so far of the item being written.
	members int
}

func newSection(name string) *section { return &section{name: name} }

func (s *section) String() string {
	if s.items.Len() == 0 {
		return s.name + ": []\n"
	}
	return s.name + ":\n" + s.items.String()
}

func (s *section) item() { s.members = 0 }

// raw writes a member whose value is YAML already.
func (s *section) raw(name, value string) {
	indent := "    "
	if s.members == 0 {
		indent = "  - "
	}
	s.members++
	s.items.WriteString(indent + name + ": " + value + "\n")
}

// text writes a member unless it is empty.
func (s *section) text(name, value string) {
	if value != "" {
		s.raw(name, scalar(value))
	}
}

func (s *section) list(name string, values []string) {
	if len(values) == 0 {
		return
	}
	s.raw(name, flow(values))
}

// flow is a list in one line.
func flow(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = scalar(v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// scalar writes text so that every YAML reader takes it for the same text:
// plain where it is a plain word of ids, else in double quotes, whose escapes
// are Go's for everything that Go would write.
func scalar(text string) string {
	if plainWord(text) {
		return text
	}
	return strconv.QuoteToGraphic(text)
}

// plainWord says whether text needs no quotes: it begins with a letter, has only
// characters of ids but the colon, and is no word of YAML 1.1 or 1.2 with a
// meaning of its own.
func plainWord(text string) bool {
	for i := range len(text) {
		b := text[i]
		letter := b|0x20 >= 'a' && b|0x20 <= 'z'
		digit := b >= '0' && b <= '9'
		if !letter && (i == 0 || !digit && strings.IndexByte("_-.", b) < 0) {
			return false
		}
	}
	switch strings.ToLower(text) {
	case "", "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return false
	}
	return true
}

func (x *exporter) organizations(ctx context.Context, s *section) error {
	list := func(ctx context.Context, after string, limit int) ([]keystile.Organization, error) {
		return x.Organizations(ctx, store.Page{AfterID: after, Limit: limit})
	}
	return every(ctx, list, storedOrganizationID, func(o *keystile.Organization) error {
		s.item()
		s.text("id", o.ID)
		s.text("name", o.Name)
		s.text("environment", string(o.Environment))
		s.text("tenant_id", o.TenantID)
		s.text("key_prefix", o.KeyPrefix)
		if o.Disabled {
			s.raw("disabled", "true")
		}
		s.oneTime(o.OneTime)
		s.text("mfa", string(o.MFA))
		s.leak(o.Leak)
		return nil
	})
}

func (x *exporter) listSites(ctx context.Context, s *section) error {
	list := func(ctx context.Context, after string, limit int) ([]keystile.Site, error) {
		return x.Sites(ctx, store.SiteFilter{Page: store.Page{AfterID: after, Limit: limit}})
	}
	return every(ctx, list, storedSiteID, func(site *keystile.Site) error {
		x.sites[site.ID] = true
		s.item()
		s.text("id", site.ID)
		s.text("organization", site.OrganizationID)
		s.text("name", site.Name)
		return nil
	})
}

func (x *exporter) roles(ctx context.Context, s *section) error {
	list := func(ctx context.Context, after string, limit int) ([]keystile.Role, error) {
		return x.Roles(ctx, store.Page{AfterID: after, Limit: limit})
	}
	return every(ctx, list, storedRoleID, func(r *keystile.Role) error {
		s.item()
		s.text("id", r.ID)
		s.text("name", r.Name)
		s.list("scopes", textsOf(r.Scopes))
		s.text("mfa", string(r.MFA))
		return nil
	})
}

// keys writes live keys and returns the revoked ones: their sites may be
// gone, which is known only when the sites have been read.
func (x *exporter) keys(ctx context.Context, s *section) ([]keystile.APIKey, error) {
	var revoked []keystile.APIKey
	list := func(ctx context.Context, after string, limit int) ([]keystile.APIKey, error) {
		return x.APIKeys(ctx, store.APIKeyFilter{Page: store.Page{AfterID: after, Limit: limit}})
	}
	err := every(ctx, list, storedKeyID, func(a *keystile.APIKey) error {
		if a.UserID != "" {
			return nil // its user's auth_token
		}
		if !a.RevokedAt.IsZero() {
			revoked = append(revoked, *a)
			return nil
		}
		if s.items.Len() > yamlfile.MaxState {
			return errTooLarge
		}
		return x.key(ctx, s, a)
	})
	return revoked, err
}

func (x *exporter) revoked(ctx context.Context, s *section, keys []keystile.APIKey) error {
	for i := range keys {
		a := &keys[i]
		var sites []string
		for _, id := range a.PermittedSiteIDs {
			if x.sites[id] {
				sites = append(sites, id)
			}
		}
		a.PermittedSiteIDs = sites
		if err := x.key(ctx, s, a); err != nil {
			return err
		}
	}
	return nil
}

func (x *exporter) key(ctx context.Context, s *section, a *keystile.APIKey) error {
	secrets, err := x.APIKeySecrets(ctx, a.ID)
	if err != nil {
		return fmt.Errorf("secrets of API key %s: %w", a.ID, err)
	}
	s.item()
	s.text("id", a.ID)
	s.raw("digest", digests(secrets, x.now))
	s.text("hint", a.Hint)
	s.text("name", a.Name)
	s.text("organization", a.OrganizationID)
	s.text("environment", string(a.Environment))
	s.list("permitted_site_ids", a.PermittedSiteIDs)
	s.list("scopes", textsOf(a.Scopes))
	s.text("expires_at", timeText(a.ExpiresAt))
	if a.Limit != nil {
		s.text("limit", a.Limit.String())
		s.text("limit_algorithm", string(a.Limit.Algorithm))
	}
	s.list("allowed_ips", textsOf(a.AllowedIPs))
	s.text("revoked_at", timeText(a.RevokedAt))
	return nil
}

// digests writes the secrets that are good, or where none is the newest one, so
// that an apply elsewhere does not generate another.
func digests(secrets []keystile.APIKeySecret, now time.Time) string {
	live := liveBeside(secrets, nil, now)
	if len(live) == 0 && len(secrets) > 0 {
		live = secrets[len(secrets)-1:]
	}
	texts := make([]string, len(live))
	for i, s := range live {
		texts[i] = scalar(digest{pepper: s.PepperID, sum: s.Digest, until: s.ExpiresAt}.String())
	}
	if len(texts) == 1 {
		return texts[0]
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

func textsOf[T any](items []T) []string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = fmt.Sprint(item)
	}
	return texts
}

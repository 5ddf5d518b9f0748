package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/yamlfile"
)

// identityProvider is an outside issuer that may sign in users of one organisation.
type identityProvider struct {
	Name         string            `yaml:"name,required" doc:"Name of the provider: an id."`
	Organization string            `yaml:"organization,required" doc:"Organization whose users it may sign in."`
	Roles        []string          `yaml:"roles" doc:"Roles it may assert; others are refused."`
	Issuer       string            `yaml:"issuer,required" doc:"The iss of its tokens."`
	Audience     string            `yaml:"audience" doc:"The aud of its tokens. Absent: sign_in.client_id."`
	Algorithms   []string          `yaml:"algorithms" enum:"HS256 RS256 ES256 EdDSA" doc:"Algorithms its tokens may be signed with: HS256 with secret, the others without. Absent with sign_in: RS256."`
	JWKSURL      string            `yaml:"jwks_url" doc:"Where its keys are published: https, or http to this machine. With sign_in it may be absent: they are then where the issuer says."`
	JWKS         any               `yaml:"jwks" doc:"In place of jwks_url: its keys (RFC 7517)."`
	PublicKey    string            `yaml:"public_key" doc:"In place of jwks_url: its one key, PEM."`
	Secret       keystile.Secret   `yaml:"secret" doc:"In place of jwks_url: the shared secret, for HS256."`
	Sealed       *sealed           `yaml:"sealed" doc:"In place of secret, as an export writes it: MASTERKEY:BASE64."`
	Claims       map[string]string `yaml:"claims" doc:"Which claim holds which member of the user: username, email, name, role_id, customer_ids, group_id, skin_id."`
	CreateUsers  bool              `yaml:"create_users" doc:"Whether unknown users are created."`
	Disabled     bool              `yaml:"disabled" doc:"It signs in nobody. Absent: false."`
	SignIn       *signIn           `yaml:"sign_in" doc:"Makes it a way to sign in on the page, by OpenID Connect."`

	// provider is what the entry says, checked, without a secret.
	provider keystile.IdentityProvider
}

// identityProviders is the collection of the section of that name.
type identityProviders struct {
	entries []entry[identityProvider]
	named   bool

	byName map[string]*entry[identityProvider]
	stored map[string]keystile.IdentityProvider
}

func (k *identityProviders) take(s *source) {
	k.entries = append(k.entries, entriesOf(s, "identity_providers", s.document.IdentityProviders)...)
	k.named = k.named || s.document.IdentityProviders != nil
}

func (k *identityProviders) check(c *checker) {
	for i := range k.entries {
		e := &k.entries[i]
		p := e.value
		reference(c, e, "organization", p.Organization)
		if p.Name == "" || p.Issuer == "" || p.SignIn != nil && p.SignIn.ClientID == "" {
			continue // missing, which the decoder reported
		}
		key := "identity provider " + p.Name
		if first, ok := c.seen[key]; ok {
			c.add(e.from, e.path("name"), "keep one", "%s is named a second time (first at %s)", yamlfile.Quote(p.Name), first)
			continue
		}
		c.seen[key] = e.where()
		checkProvider(c, e)
	}
	k.byName = namesOf(k.entries, func(p *identityProvider) string { return p.Name })
}

// checkProvider makes the provider that an entry says, and checks it.
func checkProvider(c *checker, e *entry[identityProvider]) {
	p := e.value
	p.provider = keystile.IdentityProvider{
		Name: p.Name, OrganizationID: p.Organization, Roles: slices.Clone(p.Roles), Issuer: p.Issuer, Audience: p.Audience,
		Algorithms: converted[keystile.SigningAlgorithm](p.Algorithms), JWKSURL: p.JWKSURL, PublicKey: p.PublicKey,
		Claims: maps.Clone(p.Claims), CreateUsers: p.CreateUsers, Disabled: p.Disabled, SignIn: p.SignIn.settings(),
	}
	p.SignIn.checkSecret(c, e)
	if p.JWKS != nil {
		text, err := json.Marshal(p.JWKS)
		if err != nil {
			c.add(e.from, e.path("jwks"), "write the keys as in RFC 7517", "is not a key set")
			return
		}
		p.provider.JWKS = string(text)
	}
	if p.Secret != "" && p.Sealed != nil {
		c.add(e.from, e.path("sealed"), "keep one of them", "secret and sealed exclude each other")
	}
	c.adopt(e.from, e.path(""), manage.CheckIdentityProvider(&p.provider, p.Secret != "" || p.Sealed != nil))
	if p.Secret == "" {
		return
	}
	c.adopt(e.from, e.path(""), manage.CheckProviderSecret(p.Secret))
	for _, text := range (manage.NewIdentityProvider{Secret: p.Secret}).Warnings() {
		member, rest, _ := strings.Cut(text, ": ")
		problem, remedy, _ := strings.Cut(rest, "; ")
		*c.warnings = append(*c.warnings, e.from.problem(e.path(member), remedy, problem))
	}
}

// owners lists the organisations that providers refer to, and roles the roles.
func (k *identityProviders) owners() []string {
	return gather(k.entries, func(p *identityProvider) string { return p.Organization })
}

func (k *identityProviders) roles() (ids []string) {
	for i := range k.entries {
		ids = append(ids, k.entries[i].value.Roles...)
	}
	return ids
}

func listProviders(tx *store.Tx) lister[keystile.IdentityProvider] {
	return func(ctx context.Context, after string, limit int) ([]keystile.IdentityProvider, error) {
		return tx.IdentityProviders(ctx, store.IdentityProviderFilter{Page: store.Page{AfterID: after, Limit: limit}})
	}
}

func storedProviderName(p *keystile.IdentityProvider) string { return p.Name }

func (k *identityProviders) look(ctx context.Context, tx *store.Tx, r *run) error {
	names := make([]string, len(k.entries))
	for i := range k.entries {
		names[i] = k.entries[i].value.Name
	}
	var err error
	if k.stored, err = fetch(ctx, listProviders(tx), storedProviderName, names); err != nil {
		return err
	}
	for i := range k.entries {
		e := &k.entries[i]
		p := e.value
		if !owned(r, e, p.Organization) {
			continue
		}
		if old, ok := k.stored[p.Name]; ok && old.OrganizationID != p.Organization {
			report(r, e, keystile.Invalidf("organization", "choose another name, or delete the provider there first", "the provider belongs to another organization, and providers do not move"))
		}
		for i, id := range p.Roles {
			if !r.world.roles.exists(r, id) {
				report(r, e, keystile.Invalidf(fmt.Sprintf("roles[%d]", i), "name one that the files or the store have", "there is no role %s", id))
			}
		}
		if p.Sealed != nil {
			lookAtSealed(r, e, "sealed", p.Sealed)
		}
		if p.SignIn != nil && p.SignIn.Sealed != nil {
			lookAtSealed(r, e, "sign_in.sealed", p.SignIn.Sealed)
		}
	}
	return nil
}

func (k *identityProviders) before(ctx context.Context, tx *store.Tx, r *run) error {
	if !r.prunes(k.named) {
		return nil
	}
	var gone []string
	err := every(ctx, listProviders(tx), storedProviderName, func(p *keystile.IdentityProvider) error {
		if k.byName[p.Name] == nil {
			gone = append(gone, p.Name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.prune("identity_provider", gone, func(name string) error { return r.service.DeleteIdentityProviderTx(ctx, tx, name) })
}

func (*identityProviders) after(context.Context, *store.Tx, *run) error { return nil }

func (k *identityProviders) write(ctx context.Context, tx *store.Tx, r *run) error {
	for i := range k.entries {
		e := &k.entries[i]
		old, ok := k.stored[e.value.Name]
		var err error
		if ok {
			err = k.update(ctx, tx, r, e, old)
		} else {
			in := manage.NewIdentityProvider{Provider: e.value.provider, Secret: e.value.Secret}
			if e.value.Sealed != nil {
				in.Sealed = e.value.Sealed.data
			}
			if s := e.value.SignIn; s != nil {
				in.ClientSecret = s.ClientSecret
				if s.Sealed != nil {
					in.SealedClientSecret = s.Sealed.data
				}
			}
			if _, err = r.service.CreateIdentityProviderTx(ctx, tx, in); err == nil {
				r.created("identity_provider", e.value.Name)
			}
		}
		if err := answerAt(r, e, "name", err); err != nil {
			return err
		}
	}
	return nil
}

func (k *identityProviders) update(ctx context.Context, tx *store.Tx, r *run, e *entry[identityProvider], old keystile.IdentityProvider) error {
	d := providerDiff(old, e.value.provider)
	want := manage.NewIdentityProvider{Provider: e.value.provider}
	want.Provider.SignIn = e.value.SignIn.settings() // of its own: the secret is put into it
	if err := errors.Join(k.secret(r, e.value, old, &want, &d), clientSecret(r, e.value.SignIn, old, &want, &d)); err != nil {
		return err
	}
	if len(d) == 0 {
		return nil
	}
	_, err := r.service.UpdateIdentityProviderTx(ctx, tx, old.Name, func(in *manage.NewIdentityProvider) error { *in = want; return nil })
	if err != nil {
		return err
	}
	r.updated("identity_provider", old.Name, d)
	return nil
}

// secret gives want the secret of the file. One that is the stored one stays
// sealed as it is, so that applying again writes nothing.
func (k *identityProviders) secret(r *run, p *identityProvider, old keystile.IdentityProvider, want *manage.NewIdentityProvider, d *diff) error {
	var given keystile.Secret
	switch {
	case p.Secret != "":
		given = p.Secret
	case p.Sealed != nil && bytes.Equal(p.Sealed.data, old.SealedSecret):
		want.Provider.SealedSecret = old.SealedSecret
		return nil
	case p.Sealed != nil:
		var err error
		if given, err = r.service.OpenProviderSecret(keystile.IdentityProvider{Name: old.Name, SealedSecret: p.Sealed.data}); err != nil {
			return keystile.Invalidf("sealed", "apply it to the store that it was exported from, or give the secret", "does not open in this store")
		}
	default:
		return nil
	}
	if len(old.SealedSecret) > 0 {
		stored, err := r.service.OpenProviderSecret(old)
		if err != nil {
			return fmt.Errorf("compare the secret with the stored one: %w", err)
		}
		if stored.Equal(given) {
			want.Provider.SealedSecret = old.SealedSecret
			return nil
		}
	}
	want.Secret = given
	d.text("secret", oldOrNone(string(old.SealedSecret)), "new")
	return nil
}

func providerDiff(old, want keystile.IdentityProvider) diff {
	var d diff
	list(&d, "roles", old.Roles, want.Roles)
	d.text("issuer", old.Issuer, want.Issuer)
	d.text("audience", old.Audience, want.Audience)
	list(&d, "algorithms", old.Algorithms, want.Algorithms)
	d.text("jwks_url", old.JWKSURL, want.JWKSURL)
	if old.JWKS != want.JWKS {
		d.text("jwks", oldOrNone(old.JWKS), newOrNone(want.JWKS))
	}
	if old.PublicKey != want.PublicKey {
		d.text("public_key", oldOrNone(old.PublicKey), newOrNone(want.PublicKey))
	}
	d.text("claims", claimsText(old.Claims), claimsText(want.Claims))
	d.text("create_users", fmt.Sprint(old.CreateUsers), fmt.Sprint(want.CreateUsers))
	d.text("disabled", fmt.Sprint(old.Disabled), fmt.Sprint(want.Disabled))
	signInDiff(&d, old.SignIn, want.SignIn)
	return d
}

func newOrNone(given string) string {
	if given == "" {
		return ""
	}
	return "new"
}

func claimsText(claims map[string]string) string {
	texts := make([]string, 0, len(claims))
	for _, member := range slices.Sorted(maps.Keys(claims)) {
		texts = append(texts, member+":"+claims[member])
	}
	return strings.Join(texts, ",")
}

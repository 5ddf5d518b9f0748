package state

import (
	"context"
	"fmt"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/partner"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// application is a partner's application.
type application struct {
	ID              string           `yaml:"id,required" example:"5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c" doc:"UUID."`
	Name            string           `yaml:"name,required" example:"Roof Tools" doc:"Name shown to people."`
	Description     string           `yaml:"description" doc:"What it is for, shown to people who decide about it."`
	Homepage        string           `yaml:"homepage" doc:"Its page, shown to them, too."`
	Kind            string           `yaml:"kind,required" enum:"embedded backend" doc:"embedded: opened inside the platform. backend: a service."`
	Environment     string           `yaml:"environment,required" enum:"sandbox production" doc:"Environment it works in."`
	Organization    string           `yaml:"organization,required" example:"roof-tools-inc" doc:"Organization that makes it."`
	Permissions     []string         `yaml:"permissions" example:"[\"roof_summary:read\"]" doc:"Scopes it asks tenants for."`
	LaunchURL       string           `yaml:"launch_url" example:"https://app.example.com/embed" doc:"Where an embedded application opens."`
	Review          string           `yaml:"review" enum:"draft in_review approved suspended retired" doc:"State of its review. Absent: draft."`
	ReviewComment   string           `yaml:"review_comment" doc:"What the reviewer said last."`
	ApplicationKeys []applicationKey `yaml:"application_keys" doc:"Its keys. Absent: those of the store stay."`
	Webhooks        []webhook        `yaml:"webhooks" doc:"What its partner's server is told. Absent: those of the store stay."`
	OAuth           *oauthClient     `yaml:"oauth" doc:"Its client of the authorization server. Absent: that of the store stays."`
}

// applicationKey is a key of an application.
type applicationKey struct {
	Secret keystile.Secret `yaml:"secret" example:"ak_prod_…" doc:"The key: ak_test_ (sandbox) or ak_prod_ and 32 letters and digits."`
	Digest *digest         `yaml:"digest" doc:"In place of secret, as an export writes it: hmac-sha256:PEPPER:HEX, for a key that ends with \" until TIME\"."`
	Hint   string          `yaml:"hint" doc:"With digest: the visible head of the key."`
}

// applications is the collection of the section of that name.
type applications struct {
	entries []entry[application]
	named   bool

	byID   map[string]*entry[application]
	stored map[string]keystile.Application
}

func (k *applications) take(s *source) {
	for i := range s.document.Applications {
		s.document.Applications[i].ID = strings.ToLower(s.document.Applications[i].ID)
	}
	k.entries = append(k.entries, entriesOf(s, "applications", s.document.Applications)...)
	k.named = k.named || s.document.Applications != nil
}

func (k *applications) check(c *checker) {
	sums, clients := map[[32]byte]string{}, map[string]string{}
	for i := range k.entries {
		e := &k.entries[i]
		identity(c, e, "application", e.value.ID)
		reference(c, e, "organization", e.value.Organization)
		if e.value.OAuth != nil {
			k.checkClient(c, e, clients)
		}
		if missing := e.value.ID == "" || e.value.Name == "" || e.value.Kind == "" || e.value.Environment == "" || e.value.Organization == ""; !missing {
			c.adopt(e.from, e.path(""), manage.CheckApplication(e.value.wanted(keystile.Application{ID: e.value.ID, OrganizationID: e.value.Organization})))
		}
		for n := range e.value.ApplicationKeys {
			k.checkKey(c, e, n, sums)
		}
		for n := range e.value.Webhooks {
			k.checkWebhook(c, e, n)
		}
	}
	k.byID = namesOf(k.entries, func(a *application) string { return a.ID })
}

func (k *applications) checkKey(c *checker, e *entry[application], n int, sums map[[32]byte]string) {
	key := &e.value.ApplicationKeys[n]
	at := e.path(fmt.Sprintf("application_keys[%d]", n))
	switch {
	case (key.Secret == "") == (key.Digest == nil):
		c.add(e.from, at, "give one of the two", "needs either secret or digest")
		return
	case key.Digest == nil && key.Hint != "":
		c.add(e.from, at+".hint", "remove it", "stands beside digest only")
	}
	if key.Secret == "" {
		return
	}
	t, env, ok := partner.Shape(key.Secret.Reveal())
	if !ok || t != partner.ApplicationKey || string(env) != e.value.Environment {
		c.add(e.from, at+".secret", "use ak_test_ (sandbox) or ak_prod_ and 32 letters and digits", "is not an application key of its environment")
		return
	}
	sum := partner.Sum(key.Secret)
	if first, there := sums[sum]; there {
		c.add(e.from, at+".secret", "give each application keys of its own", "is a key of application %s, too", first)
	}
	sums[sum] = e.value.ID
}

// owners lists the organisations that applications refer to.
func (k *applications) owners() []string {
	ids := make([]string, len(k.entries))
	for i := range k.entries {
		ids[i] = k.entries[i].value.Organization
	}
	return ids
}

func listApplications(tx *store.Tx) lister[keystile.Application] {
	return func(ctx context.Context, after string, limit int) ([]keystile.Application, error) {
		return tx.Applications(ctx, store.ApplicationFilter{Page: store.Page{AfterID: after, Limit: limit}})
	}
}

func storedApplicationID(a *keystile.Application) string { return a.ID }

func (k *applications) look(ctx context.Context, tx *store.Tx, r *run) error {
	ids := make([]string, 0, len(k.entries))
	for i := range k.entries {
		e := &k.entries[i]
		ids = append(ids, e.value.ID)
		owned(r, e, e.value.Organization)
	}
	ids = append(ids, r.world.authorizations.applications()...)
	var err error
	if k.stored, err = fetch(ctx, listApplications(tx), storedApplicationID, ids); err != nil {
		return err
	}
	for i := range k.entries {
		e := &k.entries[i]
		if old, ok := k.stored[e.value.ID]; ok && old.Review == keystile.ReviewRetired && e.value.Review != string(keystile.ReviewRetired) {
			report(r, e, keystile.Invalidf("review", "register another application", "the application was retired, which is for good"))
		}
		for n, key := range e.value.ApplicationKeys {
			if key.Digest != nil && !r.service.Digester.Knows(key.Digest.pepper) {
				report(r, e, keystile.Invalidf(fmt.Sprintf("application_keys[%d].digest", n), "apply it to the store that it was exported from, or give secret",
					"was made with pepper %s, which this store does not have", key.Digest.pepper))
			}
		}
		k.lookAtClient(r, e)
		k.lookAtWebhooks(r, e)
	}
	return nil
}

// find is an application as it will be; false if there will be none.
func (k *applications) find(r *run, id string) (keystile.Application, bool) {
	if e := k.byID[id]; e != nil {
		return e.value.wanted(keystile.Application{ID: id, OrganizationID: e.value.Organization}), true
	}
	old, ok := k.stored[id]
	return old, ok && !r.prunes(k.named)
}

func (*applications) before(context.Context, *store.Tx, *run) error { return nil }

func (k *applications) write(ctx context.Context, tx *store.Tx, r *run) error {
	for i := range k.entries {
		e := &k.entries[i]
		if err := answer(r, e, k.put(ctx, tx, r, e)); err != nil {
			return err
		}
	}
	return nil
}

// wanted is the application as the file wants it.
func (a *application) wanted(old keystile.Application) keystile.Application {
	want := old
	want.Name, want.Description, want.Homepage, want.LaunchURL = a.Name, a.Description, a.Homepage, a.LaunchURL
	want.Kind, want.Environment = keystile.ApplicationKind(a.Kind), keystile.Environment(a.Environment)
	want.Permissions = converted[keystile.Scope](a.Permissions)
	want.Review, want.ReviewComment = keystile.ReviewState(a.Review), a.ReviewComment
	if a.Review == "" {
		want.Review = keystile.ReviewDraft
	}
	return want
}

func (k *applications) put(ctx context.Context, tx *store.Tx, r *run, e *entry[application]) error {
	a := e.value
	old, ok := k.stored[a.ID]
	want := a.wanted(old)
	if !ok {
		want.ID, want.OrganizationID = a.ID, a.Organization
		if _, err := r.service.CreateApplicationTx(ctx, tx, want); err != nil {
			return err
		}
		r.created("application", a.ID)
		if err := k.putKeys(ctx, tx, r, a, nil); err != nil {
			return err
		}
		if err := k.putClient(ctx, tx, r, a, &diff{}); err != nil {
			return err
		}
		return k.putWebhooks(ctx, tx, r, e, nil)
	}
	want.OrganizationID = a.Organization
	d := applicationDiff(old, want)
	if len(d) > 0 {
		if _, err := r.service.UpdateApplicationTx(ctx, tx, want); err != nil {
			return err
		}
	}
	if err := k.putKeys(ctx, tx, r, a, &d); err != nil {
		return err
	}
	if err := k.putClient(ctx, tx, r, a, &d); err != nil {
		return err
	}
	if err := k.putWebhooks(ctx, tx, r, e, &d); err != nil {
		return err
	}
	if len(d) > 0 {
		r.updated("application", a.ID, d)
	}
	return nil
}

func applicationDiff(old, want keystile.Application) diff {
	var d diff
	d.text("organization", old.OrganizationID, want.OrganizationID)
	d.text("name", old.Name, want.Name)
	d.text("description", old.Description, want.Description)
	d.text("homepage", old.Homepage, want.Homepage)
	d.text("kind", string(old.Kind), string(want.Kind))
	d.text("environment", string(old.Environment), string(want.Environment))
	list(&d, "permissions", old.Permissions, want.Permissions)
	d.text("launch_url", old.LaunchURL, want.LaunchURL)
	d.text("review", string(old.Review), string(want.Review))
	d.text("review_comment", old.ReviewComment, want.ReviewComment)
	return d
}

// putKeys makes the live keys of an application those of the file. Keys that are
// not in the file are revoked; one that was revoked is not brought back. Without
// any in the file they stay. d is nil for a new application.
func (k *applications) putKeys(ctx context.Context, tx *store.Tx, r *run, a *application, d *diff) error {
	if a.ApplicationKeys == nil {
		return nil
	}
	have, err := tx.ApplicationKeys(ctx, a.ID)
	if err != nil {
		return fmt.Errorf("keys of application %s: %w", a.ID, err)
	}
	changed := false
	var kept []string
	for i := range a.ApplicationKeys {
		id, added, err := a.ApplicationKeys[i].put(ctx, tx, r, keysOf{a.ID, have})
		if err != nil {
			return err
		}
		kept, changed = append(kept, id), changed || added
	}
	for _, stored := range have {
		if stored.RevokedAt.IsZero() && !slices.Contains(kept, stored.ID) {
			changed = true
			if err := tx.RevokeApplicationKey(ctx, stored.ID); err != nil {
				return err
			}
		}
	}
	if changed && d != nil {
		d.text("application_keys", "old", "new")
	}
	return nil
}

// keysOf are the keys that an application has.
type keysOf struct {
	application string
	keys        []keystile.ApplicationKey
}

// put finds or adds the key and says whether it was added.
func (key *applicationKey) put(ctx context.Context, tx *store.Tx, r *run, have keysOf) (id string, added bool, err error) {
	var candidates [][32]byte
	if key.Digest != nil {
		candidates = [][32]byte{key.Digest.sum}
	} else {
		candidates = r.service.Digester.Candidates(partner.Sum(key.Secret), nil)
	}
	for _, stored := range have.keys {
		if slices.Contains(candidates, stored.Digest) {
			return stored.ID, false, nil
		}
	}
	if key.Digest != nil {
		made := keystile.ApplicationKey{ApplicationID: have.application, Digest: key.Digest.sum, PepperID: key.Digest.pepper, Hint: key.Hint, ExpiresAt: key.Digest.until}
		made.ID, err = r.service.AddApplicationKeyDigestTx(ctx, tx, made)
		return made.ID, true, err
	}
	made, err := r.service.AddApplicationKeyTx(ctx, tx, have.application, key.Secret)
	return made.Key.ID, true, err
}

func (k *applications) after(ctx context.Context, tx *store.Tx, r *run) error {
	if !r.prunes(k.named) {
		return nil
	}
	var gone []string
	err := every(ctx, listApplications(tx), storedApplicationID, func(a *keystile.Application) error {
		if k.byID[a.ID] == nil && a.Review != keystile.ReviewRetired {
			gone = append(gone, a.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.prune("application", gone, func(id string) error { return r.service.RemoveApplicationTx(ctx, tx, id) })
}

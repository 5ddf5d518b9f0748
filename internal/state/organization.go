package state

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// organization is a tenant as a file writes it.
type organization struct {
	ID          string  `yaml:"id,required" example:"sibaya-power" doc:"Id."`
	Name        string  `yaml:"name" example:"Sibaya Power" doc:"Name for people. Absent: the id."`
	Environment string  `yaml:"environment" enum:"production sandbox" doc:"Environment of its credentials. Absent: production."`
	TenantID    string  `yaml:"tenant_id" doc:"UUID, its id on Aurora's wire. Absent: the id itself if that is one, else drawn once."`
	KeyPrefix   string  `yaml:"key_prefix" doc:"Start of its new API keys: 1-16 of a-z 0-9. Absent: opa."`
	Disabled    bool    `yaml:"disabled" doc:"Its credentials are refused. Absent: false."`
	OneTime     oneTime `yaml:"onetime" doc:"What it asks of one-time signed requests."`
	Leak        leak    `yaml:"leak" doc:"What happens to its API keys that are found in the open. Absent: its administrators are told."`
	MFA         string  `yaml:"mfa" enum:"required optional off" doc:"Whether a second factor is asked of its users where neither they nor their role state anything. Absent: optional."`
}

// oneTime is what an organisation asks of one-time requests, as a file writes it.
type oneTime struct {
	ClockWindow time.Duration `yaml:"clock_window" example:"60s" doc:"How far a stamp may be from the server's clock, either way: whole seconds from 5s to 15m. Absent: the server's default."`
	Forms       []string      `yaml:"forms" enum:"header jwt http_signature" example:"[jwt, http_signature]" doc:"Forms that are accepted. Absent: all."`
}

// policy is what it means.
func (o oneTime) policy() keystile.OneTimePolicy {
	return keystile.OneTimePolicy{ClockWindow: o.ClockWindow, Forms: converted[keystile.OneTimeForm](o.Forms)}
}

// leak is an organisation's response to leaked keys, as a file writes it.
type leak struct {
	Response string        `yaml:"response" enum:"notify throttle revoke" example:"revoke" doc:"Beside telling its administrators: nothing, hold the leaked secret to 10/1m, or end it after the grace. Absent: notify."`
	Grace    time.Duration `yaml:"grace" example:"24h" doc:"With revoke: how long a leaked secret goes on, whole seconds up to 2160h. Absent: it ends at once."`
}

// policy is what it means.
func (l leak) policy() keystile.LeakPolicy {
	p := keystile.LeakPolicy{Response: keystile.LeakResponse(l.Response), Grace: l.Grace}
	if p.Response == keystile.LeakNotify {
		p.Response = ""
	}
	return p
}

// checkOneTime checks it, as package manage will.
func checkOneTime(c *checker, e *entry[organization]) {
	const member = "onetime.clock_window"
	w := e.value.OneTime.ClockWindow
	written := e.from.positions.Has(e.path(member))
	if written && (w < manage.MinClockWindow || w > manage.MaxClockWindow || w%time.Second != 0) {
		c.add(e.from, e.path(member), "use whole seconds from 5s to 15m, or remove the line for the server's default", "is not a clock window")
	}
	once(c, e, "onetime.forms", e.value.OneTime.Forms)
}

// windowText is a clock window as a file writes it; "" for the default.
func windowText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

// organizations is the collection of the section of that name.
type organizations struct {
	entries []entry[organization]
	named   bool

	byID map[string]*entry[organization]
	// stored are those of the store that the files name or refer to.
	stored map[string]keystile.Organization
	// disable lists those to disable once their keys are made.
	disable []*entry[organization]
}

func (k *organizations) take(s *source) {
	k.entries = append(k.entries, entriesOf(s, "organizations", s.document.Organizations)...)
	k.named = k.named || s.document.Organizations != nil
}

func organizationID(o *organization) string { return o.ID }

func (k *organizations) check(c *checker) {
	for i := range k.entries {
		e := &k.entries[i]
		o := e.value
		identity(c, e, "organization", o.ID)
		label(c, e, "name", o.Name)
		if o.TenantID != "" && !isUUID(o.TenantID) {
			c.add(e.from, e.path("tenant_id"), "write it as 8-4-4-4-12 hexadecimal digits, or leave it out", "is not a UUID")
		}
		if o.KeyPrefix != "" && !validPrefix(o.KeyPrefix) {
			c.add(e.from, e.path("key_prefix"), "use 1 to 16 of a-z 0-9", "is not a key prefix")
		}
		checkOneTime(c, e)
	}
	k.byID = namesOf(k.entries, organizationID)
}

func listOrganizations(tx *store.Tx) lister[keystile.Organization] {
	return func(ctx context.Context, after string, limit int) ([]keystile.Organization, error) {
		return tx.Organizations(ctx, store.Page{AfterID: after, Limit: limit})
	}
}

func storedOrganizationID(o *keystile.Organization) string { return o.ID }

func (k *organizations) look(ctx context.Context, tx *store.Tx, r *run) error {
	k.disable = nil
	ids := make([]string, 0, len(k.entries))
	for id := range k.byID {
		ids = append(ids, id)
	}
	ids = append(ids, r.world.sites.owners()...)
	ids = append(ids, r.world.users.owners()...)
	ids = append(ids, r.world.keys.owners()...)
	ids = append(ids, r.world.signing.owners()...)
	ids = append(ids, r.world.applications.owners()...)
	ids = append(ids, r.world.authorizations.owners()...)
	ids = append(ids, r.world.providers.owners()...)
	var err error
	k.stored, err = fetch(ctx, listOrganizations(tx), storedOrganizationID, ids)
	return err
}

// exists says whether there will be an organisation of that id.
func (k *organizations) exists(r *run, id string) bool {
	if k.byID[id] != nil {
		return true
	}
	_, stored := k.stored[id]
	return stored && !r.prunes(k.named)
}

// environmentOf is the environment that an organisation will have.
func (k *organizations) environmentOf(id string) keystile.Environment {
	old := k.stored[id]
	if e := k.byID[id]; e != nil {
		return e.value.wanted(old).Environment
	}
	return old.Environment
}

// owned reports an entry whose organisation does not exist.
func owned[T any](r *run, e *entry[T], id string) bool {
	return ownedAt(r, e, "organization", id)
}

// ownedAt is owned for a member of another name.
func ownedAt[T any](r *run, e *entry[T], member, id string) bool {
	if r.world.organizations.exists(r, id) {
		return true
	}
	report(r, e, keystile.Invalidf(member, "name one that the files or the store have", "there is no organization %s", id))
	return false
}

func (*organizations) before(context.Context, *store.Tx, *run) error { return nil }

func (k *organizations) write(ctx context.Context, tx *store.Tx, r *run) error {
	for i := range k.entries {
		e := &k.entries[i]
		old, ok := k.stored[e.value.ID]
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

// wanted is the organisation as the file wants it; what the file leaves open
// stays as it was.
func (o *organization) wanted(old keystile.Organization) keystile.Organization {
	want := old
	want.ID = o.ID
	want.Name, want.Environment, want.KeyPrefix, want.Disabled = o.Name, keystile.Environment(o.Environment), o.KeyPrefix, o.Disabled
	want.OneTime, want.MFA, want.Leak = o.OneTime.policy(), keystile.MFAPolicy(o.MFA), o.Leak.policy()
	if want.Name == "" {
		want.Name = o.ID
	}
	if want.Environment == "" {
		want.Environment = keystile.Production
	}
	if want.KeyPrefix == "" {
		want.KeyPrefix = keystile.DefaultKeyPrefix
	}
	if o.TenantID != "" {
		want.TenantID = strings.ToLower(o.TenantID)
	}
	return want
}

// create makes an organisation, enabled at first: a disabled one takes no keys.
func (k *organizations) create(ctx context.Context, tx *store.Tx, r *run, e *entry[organization]) error {
	want := e.value.wanted(keystile.Organization{})
	if want.Disabled {
		want.Disabled = false
		k.disable = append(k.disable, e)
	}
	if _, err := r.service.CreateOrganizationTx(ctx, tx, want); err != nil {
		return err
	}
	r.created("organization", want.ID)
	return nil
}

func (k *organizations) update(ctx context.Context, tx *store.Tx, r *run, e *entry[organization], old keystile.Organization) error {
	want := e.value.wanted(old)
	var d diff
	d.text("name", old.Name, want.Name)
	d.text("environment", string(old.Environment), string(want.Environment))
	d.text("tenant_id", old.TenantID, want.TenantID)
	d.text("key_prefix", old.KeyPrefix, want.KeyPrefix)
	d.text("disabled", fmt.Sprint(old.Disabled), fmt.Sprint(want.Disabled))
	d.text("onetime.clock_window", windowText(old.OneTime.ClockWindow), windowText(want.OneTime.ClockWindow))
	list(&d, "onetime.forms", old.OneTime.Forms, want.OneTime.Forms)
	d.text("mfa", string(old.MFA), string(want.MFA))
	d.text("leak.response", string(old.Leak.Response), string(want.Leak.Response))
	d.text("leak.grace", windowText(old.Leak.Grace), windowText(want.Leak.Grace))
	if len(d) == 0 {
		return nil
	}
	if want.Disabled && !old.Disabled {
		want.Disabled = false
		k.disable = append(k.disable, e)
	}
	_, err := r.service.UpdateOrganizationTx(ctx, tx, want.ID, func(o *keystile.Organization) error { *o = want; return nil })
	if err != nil {
		return err
	}
	r.updated("organization", want.ID, d)
	return nil
}

func (k *organizations) after(ctx context.Context, tx *store.Tx, r *run) error {
	for _, e := range k.disable {
		_, err := r.service.UpdateOrganizationTx(ctx, tx, e.value.ID, func(o *keystile.Organization) error { o.Disabled = true; return nil })
		if err := answer(r, e, err); err != nil {
			return err
		}
	}
	if !r.prunes(k.named) {
		return nil
	}
	var gone []string
	err := every(ctx, listOrganizations(tx), storedOrganizationID, func(o *keystile.Organization) error {
		if k.byID[o.ID] == nil {
			gone = append(gone, o.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.prune("organization", gone, func(id string) error { return r.service.DeleteOrganizationTx(ctx, tx, id) })
}

// prune deletes things of a kind.
func (r *run) prune(kind string, ids []string, remove func(id string) error) error {
	for _, id := range ids {
		err := remove(id)
		if err == nil {
			r.deleted(kind, id)
			continue
		}
		if errors.Is(err, keystile.ErrNotFound) {
			continue // deleted by whom? gone is what was wanted
		}
		if err := r.pruneAnswer(kind, id, err); err != nil {
			return fmt.Errorf("delete %s %s: %w", kind, id, err)
		}
	}
	return nil
}

package state

import (
	"context"
	"errors"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/partner"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// authorization admits an application to a tenant.
type authorization struct {
	Application string    `yaml:"application,required" doc:"Id of the application."`
	Tenant      string    `yaml:"tenant,required" example:"sandbox-tenant" doc:"Organization that admits it, of the application's environment."`
	Permissions []string  `yaml:"permissions" example:"[\"roof_summary:read\"]" doc:"Scopes it is given there: some or all of those it asks for. Absent: none."`
	ExpiresAt   time.Time `yaml:"expires_at" doc:"When it ends. Absent: never."`
}

// authorizations is the collection of the section of that name.
type authorizations struct {
	entries []entry[authorization]
	named   bool
}

func (k *authorizations) take(s *source) {
	k.entries = append(k.entries, entriesOf(s, "authorizations", s.document.Authorizations)...)
	k.named = k.named || s.document.Authorizations != nil
}

func (k *authorizations) check(c *checker) {
	for i := range k.entries {
		e := &k.entries[i]
		a := e.value
		reference(c, e, "application", a.Application)
		reference(c, e, "tenant", a.Tenant)
		scopesAt(c, e, "permissions", a.Permissions)
		a.ExpiresAt = a.ExpiresAt.Truncate(time.Microsecond)
		key := "authorization " + store.AuthorizationID(a.Application, a.Tenant)
		if first, ok := c.seen[key]; ok && a.Application != "" && a.Tenant != "" {
			c.add(e.from, e.path(""), "keep one", "is named a second time (first at %s)", first)
		}
		c.seen[key] = e.where()
	}
}

// applications lists the applications that authorizations refer to.
func (k *authorizations) applications() []string {
	ids := make([]string, len(k.entries))
	for i := range k.entries {
		ids[i] = k.entries[i].value.Application
	}
	return ids
}

// owners lists the tenants that authorizations refer to.
func (k *authorizations) owners() []string {
	ids := make([]string, len(k.entries))
	for i := range k.entries {
		ids[i] = k.entries[i].value.Tenant
	}
	return ids
}

func (k *authorizations) look(_ context.Context, _ *store.Tx, r *run) error {
	for i := range k.entries {
		e := &k.entries[i]
		a := e.value
		app, ok := r.world.applications.find(r, a.Application)
		if !ok {
			report(r, e, keystile.Invalidf("application", "name one that the files or the store have", "there is no application %s", a.Application))
			continue
		}
		if !ownedAt(r, e, "tenant", a.Tenant) {
			continue
		}
		if env := r.world.organizations.environmentOf(a.Tenant); env != app.Environment {
			report(r, e, keystile.Invalidf("tenant", "name a tenant of the application's environment", "is for %s, the application for %s", string(env), string(app.Environment)))
		}
		for n, scope := range a.Permissions {
			if len(partner.Common(app.Permissions, []keystile.Scope{keystile.Scope(scope)})) == 0 {
				report(r, e, keystile.Invalidf(fmt.Sprintf("permissions[%d]", n), "grant what the application asks for", "the application does not ask for %s", scope))
			}
		}
	}
	return nil
}

// before withdraws what goes: an application is removed only when no tenant has it.
func (k *authorizations) before(ctx context.Context, tx *store.Tx, r *run) error {
	if !r.prunes(k.named) {
		return nil
	}
	wanted := make(map[string]bool, len(k.entries))
	for i := range k.entries {
		wanted[store.AuthorizationID(k.entries[i].value.Application, k.entries[i].value.Tenant)] = true
	}
	return everyAuthorization(ctx, tx, func(a *keystile.Authorization) error {
		id := store.AuthorizationID(a.ApplicationID, a.TenantID)
		if wanted[id] || !a.WithdrawnAt.IsZero() {
			return nil
		}
		if err := r.service.WithdrawTx(ctx, tx, a.ApplicationID, a.TenantID); err != nil {
			return err
		}
		r.deleted("authorization", id)
		return nil
	})
}

// authorizationReader is what a store and a transaction share.
type authorizationReader interface {
	Authorizations(context.Context, store.AuthorizationFilter) ([]keystile.Authorization, error)
}

// everyAuthorization calls fn for all authorizations, withdrawn ones too.
func everyAuthorization(ctx context.Context, from authorizationReader, fn func(*keystile.Authorization) error) error {
	filter := store.AuthorizationFilter{Limit: pageSize}
	for {
		page, err := from.Authorizations(ctx, filter)
		if err != nil {
			return err
		}
		for i := range page {
			if err := fn(&page[i]); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
		last := page[len(page)-1]
		filter.AfterApplication, filter.AfterTenant = last.ApplicationID, last.TenantID
	}
}

func (k *authorizations) write(ctx context.Context, tx *store.Tx, r *run) error {
	for i := range k.entries {
		e := &k.entries[i]
		if err := answer(r, e, k.put(ctx, tx, r, e)); err != nil {
			return err
		}
	}
	return nil
}

func (k *authorizations) put(ctx context.Context, tx *store.Tx, r *run, e *entry[authorization]) error {
	a := e.value
	id := store.AuthorizationID(a.Application, a.Tenant)
	old, err := tx.Authorization(ctx, a.Application, a.Tenant)
	if err != nil && !errors.Is(err, keystile.ErrNotFound) {
		return err
	}
	known := err == nil && old.WithdrawnAt.IsZero()
	var d diff
	if known {
		list(&d, "permissions", old.Permissions, converted[keystile.Scope](a.Permissions))
		d.text("expires_at", timeText(old.ExpiresAt), timeText(a.ExpiresAt))
		if len(d) == 0 {
			return nil
		}
	}
	_, err = r.service.AuthorizeTx(ctx, tx, store.Actor{Name: "cli"}, manage.Grant{
		ApplicationID: a.Application, TenantID: a.Tenant, Permissions: converted[keystile.Scope](a.Permissions), ExpiresAt: a.ExpiresAt, AllowExpired: true,
	})
	switch {
	case err != nil:
		return err
	case known:
		r.updated("authorization", id, d)
	default:
		r.created("authorization", id)
	}
	return nil
}

func (*authorizations) after(context.Context, *store.Tx, *run) error { return nil }

package store

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// Organization reads one organisation.
func (r *reads) Organization(ctx context.Context, id string) (keystile.Organization, error) {
	row, err := r.q.GetOrganization(ctx, id)
	if err != nil {
		return keystile.Organization{}, r.fail("read organization "+clip(id), err)
	}
	return organizationOf(row)
}

// Organization reads one organisation and keeps it, and all that is in it, from
// changing until the transaction ends.
func (t *Tx) Organization(ctx context.Context, id string) (keystile.Organization, error) {
	return locked(ctx, t, func() (keystile.Organization, error) { return t.reads.Organization(ctx, id) },
		func(o keystile.Organization) string { return o.ID })
}

// Organizations lists organisations by id.
func (r *reads) Organizations(ctx context.Context, p Page) ([]keystile.Organization, error) {
	rows, err := r.q.ListOrganizations(ctx, p.AfterID, rowLimit(p.Limit))
	if err != nil {
		return nil, r.fail("list organizations", err)
	}
	return mapRows(rows, organizationOf, r.fail, "list organizations")
}

// CreateOrganization adds an organisation. A duplicate id or tenant id is
// [keystile.ErrConflict]. A zero CreatedAt is now.
func (t *Tx) CreateOrganization(ctx context.Context, o keystile.Organization) error {
	if err := checkOrganization(o); err != nil {
		return err
	}
	if _, _, err := t.lock(ctx, o.ID); err != nil {
		return err
	}
	if err := t.tenantIDFree(ctx, o); err != nil {
		return err
	}
	t.stamp(&o.CreatedAt, &o.UpdatedAt)
	n, err := t.q.InsertOrganization(ctx, gen.InsertOrganizationParams{
		ID: o.ID, Name: o.Name, Environment: string(o.Environment), TenantID: o.TenantID, KeyPrefix: o.KeyPrefix,
		Disabled: o.Disabled, CreatedAt: micros(o.CreatedAt), UpdatedAt: micros(o.UpdatedAt),
		OnetimeClockWindow: o.OneTime.ClockWindow.Microseconds(), OnetimeForms: joinList(o.OneTime.Forms),
		Mfa: string(o.MFA), LeakResponse: string(o.Leak.Response), LeakGrace: o.Leak.Grace.Microseconds(),
	})
	if err != nil {
		return t.fail("create organization "+o.ID, err)
	}
	if n == 0 {
		return conflict("organization %q exists already", o.ID)
	}
	t.announceHere(keystile.ChangeOrganization, o.ID)
	return t.Record(ctx, o.ID, "organization.create", "organization:"+o.ID, whole(organizationMembers(o)))
}

// UpdateOrganization makes the stored organisation as o says, but for its
// times; nothing is written if nothing differs.
func (t *Tx) UpdateOrganization(ctx context.Context, o keystile.Organization) error {
	if err := checkOrganization(o); err != nil {
		return err
	}
	before, err := t.Organization(ctx, o.ID)
	if err != nil {
		return err
	}
	detail := difference(organizationMembers(before), organizationMembers(o))
	if len(detail) == 0 {
		return nil
	}
	if err := t.tenantIDFree(ctx, o); err != nil {
		return err
	}
	err = t.q.UpdateOrganization(ctx, gen.UpdateOrganizationParams{
		ID: o.ID, Name: o.Name, Environment: string(o.Environment), TenantID: o.TenantID, KeyPrefix: o.KeyPrefix,
		Disabled: o.Disabled, UpdatedAt: micros(t.now),
		OnetimeClockWindow: o.OneTime.ClockWindow.Microseconds(), OnetimeForms: joinList(o.OneTime.Forms),
		Mfa: string(o.MFA), LeakResponse: string(o.Leak.Response), LeakGrace: o.Leak.Grace.Microseconds(),
	})
	if err != nil {
		return t.fail("update organization "+o.ID, err)
	}
	if o.Disabled && !before.Disabled { // no session of its users is good any more
		if err := t.q.EndOAuthVisitsOfOrganization(ctx, nullMicros(t.now), o.ID); err != nil {
			return t.fail("update organization "+o.ID, err)
		}
	}
	t.Announce(keystile.ChangeOrganization, o.ID)
	if err := t.tenantChanged(ctx, before, o); err != nil {
		return err
	}
	return t.Record(ctx, o.ID, "organization.update", "organization:"+o.ID, detail)
}

// DeleteOrganization removes an organisation that has nothing left: one with
// sites, users, identity providers, API keys, signing keys or live admin tokens is
// [keystile.ErrConflict]. Its revoked admin tokens go with it; its audit chain stays.
func (t *Tx) DeleteOrganization(ctx context.Context, id string) error {
	o, err := t.Organization(ctx, id)
	if err != nil {
		return err
	}
	if err := t.organizationEmpty(ctx, id); err != nil {
		return err
	}
	if err := t.q.DeleteAdminTokensOfOrganization(ctx, id); err != nil {
		return t.fail("delete organization "+id, err)
	}
	if err := t.q.DeleteOrganization(ctx, id); err != nil {
		return t.fail("delete organization "+id, err)
	}
	delete(t.owners, id)
	t.Announce(keystile.ChangeOrganization, id)
	return t.Record(ctx, id, "organization.delete", "organization:"+id, whole(organizationMembers(o)))
}

// organizationEmpty refuses an organisation that something is left of.
func (t *Tx) organizationEmpty(ctx context.Context, id string) error {
	for _, left := range []struct {
		noun, plural, remedy string
		first                func() (string, error)
	}{
		{"site", "sites", "delete", func() (string, error) {
			rows, err := t.q.ListSitesOfOrganization(ctx, id, "", 1)
			return firstOf(rows, func(r gen.Site) string { return r.ID }), err
		}},
		{"user", "users", "delete", func() (string, error) {
			rows, err := t.q.ListUsersOfOrganization(ctx, id, "", 1)
			return firstOf(rows, func(r gen.User) string { return r.ID }), err
		}},
		{"identity provider", "identity providers", "delete", func() (string, error) {
			rows, err := t.q.ListIdentityProvidersOfOrganization(ctx, id, "", 1)
			return firstOf(rows, func(r gen.IdentityProvider) string { return r.Name }), err
		}},
		{"API key", "API keys", "delete", func() (string, error) {
			rows, err := t.q.ListAPIKeysOfOrganization(ctx, id, "", 1)
			return firstOf(rows, func(r gen.ApiKey) string { return r.ID }), err
		}},
		{"signing key", "signing keys", "delete", func() (string, error) {
			rows, err := t.q.ListSigningKeysOfOrganization(ctx, id, "", 1)
			return firstOf(rows, func(r gen.SigningKey) string { return r.ID }), err
		}},
		{"admin token", "admin tokens", "revoke", func() (string, error) {
			rows, err := t.q.LiveAdminTokenOfOrganization(ctx, id)
			return firstOf(rows, func(r string) string { return r }), err
		}},
	} {
		first, err := left.first()
		if err != nil {
			return t.fail("delete organization "+id, err)
		}
		if first != "" {
			return conflict("organization %q still has %s %q; %s its %s first", id, left.noun, first, left.remedy, left.plural)
		}
	}
	return nil
}

// firstOf is the id of the first of rows; "" of none.
func firstOf[R any](rows []R, id func(R) string) string {
	if len(rows) == 0 {
		return ""
	}
	return id(rows[0])
}

func (t *Tx) tenantIDFree(ctx context.Context, o keystile.Organization) error {
	taken, err := t.q.TenantIDTaken(ctx, o.TenantID, o.ID)
	if err != nil {
		return t.fail("read tenant ids", err)
	}
	if taken {
		return conflict("another organization has the tenant id %q", o.TenantID)
	}
	return nil
}

// ownerExists locks the organisation a thing is to belong to; without one, the
// thing's member named field is invalid.
func (t *Tx) ownerExists(ctx context.Context, field, id string) error {
	if err := checkID(field, id); err != nil {
		return err
	}
	if t.owners[id] {
		return nil
	}
	if _, err := t.Organization(ctx, id); err != nil {
		return dangling(err, field, "organization", id)
	}
	t.owners[id] = true
	return nil
}

func organizationOf(row gen.Organization) (keystile.Organization, error) {
	return keystile.Organization{
		ID: row.ID, Name: row.Name, Environment: keystile.Environment(row.Environment), TenantID: row.TenantID,
		KeyPrefix: row.KeyPrefix, Disabled: row.Disabled, CreatedAt: timeOf(row.CreatedAt), UpdatedAt: timeOf(row.UpdatedAt),
		MFA:  keystile.MFAPolicy(row.Mfa),
		Leak: leakPolicyOf(row.LeakResponse, row.LeakGrace),
		OneTime: keystile.OneTimePolicy{
			ClockWindow: time.Duration(row.OnetimeClockWindow) * time.Microsecond, Forms: splitList[keystile.OneTimeForm](row.OnetimeForms),
		},
	}, nil
}

func organizationMembers(o keystile.Organization) []member {
	return []member{
		{"id", o.ID},
		{"name", o.Name},
		{"environment", string(o.Environment)},
		{"tenant_id", o.TenantID},
		{"key_prefix", o.KeyPrefix},
		{"disabled", o.Disabled},
		{"onetime.clock_window", windowText(o.OneTime.ClockWindow)},
		{"onetime.forms", texts(o.OneTime.Forms)},
		{"mfa", string(o.MFA)},
		{"leak.response", string(o.Leak.Response)},
		{"leak.grace", windowText(o.Leak.Grace)},
	}
}

func leakPolicyOf(response string, grace int64) keystile.LeakPolicy {
	return keystile.LeakPolicy{Response: keystile.LeakResponse(response), Grace: time.Duration(grace) * time.Microsecond}
}

func checkLeakPolicy(p keystile.LeakPolicy) error {
	switch p.Response {
	case "", keystile.LeakNotify, keystile.LeakThrottle, keystile.LeakRevoke:
	default:
		return keystile.Invalidf("leak.response", "use notify, throttle or revoke", "%q is not a response to a leak", clip(string(p.Response)))
	}
	if p.Grace < 0 || p.Grace%time.Microsecond != 0 {
		return keystile.Invalidf("leak.grace", "use a duration such as 24h", "%s is not a time that can be kept", p.Grace)
	}
	return nil
}

// windowText is a duration, such as a clock window, as a member's value; "" for the default.
func windowText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func checkOrganization(o keystile.Organization) error {
	if err := checkID("id", o.ID); err != nil {
		return err
	}
	if w := o.OneTime.ClockWindow; w < 0 || w%time.Microsecond != 0 {
		return keystile.Invalidf("onetime.clock_window", "use a duration such as 60s", "%s is not a clock window that can be kept", w)
	}
	if err := checkList("onetime.forms", o.OneTime.Forms); err != nil {
		return err
	}
	if err := checkLeakPolicy(o.Leak); err != nil {
		return err
	}
	if err := checkMFA(o.MFA); err != nil {
		return err
	}
	return checkTexts(text{"name", o.Name}, text{"environment", string(o.Environment)}, text{"tenant_id", o.TenantID}, text{"key_prefix", o.KeyPrefix})
}

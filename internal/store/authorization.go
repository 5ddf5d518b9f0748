package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// AuthorizationFilter chooses authorizations: of a tenant by application, of an
// application by tenant, or all by both.
type AuthorizationFilter struct {
	ApplicationID, TenantID string
	// AfterApplication and AfterTenant continue a list behind them.
	AfterApplication, AfterTenant string
	// Limit is how many at most; see [Page].
	Limit int
}

// Authorization reads what a tenant granted to an application, also what it took back.
func (r *reads) Authorization(ctx context.Context, applicationID, tenantID string) (keystile.Authorization, error) {
	op := "read the authorization of application " + clip(applicationID)
	row, err := r.q.GetAuthorization(ctx, applicationID, tenantID)
	if err != nil {
		return keystile.Authorization{}, r.fail(op, err)
	}
	return authorizationOf(row)
}

// Authorization reads an authorization and keeps it from changing until the transaction ends.
func (t *Tx) Authorization(ctx context.Context, applicationID, tenantID string) (keystile.Authorization, error) {
	return locked(ctx, t, func() (keystile.Authorization, error) { return t.reads.Authorization(ctx, applicationID, tenantID) },
		func(a keystile.Authorization) string { return a.TenantID })
}

// Authorizations lists authorizations, withdrawn and expired ones too.
func (r *reads) Authorizations(ctx context.Context, f AuthorizationFilter) ([]keystile.Authorization, error) {
	var rows []gen.Authorization
	var err error
	switch {
	case f.TenantID != "":
		rows, err = r.q.ListAuthorizationsOfTenant(ctx, f.TenantID, f.AfterApplication, rowLimit(f.Limit))
	case f.ApplicationID != "":
		rows, err = r.q.ListAuthorizationsOfApplication(ctx, f.ApplicationID, f.AfterTenant, rowLimit(f.Limit))
	default:
		rows, err = r.q.ListAuthorizations(ctx, f.AfterApplication, f.AfterTenant, rowLimit(f.Limit))
	}
	if err != nil {
		return nil, r.fail("list authorizations", err)
	}
	return mapRows(rows, authorizationOf, r.fail, "list authorizations")
}

// Authorize makes a tenant's yes as a says: its permissions and its end. It
// stands from then on, also if it was withdrawn before. Nothing is written if it
// stands so already. Generation and times are the store's. Every change is in
// the audit log of both sides.
func (t *Tx) Authorize(ctx context.Context, a keystile.Authorization) error {
	app, tenant, err := t.parties(ctx, a.ApplicationID, a.TenantID)
	if err != nil {
		return err
	}
	if app.Environment != tenant.Environment {
		return keystile.Invalidf("tenant", "choose a tenant of the application's environment", "application %q is for %s, tenant %q for %s",
			app.ID, string(app.Environment), tenant.ID, string(tenant.Environment))
	}
	if err := checkList("permissions", a.Permissions); err != nil {
		return err
	}
	if err := checkTexts(text{"granted_by", a.GrantedBy}); err != nil {
		return err
	}
	a.WithdrawnAt, a.RequestedAt = time.Time{}, time.Time{}
	before, err := t.Authorization(ctx, a.ApplicationID, a.TenantID)
	if errors.Is(err, keystile.ErrNotFound) {
		if err := t.insertAuthorization(ctx, a, app, "authorization.create"); err != nil {
			return err
		}
		return t.stood(ctx, app, tenant, false, a)
	}
	if err != nil {
		return err
	}
	a.Generation = before.Generation
	detail := difference(authorizationMembers(before), authorizationMembers(a))
	if len(detail) == 0 {
		return nil
	}
	if err := t.updateAuthorization(ctx, a); err != nil {
		return err
	}
	if err := t.stood(ctx, app, tenant, before.Stands(t.now), a); err != nil {
		return err
	}
	action := "authorization.update"
	if !before.WithdrawnAt.IsZero() {
		action = "authorization.create"
	}
	return t.recordBoth(ctx, a, app, action, detail)
}

// RequestAuthorization writes down that the partner asks a tenant for its yes.
// Nothing is written if it stands, or was asked for already.
func (t *Tx) RequestAuthorization(ctx context.Context, applicationID, tenantID string) error {
	app, tenant, err := t.parties(ctx, applicationID, tenantID)
	if err != nil {
		return err
	}
	if app.Environment != tenant.Environment {
		return noSuch("tenant", "tenant of the application's environment", tenantID)
	}
	a, err := t.Authorization(ctx, applicationID, tenantID)
	if errors.Is(err, keystile.ErrNotFound) {
		return t.insertAuthorization(ctx, keystile.Authorization{
			ApplicationID: applicationID, TenantID: tenantID, WithdrawnAt: t.now, RequestedAt: t.now,
		}, app, "authorization.request")
	}
	if err != nil || a.WithdrawnAt.IsZero() || !a.RequestedAt.IsZero() {
		return err
	}
	a.RequestedAt = t.now
	if err := t.updateAuthorization(ctx, a); err != nil {
		return err
	}
	return t.recordBoth(ctx, a, app, "authorization.request", map[string]any{"requested_at": instant(a.RequestedAt)})
}

func (t *Tx) insertAuthorization(ctx context.Context, a keystile.Authorization, app keystile.Application, action string) error {
	a.Generation = 1
	t.stamp(&a.CreatedAt, &a.UpdatedAt)
	n, err := t.q.InsertAuthorization(ctx, gen.InsertAuthorizationParams{
		ApplicationID: a.ApplicationID, TenantID: a.TenantID, Permissions: joinList(a.Permissions), GrantedBy: a.GrantedBy, Generation: a.Generation,
		ExpiresAt: nullMicros(a.ExpiresAt), WithdrawnAt: nullMicros(a.WithdrawnAt), RequestedAt: nullMicros(a.RequestedAt), CreatedAt: micros(a.CreatedAt), UpdatedAt: micros(a.UpdatedAt),
	})
	if err != nil {
		return t.fail("authorize application "+a.ApplicationID, err)
	}
	if n == 0 {
		return conflict("application %q is authorized by tenant %q already", a.ApplicationID, a.TenantID)
	}
	t.announceHere(keystile.ChangeAuthorization, AuthorizationID(a.ApplicationID, a.TenantID))
	return t.recordBoth(ctx, a, app, action, whole(authorizationMembers(a)))
}

// Withdraw takes a tenant's yes back: the application's session tokens and
// temporary keys there are dead for good. It is also the "no" to a request.
// Withdrawing again does nothing.
func (t *Tx) Withdraw(ctx context.Context, applicationID, tenantID string) error {
	app, tenant, err := t.parties(ctx, applicationID, tenantID)
	if err != nil {
		return err
	}
	a, err := t.Authorization(ctx, applicationID, tenantID)
	if err != nil || !a.WithdrawnAt.IsZero() && a.RequestedAt.IsZero() {
		return err
	}
	stood := a.Stands(t.now)
	a.WithdrawnAt, a.RequestedAt = t.now, time.Time{}
	a.Generation++
	if err := t.updateAuthorization(ctx, a); err != nil {
		return err
	}
	if err := t.stood(ctx, app, tenant, stood, a); err != nil {
		return err
	}
	return t.recordBoth(ctx, a, app, "authorization.withdraw", map[string]any{"withdrawn_at": instant(a.WithdrawnAt)})
}

// stood queues the application's new status in a tenant where that changed: a yes
// that stood or did not, and now does not or does. An end that lies in the past
// is told of by this and not once more.
func (t *Tx) stood(ctx context.Context, app keystile.Application, tenant keystile.Organization, before bool, now keystile.Authorization) error {
	stands := now.Stands(t.now)
	if !stands && now.WithdrawnAt.IsZero() {
		if _, err := t.notice(ctx, noticeAuthorization, AuthorizationID(now.ApplicationID, now.TenantID), now.ExpiresAt); err != nil {
			return err
		}
	}
	if stands == before || tenant.Disabled || ended(app.Environment, app.Review) {
		return nil
	}
	return t.statusChanged(ctx, app.ID, stands, now.TenantID)
}

func (t *Tx) updateAuthorization(ctx context.Context, a keystile.Authorization) error {
	err := t.q.UpdateAuthorization(ctx, gen.UpdateAuthorizationParams{
		ApplicationID: a.ApplicationID, TenantID: a.TenantID, Permissions: joinList(a.Permissions), GrantedBy: a.GrantedBy, Generation: a.Generation,
		ExpiresAt: nullMicros(a.ExpiresAt), WithdrawnAt: nullMicros(a.WithdrawnAt), RequestedAt: nullMicros(a.RequestedAt), UpdatedAt: micros(t.now),
	})
	if err != nil {
		return t.fail("change the authorization of application "+a.ApplicationID, err)
	}
	t.Announce(keystile.ChangeAuthorization, AuthorizationID(a.ApplicationID, a.TenantID))
	return nil
}

// AuthorizationID names an authorization in the feed.
func AuthorizationID(applicationID, tenantID string) string { return applicationID + "/" + tenantID }

// parties reads the application and the tenant and keeps both from changing.
// Whoever needs both takes the application first.
func (t *Tx) parties(ctx context.Context, applicationID, tenantID string) (keystile.Application, keystile.Organization, error) {
	app, err := t.Application(ctx, applicationID)
	if err != nil {
		return app, keystile.Organization{}, dangling(err, "application", "application", applicationID)
	}
	tenant, err := t.Organization(ctx, tenantID)
	if err != nil {
		return app, tenant, dangling(err, "tenant", "organization", tenantID)
	}
	return app, tenant, nil
}

// recordBoth writes one event into the tenant's chain and one into the partner's.
func (t *Tx) recordBoth(ctx context.Context, a keystile.Authorization, app keystile.Application, action string, detail map[string]any) error {
	target := "authorization:" + AuthorizationID(a.ApplicationID, a.TenantID)
	if err := t.Record(ctx, a.TenantID, action, target, detail); err != nil {
		return err
	}
	if app.OrganizationID == a.TenantID {
		return nil
	}
	return t.Record(ctx, app.OrganizationID, action, target, detail)
}

func authorizationOf(row gen.Authorization) (keystile.Authorization, error) {
	if row.Generation < 1 {
		return keystile.Authorization{}, fmt.Errorf("authorization of application %s: what is stored contradicts itself", row.ApplicationID)
	}
	return keystile.Authorization{
		ApplicationID: row.ApplicationID, TenantID: row.TenantID, Permissions: splitList[keystile.Scope](row.Permissions),
		GrantedBy: row.GrantedBy, Generation: row.Generation, ExpiresAt: nullTimeOf(row.ExpiresAt), WithdrawnAt: nullTimeOf(row.WithdrawnAt),
		RequestedAt: nullTimeOf(row.RequestedAt), CreatedAt: timeOf(row.CreatedAt), UpdatedAt: timeOf(row.UpdatedAt),
	}, nil
}

func authorizationMembers(a keystile.Authorization) []member {
	return []member{
		{"application", a.ApplicationID},
		{"tenant", a.TenantID},
		{"permissions", texts(a.Permissions)},
		{"granted_by", a.GrantedBy},
		{"expires_at", instant(a.ExpiresAt)},
		{"withdrawn_at", instant(a.WithdrawnAt)},
		{"requested_at", instant(a.RequestedAt)},
	}
}

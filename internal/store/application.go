package store

import (
	"context"
	"errors"
	"fmt"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// ApplicationFilter chooses applications.
type ApplicationFilter struct {
	Page
	// OrganizationID: only this partner's; empty: all.
	OrganizationID string
	// Review: only those in this state, for the reviewers' queue; empty: all. It
	// is not combined with OrganizationID.
	Review keystile.ReviewState
}

// Application reads one application.
func (r *reads) Application(ctx context.Context, id string) (keystile.Application, error) {
	row, err := r.q.GetApplication(ctx, id)
	if err != nil {
		return keystile.Application{}, r.fail("read application "+clip(id), err)
	}
	return applicationOf(row)
}

// Application reads one application and keeps it from changing until the transaction ends.
func (t *Tx) Application(ctx context.Context, id string) (keystile.Application, error) {
	return locked(ctx, t, func() (keystile.Application, error) { return t.reads.Application(ctx, id) },
		func(a keystile.Application) string { return a.OrganizationID })
}

// Applications lists applications by id.
func (r *reads) Applications(ctx context.Context, f ApplicationFilter) ([]keystile.Application, error) {
	var rows []gen.Application
	var err error
	switch {
	case f.OrganizationID != "":
		rows, err = r.q.ListApplicationsOfOrganization(ctx, f.OrganizationID, f.AfterID, rowLimit(f.Limit))
	case f.Review != "":
		rows, err = r.q.ListApplicationsInReview(ctx, string(f.Review), f.AfterID, rowLimit(f.Limit))
	default:
		rows, err = r.q.ListApplications(ctx, f.AfterID, rowLimit(f.Limit))
	}
	if err != nil {
		return nil, r.fail("list applications", err)
	}
	return mapRows(rows, applicationOf, r.fail, "list applications")
}

// CreateApplication adds an application. Zero times of creation are now.
func (t *Tx) CreateApplication(ctx context.Context, a keystile.Application) error {
	if err := checkApplication(a); err != nil {
		return err
	}
	if err := t.ownerExists(ctx, "organization", a.OrganizationID); err != nil {
		return err
	}
	t.stamp(&a.CreatedAt, &a.UpdatedAt)
	n, err := t.q.InsertApplication(ctx, gen.InsertApplicationParams{
		ID: a.ID, OrganizationID: a.OrganizationID, Name: a.Name, Description: a.Description, Homepage: a.Homepage,
		Kind: string(a.Kind), Environment: string(a.Environment), Permissions: joinList(a.Permissions), LaunchUrl: a.LaunchURL,
		Review: string(a.Review), ReviewComment: a.ReviewComment, ReviewedAs: a.ReviewedAs,
		CreatedAt: micros(a.CreatedAt), UpdatedAt: micros(a.UpdatedAt),
	})
	if err != nil {
		return t.fail("create application "+a.ID, err)
	}
	if n == 0 {
		return conflict("application %q exists already", a.ID)
	}
	t.announceHere(keystile.ChangeApplication, a.ID)
	return t.Record(ctx, a.OrganizationID, "application.create", "application:"+a.ID, whole(applicationMembers(a)))
}

// UpdateApplication makes the stored application as a says, but for its times;
// nothing is written if nothing differs. Its organisation, kind and environment
// cannot change. One that leaves the states in which it works ends every session
// token and temporary key it has, for good.
func (t *Tx) UpdateApplication(ctx context.Context, a keystile.Application) error {
	before, err := t.Application(ctx, a.ID)
	if err != nil {
		return err
	}
	for _, fixed := range []struct{ field, was, is string }{
		{"organization", before.OrganizationID, a.OrganizationID},
		{"kind", string(before.Kind), string(a.Kind)},
		{"environment", string(before.Environment), string(a.Environment)},
	} {
		if fixed.was != fixed.is {
			return keystile.Invalidf(fixed.field, "register another application", "the %s of application %q cannot change", fixed.field, a.ID)
		}
	}
	detail := difference(applicationMembers(before), applicationMembers(a))
	if len(detail) == 0 && before.ReviewedAs == a.ReviewedAs {
		return nil
	}
	if err := checkApplication(a); err != nil {
		return err
	}
	err = t.q.UpdateApplication(ctx, gen.UpdateApplicationParams{
		ID: a.ID, Name: a.Name, Description: a.Description, Homepage: a.Homepage, Permissions: joinList(a.Permissions), LaunchUrl: a.LaunchURL,
		Review: string(a.Review), ReviewComment: a.ReviewComment, ReviewedAs: a.ReviewedAs, UpdatedAt: micros(t.now),
	})
	if err != nil {
		return t.fail("update application "+a.ID, err)
	}
	if a.Review != before.Review && ended(a.Environment, a.Review) {
		if err := t.q.AdvanceAuthorizations(ctx, a.ID); err != nil {
			return t.fail("end the keys of application "+a.ID, err)
		}
	}
	if err := t.reviewed(ctx, before, a); err != nil {
		return err
	}
	t.Announce(keystile.ChangeApplication, a.ID)
	return t.Record(ctx, a.OrganizationID, "application.update", "application:"+a.ID, detail)
}

// ended says whether an application in a state works nowhere: suspended or retired
// ones, and in production all that are not approved.
func ended(env keystile.Environment, state keystile.ReviewState) bool {
	return !state.WorksIn(env)
}

// DeleteApplication removes an application that no tenant ever authorised, with
// its keys, its webhooks and its client; otherwise it is [keystile.ErrConflict]: retire it.
func (t *Tx) DeleteApplication(ctx context.Context, id string) error {
	a, err := t.Application(ctx, id)
	if err != nil {
		return err
	}
	known, err := t.q.ListAuthorizationsOfApplication(ctx, id, "", 1)
	if err != nil {
		return t.fail("delete application "+id, err)
	}
	if len(known) > 0 {
		return conflict("application %q is known to tenants; retire it instead", id)
	}
	client, err := t.OAuthClientOfApplication(ctx, id)
	if err == nil {
		err = t.DeleteOAuthClient(ctx, client.ID)
	}
	if err != nil && !errors.Is(err, keystile.ErrNotFound) {
		return err
	}
	if err := t.deleteWebhooks(ctx, id); err != nil {
		return err
	}
	if err := t.q.DeleteApplicationKeys(ctx, id); err != nil {
		return t.fail("delete application "+id, err)
	}
	if err := t.q.DeleteApplication(ctx, id); err != nil {
		return t.fail("delete application "+id, err)
	}
	t.Announce(keystile.ChangeApplication, id)
	return t.Record(ctx, a.OrganizationID, "application.delete", "application:"+id, whole(applicationMembers(a)))
}

func checkApplication(a keystile.Application) error {
	if !validUUID(a.ID) {
		return keystile.Invalidf("id", "use a UUID in lower case", "%q is not a UUID", clip(a.ID))
	}
	if a.Kind != keystile.ApplicationEmbedded && a.Kind != keystile.ApplicationBackend {
		return keystile.Invalidf("kind", "use embedded or backend", "%q is not a kind of application", clip(string(a.Kind)))
	}
	if a.Environment != keystile.Production && a.Environment != keystile.Sandbox {
		return keystile.Invalidf("environment", "use sandbox or production", "%q is not an environment", clip(string(a.Environment)))
	}
	if err := checkTexts(text{"name", a.Name}, text{"description", a.Description}, text{"homepage", a.Homepage},
		text{"launch_url", a.LaunchURL}, text{"review", string(a.Review)}, text{"review_comment", a.ReviewComment}, text{"reviewed_as", a.ReviewedAs}); err != nil {
		return err
	}
	return checkList("permissions", a.Permissions)
}

// validUUID knows the lower-case text form (RFC 9562, section 4).
func validUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

func applicationOf(row gen.Application) (keystile.Application, error) {
	a := keystile.Application{
		ID: row.ID, OrganizationID: row.OrganizationID, Name: row.Name, Description: row.Description, Homepage: row.Homepage,
		Kind: keystile.ApplicationKind(row.Kind), Environment: keystile.Environment(row.Environment),
		Permissions: splitList[keystile.Scope](row.Permissions), LaunchURL: row.LaunchUrl,
		Review: keystile.ReviewState(row.Review), ReviewComment: row.ReviewComment, ReviewedAs: row.ReviewedAs,
		CreatedAt: timeOf(row.CreatedAt), UpdatedAt: timeOf(row.UpdatedAt),
	}
	if err := checkApplication(a); err != nil {
		return keystile.Application{}, fmt.Errorf("application %s: what is stored contradicts itself: %w", row.ID, err)
	}
	return a, nil
}

func applicationMembers(a keystile.Application) []member {
	return []member{
		{"id", a.ID},
		{"organization", a.OrganizationID},
		{"name", a.Name},
		{"description", a.Description},
		{"homepage", a.Homepage},
		{"kind", string(a.Kind)},
		{"environment", string(a.Environment)},
		{"permissions", texts(a.Permissions)},
		{"launch_url", a.LaunchURL},
		{"review", string(a.Review)},
		{"review_comment", a.ReviewComment},
	}
}

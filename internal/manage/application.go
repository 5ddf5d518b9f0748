package manage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// ApplicationFilter chooses applications.
type ApplicationFilter = store.ApplicationFilter

// Application returns one application: the partner's own, or one that the
// caller's organisation may decide about.
func (s *Service) Application(ctx context.Context, id string) (keystile.Application, error) {
	a, err := s.Store.Application(ctx, id)
	if err != nil {
		return a, fmt.Errorf("application %q: %w", id, err)
	}
	if s.sees(a.OrganizationID) {
		return a, nil
	}
	tenant, err := s.Store.Organization(ctx, s.boundTo())
	if err != nil || !offered(&a, tenant.Environment) {
		return keystile.Application{}, missing("application", id)
	}
	return a, nil
}

// Applications lists applications by id: those of one partner, those in a state
// of review, or all.
func (s *Service) Applications(ctx context.Context, filter ApplicationFilter) ([]keystile.Application, error) {
	var ok bool
	if filter.OrganizationID, ok = s.scope(filter.OrganizationID); !ok {
		return nil, nil
	}
	list, err := s.Store.Applications(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list applications: %w", err)
	}
	return list, nil
}

// offered says whether tenants of an environment may be asked about an application.
func offered(a *keystile.Application, env keystile.Environment) bool {
	if a.Environment != env {
		return false
	}
	return a.Review == keystile.ReviewApproved ||
		env == keystile.Sandbox && (a.Review == keystile.ReviewDraft || a.Review == keystile.ReviewInReview)
}

// ownApplication is an application of the caller's own, inside a transaction.
func (s *Service) ownApplication(ctx context.Context, tx *store.Tx, id string) (keystile.Application, error) {
	a, err := tx.Application(ctx, id)
	if err != nil {
		return a, fmt.Errorf("application %q: %w", id, err)
	}
	if !s.sees(a.OrganizationID) {
		return a, missing("application", id)
	}
	return a, nil
}

// CreateApplication registers an application as a draft. ID may be empty, then a
// UUID is drawn; Environment defaults to its organisation's. Review and times in
// the input are ignored, unless the caller is the operator (apply).
func (s *Service) CreateApplication(ctx context.Context, a store.Actor, in keystile.Application) (keystile.Application, error) {
	in.Review, in.ReviewComment, in.ReviewedAs = keystile.ReviewDraft, "", ""
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.Application, error) {
		return s.CreateApplicationTx(ctx, tx, in)
	})
}

// CreateApplicationTx is CreateApplication inside a transaction, and keeps Review.
func (s *Service) CreateApplicationTx(ctx context.Context, tx *store.Tx, in keystile.Application) (keystile.Application, error) {
	if in.OrganizationID == "" {
		in.OrganizationID = s.boundTo()
	}
	if !s.sees(in.OrganizationID) {
		return in, missing("organization", in.OrganizationID)
	}
	app, err := s.completeApplication(ctx, tx, in)
	if err != nil {
		return app, err
	}
	if err := CheckApplication(app); err != nil {
		return app, err
	}
	if app.Review == keystile.ReviewApproved {
		app.ReviewedAs = ReviewedForm(app)
	}
	app.CreatedAt = s.now()
	app.UpdatedAt = app.CreatedAt
	if err := tx.CreateApplication(ctx, app); err != nil {
		return app, fmt.Errorf("create application %q: %w", app.ID, err)
	}
	return app, nil
}

// completeApplication fills what a new application leaves to defaults.
func (s *Service) completeApplication(ctx context.Context, tx *store.Tx, app keystile.Application) (keystile.Application, error) {
	app.ID = strings.ToLower(app.ID)
	if app.ID == "" {
		id, err := s.tenantID("")
		if err != nil {
			return app, err
		}
		app.ID = id
	}
	if app.Environment == "" {
		owner, err := tx.Organization(ctx, app.OrganizationID)
		if err != nil {
			return app, fmt.Errorf("organization %q: %w", app.OrganizationID, err)
		}
		app.Environment = owner.Environment
	}
	if app.Review == "" {
		app.Review = keystile.ReviewDraft
	}
	return app, nil
}

// CheckApplication says everything that is wrong with an application, without the store.
func CheckApplication(app keystile.Application) error {
	var p problems
	if !isUUID(app.ID) {
		p.add("id", "use a UUID, or leave it out", "not a UUID")
	}
	p.reference("organization", app.OrganizationID)
	if app.Name == "" {
		p.add("name", "say what people know it as", "is missing")
	}
	p.name("name", app.Name)
	p.name("description", app.Description)
	if app.Homepage != "" {
		p.webURL("homepage", app.Homepage, false)
	}
	switch app.Kind {
	case keystile.ApplicationEmbedded:
		if app.LaunchURL == "" {
			p.add("launch_url", "give the page that is opened", "an embedded application needs one")
		}
	case keystile.ApplicationBackend:
		if app.LaunchURL != "" {
			p.add("launch_url", "leave it out, or make the application embedded", "a backend application is not opened")
		}
	default:
		p.add("kind", "use embedded or backend", "not a kind of application")
	}
	if app.Environment != keystile.Sandbox && app.Environment != keystile.Production {
		p.add("environment", "use sandbox or production", "not an environment")
	}
	if app.LaunchURL != "" {
		p.webURL("launch_url", app.LaunchURL, app.Environment == keystile.Sandbox)
	}
	if !slices.Contains(keystile.ReviewStates, app.Review) {
		p.add("review", "use draft, in_review, approved, suspended or retired", "not a state of review")
	}
	p.scopes("permissions", app.Permissions)
	return p.err()
}

// reviewed is what a reviewer decides on: what changes it needs another review.
type reviewed struct {
	Description string           `json:"description"`
	Homepage    string           `json:"homepage"`
	LaunchURL   string           `json:"launch_url"`
	Name        string           `json:"name"`
	Permissions []keystile.Scope `json:"permissions"`
}

func reviewedOf(app keystile.Application) reviewed {
	return reviewed{app.Description, app.Homepage, app.LaunchURL, app.Name, app.Permissions}
}

// ReviewedForm is what a reviewer decides on, as JSON: what changes it needs
// another review.
func ReviewedForm(app keystile.Application) string {
	text, err := json.Marshal(reviewedOf(app))
	if err != nil {
		return "" // strings cannot fail
	}
	return string(text)
}

// ReadAs is a short name of what a reviewer decides on; another text, another name.
func ReadAs(app keystile.Application) string {
	sum := sha256.Sum256([]byte(ReviewedForm(app)))
	return hex.EncodeToString(sum[:])
}

// Difference is one field of an application that is not as it was approved.
type Difference struct {
	// Field is named as in the state file.
	Field string
	// Was and Is are its values, several for a list; none: empty.
	Was, Is []string
}

// Differences are what changed in an application since it was approved last.
// ok is false where it never was.
func Differences(app keystile.Application) (changed []Difference, ok bool) {
	var was reviewed
	if app.ReviewedAs == "" || json.Unmarshal([]byte(app.ReviewedAs), &was) != nil {
		return nil, false
	}
	is := reviewedOf(app)
	one := func(text string) []string {
		if text == "" {
			return nil
		}
		return []string{text}
	}
	list := func(scopes []keystile.Scope) []string {
		words := make([]string, len(scopes))
		for i, scope := range scopes {
			words[i] = string(scope)
		}
		return words
	}
	for _, d := range []Difference{
		{"name", one(was.Name), one(is.Name)},
		{"description", one(was.Description), one(is.Description)},
		{"homepage", one(was.Homepage), one(is.Homepage)},
		{"launch_url", one(was.LaunchURL), one(is.LaunchURL)},
		{"permissions", list(was.Permissions), list(is.Permissions)},
	} {
		if !slices.Equal(d.Was, d.Is) {
			changed = append(changed, d)
		}
	}
	return changed, true
}

// UpdateApplication lets edit change what an application is and asks for: Name,
// Description, Homepage, Permissions, LaunchURL. In production, what is reviewed
// stays as it is while the application is in review or approved.
func (s *Service) UpdateApplication(ctx context.Context, a store.Actor, id string, edit func(*keystile.Application) error) (keystile.Application, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.Application, error) {
		old, err := s.ownApplication(ctx, tx, id)
		if err != nil {
			return old, err
		}
		edited := old
		edited.Permissions = slices.Clone(old.Permissions)
		if err := edit(&edited); err != nil {
			return old, err
		}
		next := old
		next.Name, next.Description, next.Homepage = edited.Name, edited.Description, edited.Homepage
		next.Permissions, next.LaunchURL = edited.Permissions, edited.LaunchURL
		if old.Review == keystile.ReviewRetired || old.Review == keystile.ReviewSuspended && ReviewedForm(old) != ReviewedForm(next) {
			return old, fmt.Errorf("change application %q, which is %s: %w", id, old.Review, keystile.ErrConflict)
		}
		// In review, too: what is approved must be what the reviewer read.
		reviewed := old.Review == keystile.ReviewApproved || old.Review == keystile.ReviewInReview
		if old.Environment == keystile.Production && reviewed && ReviewedForm(old) != ReviewedForm(next) {
			return old, keystile.Invalidf("review", "take it back to draft first (it stops working), or register a second application",
				"what is reviewed cannot change while an application is in review or approved")
		}
		return s.UpdateApplicationTx(ctx, tx, next)
	})
}

// UpdateApplicationTx makes the stored application as app says, inside a transaction.
func (s *Service) UpdateApplicationTx(ctx context.Context, tx *store.Tx, app keystile.Application) (keystile.Application, error) {
	if err := CheckApplication(app); err != nil {
		return app, err
	}
	return s.storeApplication(ctx, tx, app)
}

// moveTx stores an application that is in another state now. What would not be
// registered today can still be sent back, suspended and retired.
func (s *Service) moveTx(ctx context.Context, tx *store.Tx, app keystile.Application) (keystile.Application, error) {
	if app.Review == keystile.ReviewInReview || app.Review == keystile.ReviewApproved {
		return s.UpdateApplicationTx(ctx, tx, app)
	}
	return s.storeApplication(ctx, tx, app)
}

func (s *Service) storeApplication(ctx context.Context, tx *store.Tx, app keystile.Application) (keystile.Application, error) {
	if app.Review == keystile.ReviewApproved {
		app.ReviewedAs = ReviewedForm(app)
	}
	if err := tx.UpdateApplication(ctx, app); err != nil {
		return app, fmt.Errorf("update application %q: %w", app.ID, err)
	}
	return s.ownApplication(ctx, tx, app.ID)
}

// reviewMoves are the steps in the life of an application: who may take it where.
var reviewMoves = map[keystile.ReviewState]struct{ partner, reviewer []keystile.ReviewState }{
	keystile.ReviewDraft:     {partner: []keystile.ReviewState{keystile.ReviewInReview, keystile.ReviewRetired}, reviewer: []keystile.ReviewState{keystile.ReviewSuspended}},
	keystile.ReviewInReview:  {partner: []keystile.ReviewState{keystile.ReviewDraft, keystile.ReviewRetired}, reviewer: []keystile.ReviewState{keystile.ReviewApproved, keystile.ReviewDraft, keystile.ReviewSuspended}},
	keystile.ReviewApproved:  {partner: []keystile.ReviewState{keystile.ReviewDraft, keystile.ReviewRetired}, reviewer: []keystile.ReviewState{keystile.ReviewSuspended, keystile.ReviewDraft}},
	keystile.ReviewSuspended: {partner: []keystile.ReviewState{keystile.ReviewRetired}, reviewer: []keystile.ReviewState{keystile.ReviewApproved, keystile.ReviewDraft}},
	keystile.ReviewRetired:   {},
}

// MoveApplication takes an application to another state, as its partner:
// submitted (in_review), taken back (draft), retired for good.
func (s *Service) MoveApplication(ctx context.Context, a store.Actor, id string, to keystile.ReviewState) (keystile.Application, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.Application, error) {
		app, err := s.ownApplication(ctx, tx, id)
		if err != nil || app.Review == to {
			return app, err
		}
		if !slices.Contains(reviewMoves[app.Review].partner, to) {
			return app, noSuchMove(&app, to)
		}
		app.Review = to
		return s.moveTx(ctx, tx, app)
	})
}

// Verdict is what a reviewer decides about an application.
type Verdict struct {
	// To is approved, draft (sent back) or suspended.
	To keystile.ReviewState
	// Comment is shown to the partner.
	Comment string
	// Read is [ReadAs] of what the reviewer had before them: if the application is
	// another one by now, nothing is decided. Empty: not compared.
	Read string
}

// ReviewApplication takes an application to another state, as a reviewer:
// approved, sent back (draft) with a comment, or suspended.
func (s *Service) ReviewApplication(ctx context.Context, a store.Actor, id string, v Verdict) (keystile.Application, error) {
	if err := s.global("review an application"); err != nil {
		return keystile.Application{}, err
	}
	var p problems
	p.prose("comment", v.Comment)
	if err := p.err(); err != nil {
		return keystile.Application{}, err
	}
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.Application, error) {
		app, err := s.ownApplication(ctx, tx, id)
		if err != nil {
			return app, err
		}
		if v.Read != "" && v.Read != ReadAs(app) {
			return app, fmt.Errorf("application %q was changed since it was read: %w", app.ID, keystile.ErrConflict)
		}
		if app.Review == v.To {
			return app, nil
		}
		if !slices.Contains(reviewMoves[app.Review].reviewer, v.To) {
			return app, noSuchMove(&app, v.To)
		}
		app.Review, app.ReviewComment = v.To, v.Comment
		return s.moveTx(ctx, tx, app)
	})
}

// ReviewerMoves are the states that a reviewer may take an application to from where it is.
func ReviewerMoves(from keystile.ReviewState) []keystile.ReviewState {
	return slices.Clone(reviewMoves[from].reviewer)
}

// PartnerMoves are the states that its partner may take an application to from where it is.
func PartnerMoves(from keystile.ReviewState) []keystile.ReviewState {
	return slices.Clone(reviewMoves[from].partner)
}

func noSuchMove(app *keystile.Application, to keystile.ReviewState) error {
	return fmt.Errorf("take application %q from %s to %s: %w", app.ID, app.Review, to, keystile.ErrConflict)
}

// RemoveApplicationTx deletes an application that no tenant ever knew and retires
// any other, inside a transaction.
func (s *Service) RemoveApplicationTx(ctx context.Context, tx *store.Tx, id string) error {
	app, err := s.ownApplication(ctx, tx, id)
	if err != nil {
		return err
	}
	err = tx.DeleteApplication(ctx, id)
	if err == nil || !errors.Is(err, keystile.ErrConflict) {
		return err
	}
	app.Review = keystile.ReviewRetired
	_, err = s.moveTx(ctx, tx, app)
	return err
}

// Works says whether an application in a state of review may work.
func Works(env keystile.Environment, state keystile.ReviewState) bool { return state.WorksIn(env) }

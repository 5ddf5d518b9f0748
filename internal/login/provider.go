package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/username"
)

// maxIdentity bounds issuer and subject, in bytes.
const maxIdentity = 512

// Provider signs in the user an identity provider vouched for, and creates them if
// the provider may. The same factors are asked for as after a password.
func (s *Service) Provider(ctx context.Context, c Caller, id Identity) (Outcome, error) {
	return s.vouched(ctx, c, id, ticket{})
}

// vouched is Provider. A ticket with an id, of a sign-in on the page, is spent in the same
// transaction: it leads to one session or challenge, however often it is sent.
func (s *Service) vouched(ctx context.Context, c Caller, id Identity, t ticket) (out Outcome, err error) {
	err = s.mapped(ctx, c, id, func(ctx context.Context, tx *store.Tx, at step) error {
		out = Outcome{}
		if err := s.spendTicket(ctx, tx, c, t, at.user.ID); err != nil {
			return err
		}
		out, err = s.proceed(ctx, tx, c, at)
		return err
	})
	if err != nil {
		return Outcome{}, err
	}
	return out, nil
}

// Vouched is a user whom an identity provider vouched for, and how they had signed in there.
type Vouched struct {
	User            keystile.User
	Methods         []keystile.AuthMethod
	AuthenticatedAt time.Time
}

// Vouch says whom an identity provider vouched for, by the rules of Provider, and opens
// nothing: no session is made and nobody can be asked for another factor. A user of whom
// one would be asked is [ErrStepUp].
func (s *Service) Vouch(ctx context.Context, c Caller, id Identity) (out Vouched, err error) {
	err = s.mapped(ctx, c, id, func(ctx context.Context, tx *store.Tx, at step) error {
		n, err := s.needs(ctx, tx, at.user, at.found, at.proof)
		if err != nil {
			return err
		}
		if !n.nothing() {
			return &answer{ErrStepUp}
		}
		out = Vouched{User: at.user, Methods: at.proof.complete(), AuthenticatedAt: at.proof.since(s.now())}
		return nil
	})
	if err != nil {
		return Vouched{}, err
	}
	return out, nil
}

// mapped finds the user whom a provider means, or makes them, pins them, and goes on with
// them in the same transaction.
func (s *Service) mapped(ctx context.Context, c Caller, id Identity, goOn func(context.Context, *store.Tx, step) error) error {
	if !id.acceptable() {
		return ErrInvalidCredentials
	}
	name, invalid := username.Parse(id.Username)
	if invalid != nil {
		return ErrInvalidCredentials
	}
	userID, pinned, err := s.identified(ctx, id, name)
	if err != nil {
		return err
	}
	var refused error
	err = s.mutate(ctx, store.Actor{Name: "identity_provider:" + id.Provider.Name, RequestID: c.RequestID}, func(ctx context.Context, tx *store.Tx) error {
		refused = nil
		at := step{proof: id.proof()}
		who, err := userID, error(nil)
		if who == "" {
			who, err = s.createFor(ctx, tx, id, name)
		}
		if err == nil {
			at.user, err = lockUser(ctx, tx, who)
		}
		if err == nil {
			err = pin(ctx, tx, id, at.user, pinned)
		}
		if err != nil {
			return err
		}
		if at.found, err = tx.FindUserByID(ctx, who); err != nil {
			return err
		}
		if refused = inactive(at.user, at.found.Organization); refused != nil {
			return nil
		}
		return goOn(ctx, tx, at)
	})
	if err != nil {
		return err
	}
	return refused
}

// acceptable says whether a provider may say this (rulings R22).
func (id Identity) acceptable() bool {
	return !id.Provider.Disabled && id.EmailVerified && id.Issuer != "" && id.Subject != "" && len(id.Issuer)+len(id.Subject) <= maxIdentity &&
		(id.RoleID == "" || slices.Contains(id.Provider.Roles, id.RoleID))
}

// proof is what a provider's word proves.
func (id Identity) proof() proof {
	p := proof{methods: []keystile.AuthMethod{keystile.MethodProvider}, provider: id.Provider.Name, at: id.AuthenticatedAt}
	if id.SecondFactor {
		p.methods = append(p.methods, keystile.MethodMFA)
	}
	return p
}

// pin ties the provider's subject to a user whom it may vouch for, unless it is.
func pin(ctx context.Context, tx *store.Tx, id Identity, u keystile.User, pinned bool) error {
	if !vouchable(u, id.Provider) {
		return &answer{ErrInvalidCredentials}
	}
	if pinned {
		return nil
	}
	return refusal(tx.PinIdentity(ctx, id.Provider.Name, id.Issuer, id.Subject, u.ID))
}

// vouchable says whether a provider's word may sign a user in: one of its own
// organisation, and nobody with rights beyond it (rulings R22, R25): whoever runs
// one organisation's provider must not become whoever runs the platform.
func vouchable(u keystile.User, p keystile.IdentityProvider) bool {
	return u.OrganizationID == p.OrganizationID && u.AdminRole != keystile.PlatformAdmin && u.AdminRole != keystile.PlatformReviewer
}

// refusal is what a contradiction in the store means to somebody who signs in.
func refusal(err error) error {
	if errors.Is(err, keystile.ErrConflict) {
		return &answer{fmt.Errorf("%w: a user of that name or identity is there, and is not linked", ErrInvalidCredentials)}
	}
	return err
}

// identified finds whom a provider means: the user it was pinned to, else the one of that name in the
// provider's organisation; none, if one may be created.
func (s *Service) identified(ctx context.Context, id Identity, name username.Name) (userID string, pinned bool, err error) {
	userID, err = s.o.Store.PinnedUser(ctx, id.Provider.Name, id.Issuer, id.Subject)
	if err == nil || !notFound(err) {
		return userID, true, err
	}
	// By whatever door it comes: an ID token that somebody got hold of must not link more than the page does.
	if id.Provider.SignIn != nil {
		linked, ok := id.linkedName()
		if !ok { // whoever is there is not theirs to become; one that is made is
			return "", false, creatable(id)
		}
		name = linked
	}
	found, err := s.o.Store.FindUser(ctx, name.Canonical)
	switch {
	case err == nil && found.User.OrganizationID == id.Provider.OrganizationID:
		return found.User.ID, false, nil
	case err == nil:
		return "", false, fmt.Errorf("%w: the name is of another organisation's user", ErrInvalidCredentials)
	case notFound(err):
		return "", false, creatable(id)
	}
	return "", false, err
}

// creatable says whether a provider may make a user for an identity.
func creatable(id Identity) error {
	if !id.Provider.CreateUsers {
		return fmt.Errorf("%w: no user is found by it, and the provider creates none", ErrInvalidCredentials)
	}
	return nil
}

// linkedName is the name by which a provider that people sign in at finds a user that is there: an
// address that the provider says it has verified, where the provider is told to link.
func (id Identity) linkedName() (username.Name, bool) {
	if !id.Provider.SignIn.LinkByEmail || !id.EmailProven {
		return username.Name{}, false
	}
	name, err := username.Parse(id.Email)
	return name, err == nil && name.IsEmail
}

// createFor makes the user that a provider vouched for.
func (s *Service) createFor(ctx context.Context, tx *store.Tx, id Identity, name username.Name) (string, error) {
	u := keystile.User{
		OrganizationID: id.Provider.OrganizationID, Username: name.Shown, Name: clipName(id.Name), RoleID: id.RoleID,
		CustomerIDs: id.CustomerIDs, GroupID: id.GroupID, SkinID: id.SkinID,
	}
	names := []store.SignInName{{Name: name.Canonical, Skeleton: name.Skeleton}}
	switch mail, err := username.Parse(id.Email); {
	case name.IsEmail:
		u.Email = name.Shown
	case err == nil && mail.IsEmail:
		u.Email = mail.Shown
		names = append(names, store.SignInName{Name: mail.Canonical, Skeleton: mail.Skeleton})
	}
	now := s.now()
	for try := range 10 {
		// As the Ona platform writes ids: the moment, to the microsecond; of two in one, one moves on.
		at := now.Add(time.Duration(try) * time.Microsecond)
		u.ID = fmt.Sprintf("user_%s%06d", at.Format("20060102150405"), at.Nanosecond()/1000)
		if _, err := tx.FindUserByID(ctx, u.ID); notFound(err) {
			break
		} else if err != nil {
			return "", err
		}
	}
	err := tx.CreateUser(ctx, u, names...)
	var invalid *keystile.Invalid
	if errors.As(err, &invalid) {
		return "", &answer{ErrInvalidCredentials}
	}
	return u.ID, refusal(err)
}

// maxName bounds names that come from outside, in bytes.
const maxName = 200

// clipName makes a name from outside one that can be kept and shown.
func clipName(name string) string {
	clean := make([]rune, 0, len(name))
	for _, r := range name {
		if r >= ' ' && r != 0x7f && r != '\uFFFD' && len(clean) < maxName/4 {
			clean = append(clean, r)
		}
	}
	return string(clean)
}

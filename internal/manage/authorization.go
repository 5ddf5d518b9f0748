package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/partner"
	"keystile.dev/keystile/internal/store"
)

// Offer is an application as a tenant's administrator sees it.
type Offer struct {
	Application keystile.Application
	// Owner is the name of the organisation that makes it.
	Owner string
	// Authorization is what the tenant granted or was asked for; nil: neither.
	Authorization *keystile.Authorization
}

// Offers lists, by application, what a tenant may decide about: the applications
// of its environment that work there, and those it knows already.
func (s *Service) Offers(ctx context.Context, tenantID string, page Page) ([]Offer, error) {
	if !s.sees(tenantID) {
		return nil, missing("organization", tenantID)
	}
	tenant, err := s.Store.Organization(ctx, tenantID)
	if err != nil {
		return nil, fmt.Errorf("organization %q: %w", tenantID, err)
	}
	offers := []Offer{}
	const atOnce = 200
	for after := page.AfterID; ; {
		apps, err := s.Store.Applications(ctx, ApplicationFilter{Page: Page{AfterID: after, Limit: atOnce}})
		if err != nil {
			return nil, fmt.Errorf("list applications: %w", err)
		}
		for i := range apps {
			offer, ok, err := s.offer(ctx, &apps[i], &tenant)
			if err != nil {
				return nil, err
			}
			if ok {
				offers = append(offers, offer)
			}
			if page.Limit > 0 && len(offers) == page.Limit {
				return offers, nil
			}
		}
		if len(apps) < atOnce {
			return offers, nil
		}
		after = apps[len(apps)-1].ID
	}
}

// Offer returns one application as a tenant sees it: one it knows, or one of its
// environment that works there.
func (s *Service) Offer(ctx context.Context, tenantID, applicationID string) (Offer, error) {
	if !s.sees(tenantID) {
		return Offer{}, missing("organization", tenantID)
	}
	tenant, err := s.Store.Organization(ctx, tenantID)
	if err != nil {
		return Offer{}, fmt.Errorf("organization %q: %w", tenantID, err)
	}
	app, err := s.Store.Application(ctx, applicationID)
	if err != nil {
		return Offer{}, fmt.Errorf("application %q: %w", applicationID, err)
	}
	offer, ok, err := s.offer(ctx, &app, &tenant)
	if err == nil && !ok {
		err = missing("application", applicationID)
	}
	return offer, err
}

// KnownApplications lists, by application, those that a tenant was asked about or
// decided about, also what it took back. A page without a limit is all of them.
func (s *Service) KnownApplications(ctx context.Context, tenantID string, page Page) ([]Offer, error) {
	if !s.sees(tenantID) {
		return nil, missing("organization", tenantID)
	}
	var offers []Offer
	const atOnce = 200
	for after := page.AfterID; ; {
		list, err := s.Store.Authorizations(ctx, store.AuthorizationFilter{TenantID: tenantID, AfterApplication: after, Limit: atOnce})
		if err != nil {
			return nil, fmt.Errorf("list the applications of tenant %q: %w", tenantID, err)
		}
		for i := range list {
			offer, err := s.known(ctx, &list[i])
			if err != nil {
				return nil, err
			}
			if offers = append(offers, offer); len(offers) == page.Limit {
				return offers, nil
			}
		}
		if len(list) < atOnce {
			return offers, nil
		}
		after = list[len(list)-1].ApplicationID
	}
}

// known is the application of an authorization, with its maker's name.
func (s *Service) known(ctx context.Context, a *keystile.Authorization) (Offer, error) {
	app, err := s.Store.Application(ctx, a.ApplicationID)
	if err != nil {
		return Offer{}, fmt.Errorf("application %q: %w", a.ApplicationID, err)
	}
	owner, err := s.Store.Organization(ctx, app.OrganizationID)
	if err != nil {
		return Offer{}, fmt.Errorf("organization %q: %w", app.OrganizationID, err)
	}
	return Offer{Application: app, Owner: owner.Name, Authorization: a}, nil
}

// ApplicationTenants lists, by tenant, what tenants answered to an application of
// the caller's own.
func (s *Service) ApplicationTenants(ctx context.Context, applicationID string, page Page) ([]keystile.Authorization, error) {
	app, err := s.Store.Application(ctx, applicationID)
	if err != nil || !s.sees(app.OrganizationID) {
		return nil, errors.Join(missing("application", applicationID), err)
	}
	list, err := s.Store.Authorizations(ctx, store.AuthorizationFilter{ApplicationID: applicationID, AfterTenant: page.AfterID, Limit: page.Limit})
	if err != nil {
		return nil, fmt.Errorf("list the tenants of application %q: %w", applicationID, err)
	}
	return list, nil
}

// offer is an application as a tenant sees it; false: it does not.
func (s *Service) offer(ctx context.Context, app *keystile.Application, tenant *keystile.Organization) (Offer, bool, error) {
	offer := Offer{Application: *app}
	standing, err := s.Store.Authorization(ctx, app.ID, tenant.ID)
	switch {
	case err == nil:
		offer.Authorization = &standing
	case !errors.Is(err, keystile.ErrNotFound):
		return offer, false, fmt.Errorf("authorization of application %q: %w", app.ID, err)
	case !offered(app, tenant.Environment):
		return offer, false, nil
	}
	owner, err := s.Store.Organization(ctx, app.OrganizationID)
	if err != nil {
		return offer, false, fmt.Errorf("organization %q: %w", app.OrganizationID, err)
	}
	offer.Owner = owner.Name
	return offer, true, nil
}

// Grant is a tenant's yes.
type Grant struct {
	ApplicationID, TenantID string
	// Permissions: some or all of those the application asks for.
	Permissions []keystile.Scope
	// ExpiresAt ends it; zero: never.
	ExpiresAt time.Time
	// AllowExpired accepts an end that is past, as a file may hold one.
	AllowExpired bool
}

// Authorize writes a tenant's yes. It replaces an earlier one. Only what the
// application asks for can be granted.
func (s *Service) Authorize(ctx context.Context, a store.Actor, g Grant) (keystile.Authorization, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.Authorization, error) {
		return s.AuthorizeTx(ctx, tx, a, g)
	})
}

// AuthorizeTx is Authorize inside a transaction.
func (s *Service) AuthorizeTx(ctx context.Context, tx *store.Tx, a store.Actor, g Grant) (keystile.Authorization, error) {
	none := keystile.Authorization{}
	if !s.sees(g.TenantID) {
		return none, missing("organization", g.TenantID)
	}
	app, err := tx.Application(ctx, g.ApplicationID)
	if err != nil {
		return none, fmt.Errorf("application %q: %w", g.ApplicationID, err)
	}
	before, err := tx.Authorization(ctx, g.ApplicationID, g.TenantID)
	if err != nil && !errors.Is(err, keystile.ErrNotFound) {
		return none, fmt.Errorf("authorize application %q: %w", g.ApplicationID, err)
	}
	if err != nil && s.boundTo() != "" {
		if err := offeredTo(ctx, tx, &app, g.TenantID); err != nil {
			return none, err
		}
	}
	if err := s.checkGrant(&app, g); err != nil {
		return none, err
	}
	stood := err == nil && before.Stands(s.now())
	granted := keystile.Authorization{
		ApplicationID: g.ApplicationID, TenantID: g.TenantID, Permissions: g.Permissions, GrantedBy: a.Name, ExpiresAt: g.ExpiresAt,
	}
	if stood { // who said yes first stays, so that the same grant again changes nothing
		granted.GrantedBy = before.GrantedBy
	}
	if err := tx.Authorize(ctx, granted); err != nil {
		return none, fmt.Errorf("authorize application %q: %w", g.ApplicationID, err)
	}
	return tx.Authorization(ctx, g.ApplicationID, g.TenantID)
}

// offeredTo keeps a tenant's own people from learning of applications that are not for them.
func offeredTo(ctx context.Context, tx *store.Tx, app *keystile.Application, tenantID string) error {
	tenant, err := tx.Organization(ctx, tenantID)
	if err != nil {
		return fmt.Errorf("organization %q: %w", tenantID, err)
	}
	if !offered(app, tenant.Environment) {
		return missing("application", app.ID)
	}
	return nil
}

func (s *Service) checkGrant(app *keystile.Application, g Grant) error {
	var p problems
	p.scopes("permissions", g.Permissions)
	for i, want := range g.Permissions {
		// A grant that is wider than what is asked for would wait for what the application asks for later.
		if !slices.ContainsFunc(app.Permissions, func(asked keystile.Scope) bool { return asked.Covers(want) }) {
			p.add(fmt.Sprintf("permissions[%d]", i), "grant what the application asks for", "the application does not ask for %q", string(want))
		}
	}
	if !g.AllowExpired {
		p.expiry("expires_at", g.ExpiresAt, s.now())
	}
	return p.err()
}

// Withdraw takes a tenant's yes back, at once, and for good what was made with it.
func (s *Service) Withdraw(ctx context.Context, a store.Actor, applicationID, tenantID string) error {
	return remove(ctx, s, a, func(ctx context.Context, tx *store.Tx) error {
		return s.WithdrawTx(ctx, tx, applicationID, tenantID)
	})
}

// WithdrawTx is Withdraw inside a transaction.
func (s *Service) WithdrawTx(ctx context.Context, tx *store.Tx, applicationID, tenantID string) error {
	if !s.sees(tenantID) {
		return missing("organization", tenantID)
	}
	if err := tx.Withdraw(ctx, applicationID, tenantID); err != nil {
		return fmt.Errorf("withdraw the authorization of application %q: %w", applicationID, err)
	}
	return nil
}

// RequestAuthorization asks a tenant for its yes, as the partner.
func (s *Service) RequestAuthorization(ctx context.Context, a store.Actor, applicationID, tenantID string) error {
	return remove(ctx, s, a, func(ctx context.Context, tx *store.Tx) error {
		app, err := s.ownApplication(ctx, tx, applicationID)
		if err != nil {
			return err
		}
		if !Works(app.Environment, app.Review) {
			return fmt.Errorf("ask for application %q, which is %s: %w", app.ID, app.Review, keystile.ErrConflict)
		}
		if err := tx.RequestAuthorization(ctx, applicationID, tenantID); err != nil {
			return fmt.Errorf("ask tenant %q: %w", tenantID, err)
		}
		return nil
	})
}

// MadeApplicationKey is a new application key. Its secret is returned once.
type MadeApplicationKey struct {
	Key    keystile.ApplicationKey
	Secret keystile.Secret
}

// ApplicationKeys lists the keys of an application of the caller's own.
func (s *Service) ApplicationKeys(ctx context.Context, applicationID string) ([]keystile.ApplicationKey, error) {
	app, err := s.Store.Application(ctx, applicationID)
	if err != nil || !s.sees(app.OrganizationID) {
		return nil, errors.Join(missing("application", applicationID), err)
	}
	keys, err := s.Store.ApplicationKeys(ctx, applicationID)
	if err != nil {
		return nil, fmt.Errorf("list keys of application %q: %w", applicationID, err)
	}
	return keys, nil
}

// CreateApplicationKey gives an application one more key. With overlap, the
// earlier ones end after it (a rotation); nil leaves them. A zero overlap ends
// them at once.
func (s *Service) CreateApplicationKey(ctx context.Context, a store.Actor, applicationID string, overlap *time.Duration) (MadeApplicationKey, error) {
	if overlap != nil && (*overlap < 0 || *overlap > MaxOverlap) {
		return MadeApplicationKey{}, keystile.Invalidf("overlap", "use a duration from 0s to 2160h", "not an overlap")
	}
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (MadeApplicationKey, error) {
		app, err := s.ownApplication(ctx, tx, applicationID)
		if err != nil {
			return MadeApplicationKey{}, err
		}
		if app.Review == keystile.ReviewRetired {
			return MadeApplicationKey{}, fmt.Errorf("make a key for application %q, which is retired: %w", app.ID, keystile.ErrConflict)
		}
		secret, err := partner.Generate(s.Random, partner.ApplicationKey, app.Environment)
		if err != nil {
			return MadeApplicationKey{}, err
		}
		made, err := s.AddApplicationKeyTx(ctx, tx, applicationID, secret)
		if err != nil || overlap == nil {
			return made, err
		}
		if err := tx.ExpireApplicationKeys(ctx, applicationID, made.Key.ID, s.now().Add(*overlap)); err != nil {
			return made, fmt.Errorf("end the earlier keys of application %q: %w", applicationID, err)
		}
		return made, nil
	})
}

// AddApplicationKeyTx keeps a given key of an application, inside a transaction.
// It must be of the form and the environment of one.
func (s *Service) AddApplicationKeyTx(ctx context.Context, tx *store.Tx, applicationID string, secret keystile.Secret) (MadeApplicationKey, error) {
	app, err := s.ownApplication(ctx, tx, applicationID)
	if err != nil {
		return MadeApplicationKey{}, err
	}
	t, env, ok := partner.Shape(secret.Reveal())
	if !ok || t != partner.ApplicationKey || env != app.Environment {
		return MadeApplicationKey{}, keystile.Invalidf("secret", "use ak_test_ (sandbox) or ak_prod_ and 32 letters and digits, or leave it out",
			"not an application key of this environment")
	}
	id, err := s.newID("akey_")
	if err != nil {
		return MadeApplicationKey{}, err
	}
	key := keystile.ApplicationKey{ID: id, ApplicationID: applicationID, Hint: partner.Hint(secret), CreatedAt: s.now()}
	key.Digest, key.PepperID = s.Digester.Digest(partner.Sum(secret))
	if err := tx.AddApplicationKey(ctx, key); err != nil {
		return MadeApplicationKey{}, fmt.Errorf("add a key to application %q: %w", applicationID, err)
	}
	return MadeApplicationKey{Key: key, Secret: secret}, nil
}

// AddApplicationKeyDigestTx keeps a key of which only the digest is known, inside
// a transaction, and returns its new id.
func (s *Service) AddApplicationKeyDigestTx(ctx context.Context, tx *store.Tx, key keystile.ApplicationKey) (string, error) {
	if !s.Digester.Knows(key.PepperID) {
		return "", keystile.Invalidf("digest", "give the key itself", "was made with another store's pepper")
	}
	if _, err := s.ownApplication(ctx, tx, key.ApplicationID); err != nil {
		return "", err
	}
	var err error
	if key.ID, err = s.newID("akey_"); err != nil {
		return "", err
	}
	key.CreatedAt = s.now()
	if err := tx.AddApplicationKey(ctx, key); err != nil {
		return "", fmt.Errorf("add a key to application %q: %w", key.ApplicationID, err)
	}
	return key.ID, nil
}

// RevokeApplicationKey ends one key of an application of the caller's own, at once.
func (s *Service) RevokeApplicationKey(ctx context.Context, a store.Actor, applicationID, keyID string) error {
	return remove(ctx, s, a, func(ctx context.Context, tx *store.Tx) error {
		if _, err := s.ownApplication(ctx, tx, applicationID); err != nil {
			return err
		}
		keys, err := tx.ApplicationKeys(ctx, applicationID)
		if err != nil {
			return fmt.Errorf("revoke application key %q: %w", keyID, err)
		}
		for _, k := range keys {
			if k.ID == keyID {
				return tx.RevokeApplicationKey(ctx, keyID)
			}
		}
		return missing("application key", keyID)
	})
}

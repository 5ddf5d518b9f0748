package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/console"
	credential "keystile.dev/keystile/internal/credential/partner"
	"keystile.dev/keystile/internal/dialect/aurora"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/partner"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/usage"
)

// auroraPrefix is where the platform's partner API stands.
const auroraPrefix = "/partner_applications/"

// buildPartners makes the kind that proves temporary keys and the service that makes them.
func (s *server) buildPartners(context.Context, *app) error {
	var err error
	s.temporary, err = s.house.newTemporaryKeys(credential.Options{
		Fresh: s.feed.Fresh, MaxEntries: s.cfg.Limits.WarmCredentials, MaxRejections: s.cfg.Limits.WarmRefusals,
		Lookups: s.cfg.Limits.Lookups, LookupBatch: s.cfg.Limits.LookupBatch,
	})
	if err != nil {
		return err
	}
	s.feed.Subscribe(s.temporary.Apply)
	s.exchanged = usage.New(s.house.store.TouchApplicationKeys, s.log)
	o := partner.Options{
		Store: s.house.store, Digester: s.house.digester, Random: randomSource, Now: time.Now,
		Used: func(keyID string, at time.Time) {
			s.exchanged.Add(keyID, store.ApplicationKeyUse{KeyID: keyID, At: at})
		},
	}
	if c := s.cfg.Dialects.Aurora; c != nil {
		for _, env := range c.Environments {
			o.Environments = append(o.Environments, keystile.Environment(env))
		}
	}
	s.partners, err = partner.New(o)
	return err
}

// newTemporaryKeys is the kind that proves temporary keys on this store.
func (h *house) newTemporaryKeys(o credential.Options) (*credential.Kind, error) {
	o.Find, o.Digester, o.Now = findTemporaryKeys(h.store), h.digester, time.Now
	return credential.New(o)
}

// findTemporaryKeys is the partner kind's view of the store.
func findTemporaryKeys(st *store.Store) credential.Find {
	return func(ctx context.Context, digests [][32]byte) (credential.Record, error) {
		f, err := st.FindTemporaryKey(ctx, digests)
		if err != nil {
			return credential.Record{}, err
		}
		return credential.Record{
			Key: f.Key, Environment: f.Environment, Review: f.Review, Owner: f.Owner, TenantID: f.TenantID, Asked: f.Asked, Granted: f.Granted, Standing: f.Standing,
			AuthorizationExpiresAt: f.AuthorizationExpiresAt, Withdrawn: f.Withdrawn, OwnerDisabled: f.OwnerDisabled, TenantDisabled: f.TenantDisabled,
			KeyRevoked: f.KeyRevoked, UserGone: f.UserGone, SiteIDs: f.SiteIDs,
		}, nil
	}
}

// auroraDoor is the exchange of application keys for temporary keys.
func (s *server) auroraDoor() []endpoint {
	c := s.cfg.Dialects.Aurora
	if c == nil {
		return nil
	}
	create := aurora.CreateToken{
		Logger: s.log,
		Exchange: func(ctx context.Context, e aurora.Exchange) (aurora.Token, error) {
			token, err := s.partners.Exchange(ctx, partner.ExchangeRequest(e))
			return aurora.Token(token), err
		},
	}
	return []endpoint{{path: auroraPrefix, handler: s.tracer.Wrap(s.partnerAPI(create))}}
}

// launcher is what people open from their account.
type launcher struct{ s *server }

// applications are the partners' applications, where the dialect that exchanges
// their session tokens is on.
func (s *server) applications() console.Applications {
	if s.cfg.Dialects.Aurora == nil {
		return nil
	}
	return launcher{s}
}

// Launchable implements console.Applications.
func (l launcher) Launchable(ctx context.Context, user keystile.User) ([]console.Application, error) {
	offers, err := l.s.house.service.KnownApplications(ctx, user.OrganizationID, manage.Page{})
	if err != nil {
		return nil, err
	}
	var list []console.Application
	for _, o := range offers {
		if opens(&o) {
			u, err := url.Parse(o.Application.LaunchURL)
			if err != nil {
				return nil, fmt.Errorf("launch URL of application %s: %w", o.Application.ID, err)
			}
			list = append(list, console.Application{
				ID: o.Application.ID, Name: o.Application.Name, Description: o.Application.Description, Owner: o.Owner, Origin: u.Scheme + "://" + u.Host,
			})
		}
	}
	return list, nil
}

// opens says whether an application may be opened by users of the tenant.
func opens(o *manage.Offer) bool {
	app := &o.Application
	return app.Kind == keystile.ApplicationEmbedded && o.Authorization != nil && o.Authorization.Stands(time.Now()) && manage.Works(app.Environment, app.Review)
}

// Launch implements console.Applications.
func (l launcher) Launch(ctx context.Context, user keystile.User, applicationID string) (string, error) {
	app, err := l.s.house.store.Application(ctx, applicationID)
	if err != nil {
		return "", err
	}
	tenant, err := l.s.house.store.Organization(ctx, user.OrganizationID)
	if err != nil {
		return "", err
	}
	location, err := l.s.partners.Launch(ctx, app, tenant, user.ID, partner.Parameters(l.s.cfg.Dialects.Aurora.Launch))
	if errors.Is(err, keystile.ErrRejected) {
		l.s.log.InfoContext(ctx, "an application was not opened", "application", applicationID, "cause", err.Error())
		return "", fmt.Errorf("open application %s: %w", applicationID, keystile.ErrNotFound)
	}
	return location, err
}

const (
	// partnerPurgeInterval and partnerPurgeBatch keep each purge short: an exchange waits
	// for one batch at most.
	partnerPurgeInterval = 30 * time.Second
	partnerPurgeBatch    = 500
	// partnerKept is how long what ended is still told apart from what never was.
	partnerKept = time.Hour
)

// purgePartners removes ended session tokens and temporary keys.
func (s *server) purgePartners(ctx context.Context) {
	every(ctx, partnerPurgeInterval, func() {
		for {
			n, err := s.house.store.PurgePartnerCredentials(ctx, time.Now().Add(-partnerKept), partnerPurgeBatch)
			if err != nil && ctx.Err() == nil {
				s.log.Warn("ended temporary keys could not be purged", slog.Any("error", err))
			}
			if err != nil || n < partnerPurgeBatch {
				return
			}
		}
	})
}

package manage

import (
	"context"
	"fmt"
	"slices"
	"time"

	keystile "keystile.dev/keystile"
)

// UsageKept is how long the hours of keys' usage are kept.
const UsageKept = 90 * 24 * time.Hour

// KeyUsage is what is known of a key's use.
type KeyUsage struct {
	Key keystile.APIKey
	// Hours in which there were requests, oldest first.
	Hours []keystile.KeyUsage
	// Last is the newest hour of all, with the last request; its LastAt is zero if there was none.
	Last keystile.KeyUsage
	// Used are the scopes, sites and routes that the key ever used.
	Used []keystile.KeyAspect
	// UnusedScopes and UnusedSites were granted and never used.
	UnusedScopes []keystile.Scope
	UnusedSites  []string
	// Narrower is what the key really needed; nil where that is all it has, where it was
	// never used, and for a user's personal key, which has no rights of its own.
	Narrower *KeyRights
}

// KeyRights is what a key may do.
type KeyRights struct {
	Scopes           []keystile.Scope
	PermittedSiteIDs []string
}

// KeyUsage tells how a key was used, in the hours that begin from since on and
// before until.
func (s *Service) KeyUsage(ctx context.Context, id string, since, until time.Time) (KeyUsage, error) {
	if !until.After(since) || until.Sub(since) > UsageKept+24*time.Hour {
		return KeyUsage{}, keystile.Invalidf("since", "name a time before until, at most 90 days earlier", "not a span of time that usage is kept for")
	}
	key, err := s.APIKey(ctx, id)
	if err != nil {
		return KeyUsage{}, err
	}
	u := KeyUsage{Key: key}
	if u.Hours, err = s.Store.KeyUsage(ctx, id, since, until); err != nil {
		return u, fmt.Errorf("usage of API key %q: %w", id, err)
	}
	if u.Last, err = s.Store.LastKeyUsage(ctx, id); err != nil {
		return u, fmt.Errorf("usage of API key %q: %w", id, err)
	}
	if u.Used, err = s.Store.KeyAspects(ctx, id); err != nil {
		return u, fmt.Errorf("usage of API key %q: %w", id, err)
	}
	if key.UserID == "" {
		u.compare()
	}
	return u, nil
}

// compare sets what was granted against what was used.
//
//nolint:gocyclo // a list of checks, one after the other
func (u *KeyUsage) compare() {
	var used []keystile.Scope
	var sites []string
	for _, a := range u.Used {
		switch a.Aspect {
		case keystile.AspectScope:
			used = append(used, keystile.Scope(a.Name))
		case keystile.AspectSite:
			sites = append(sites, a.Name)
		case keystile.AspectRoute:
		}
	}
	rights := KeyRights{}
	for _, granted := range u.Key.Scopes {
		n := len(rights.Scopes)
		covered := false
		for _, scope := range used {
			if granted.Covers(scope) {
				covered = true
				if !slices.Contains(rights.Scopes, scope) {
					rights.Scopes = append(rights.Scopes, scope)
				}
			}
		}
		if slices.Contains(rights.Scopes[n:], granted) {
			rights.Scopes = append(rights.Scopes[:n], granted) // it was asked for as it stands, and covers the others
		}
		if !covered {
			u.UnusedScopes = append(u.UnusedScopes, granted)
		}
	}
	for _, site := range u.Key.PermittedSiteIDs {
		if slices.Contains(sites, site) {
			rights.PermittedSiteIDs = append(rights.PermittedSiteIDs, site)
		} else {
			u.UnusedSites = append(u.UnusedSites, site)
		}
	}
	same := slices.Equal(rights.Scopes, u.Key.Scopes) && slices.Equal(rights.PermittedSiteIDs, u.Key.PermittedSiteIDs)
	if len(u.Used) > 0 && !same {
		u.Narrower = &rights
	}
}

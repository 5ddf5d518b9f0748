package manage

import (
	"fmt"
	"slices"

	keystile "keystile.dev/keystile"
)

// RoleScopes are what somebody with an admin role may do in Keystile, in the
// scopes of the management API; none: nothing. Those of organisations count in
// the user's own organisation only.
func RoleScopes(role keystile.AdminRole) []keystile.Scope {
	switch role {
	case keystile.PlatformAdmin:
		return slices.Clone(keystile.AdminScopes)
	case keystile.PlatformReviewer:
		return []keystile.Scope{"applications:read", "applications:review"}
	case keystile.OrgAdmin:
		return slices.Clone(boundScopes)
	case keystile.OrgDeveloper:
		return []keystile.Scope{"applications:read", "applications:write", "keys:read", "keys:write"}
	case keystile.AdminNone:
	}
	return nil
}

// ForMember returns a Service that acts for a signed-in user in their own
// organisation and nowhere else, whatever their role: user must be as the store
// holds it now. What the role may do there is in [RoleScopes].
func (s *Service) ForMember(user keystile.User) (*Service, error) {
	if user.ID == "" || user.OrganizationID == "" {
		return nil, fmt.Errorf("act for a user of no organization: %w", ErrNotPermitted)
	}
	return s.For(keystile.AdminToken{ID: user.ID, OrganizationID: user.OrganizationID, Scopes: RoleScopes(user.AdminRole)}), nil
}

// ForReviewer returns a Service that acts across all organisations, for a
// signed-in user who reviews applications.
func (s *Service) ForReviewer(user keystile.User) (*Service, error) {
	scopes := RoleScopes(user.AdminRole)
	if user.ID == "" || !slices.Contains(scopes, "applications:review") {
		return nil, fmt.Errorf("review applications as user %q: %w", user.ID, ErrNotPermitted)
	}
	return s.For(keystile.AdminToken{ID: user.ID, Scopes: scopes}), nil
}

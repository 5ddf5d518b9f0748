package manage

import (
	"context"
	"fmt"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// The words of the store that callers of a Service speak too.
type (
	// Actor is who acts: its name stands in the audit log.
	Actor = store.Actor
	// Page is which part of a list is wanted.
	Page = store.Page
	// SiteFilter says which sites are wanted.
	SiteFilter = store.SiteFilter
	// APIKeyFilter says which API keys are wanted.
	APIKeyFilter = store.APIKeyFilter
	// SigningKeyFilter says which signing keys are wanted.
	SigningKeyFilter = store.SigningKeyFilter
	// UserFilter chooses users.
	UserFilter = store.UserFilter
	// IdentityProviderFilter chooses identity providers; its page is by name.
	IdentityProviderFilter = store.IdentityProviderFilter
	// AdminTokenFilter says which admin tokens are wanted.
	AdminTokenFilter = store.AdminTokenFilter
	// EventFilter says which events are wanted.
	EventFilter = store.EventFilter
	// EventPlace is where an event stands among those of every chain.
	EventPlace = store.EventPlace
	// DecisionFilter says which recorded decisions are wanted.
	DecisionFilter = store.DecisionFilter
)

// Events lists audit events, those of one chain in their order. A caller bound to
// an organisation sees that organisation's chain.
func (s *Service) Events(ctx context.Context, filter EventFilter) ([]keystile.Event, error) {
	var ok bool
	if filter.OrganizationID, ok = s.scope(filter.OrganizationID); !ok {
		return nil, nil
	}
	if s.boundTo() != "" {
		filter.All = false
	}
	events, err := s.Store.Events(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list audit events: %w", err)
	}
	return events, nil
}

// Decisions lists recorded decisions. A caller bound to an organisation sees that
// organisation's.
func (s *Service) Decisions(ctx context.Context, filter DecisionFilter) ([]keystile.DecisionRecord, error) {
	var ok bool
	if filter.OrganizationID, ok = s.scope(filter.OrganizationID); !ok {
		return nil, nil
	}
	decisions, err := s.Store.Decisions(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list decisions: %w", err)
	}
	return decisions, nil
}

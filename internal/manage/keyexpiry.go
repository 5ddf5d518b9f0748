package manage

import (
	"context"
	"errors"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// ExpiryNotice is how long before a key's end it is told of.
const ExpiryNotice = 7 * 24 * time.Hour

// NoticeExpiring tells of live keys that end within [ExpiryNotice]: an audit event
// "api_key.expiring", once for each end a key has. It does a bounded part, the
// soonest first, and returns how many there were.
func (s *Service) NoticeExpiring(ctx context.Context, a store.Actor, limit int) (int, error) {
	now := s.now()
	ids, err := s.Store.ExpiringAPIKeys(ctx, now, now.Add(ExpiryNotice), limit)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, id := range ids {
		err := remove(ctx, s, a, func(ctx context.Context, tx *store.Tx) error { return s.noticeExpiring(ctx, tx, id, now) })
		if !isNotFound(err) { // deleted meanwhile
			errs = append(errs, err)
		}
	}
	return len(ids), errors.Join(errs...)
}

func (s *Service) noticeExpiring(ctx context.Context, tx *store.Tx, id string, now time.Time) error {
	key, err := tx.APIKey(ctx, id)
	if err != nil {
		return fmt.Errorf("API key %q: %w", id, err)
	}
	notice, err := tx.APIKeyNotice(ctx, id, store.NoticeExpiring)
	if err != nil {
		return err
	}
	// Another server may have been faster, and the key may have changed.
	if notice.About.Equal(key.ExpiresAt) || StateOf(key, now) != KeyActive || key.ExpiresAt.IsZero() || key.ExpiresAt.After(now.Add(ExpiryNotice)) {
		return nil
	}
	detail := map[string]any{"name": key.Name, "hint": key.Hint, "expires_at": key.ExpiresAt.UTC().Format(time.RFC3339Nano)}
	if err := tx.NoteAPIKey(ctx, id, store.NoticeExpiring, key.ExpiresAt, detail); err != nil {
		return fmt.Errorf("tell that API key %q expires: %w", id, err)
	}
	return nil
}

// FilteredKeys lists API keys by id, as [store.Store.FilterAPIKeys] does: through
// is where the page stopped short of the end.
func (s *Service) FilteredKeys(ctx context.Context, filter store.APIKeyFilter) (keys []keystile.APIKey, through string, err error) {
	var ok bool
	if filter.OrganizationID, ok = s.scope(filter.OrganizationID); !ok {
		return nil, "", nil
	}
	keys, through, err = s.Store.FilterAPIKeys(ctx, filter)
	if err != nil {
		return nil, "", fmt.Errorf("list API keys: %w", err)
	}
	return keys, through, nil
}

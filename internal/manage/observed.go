package manage

import (
	"context"
	"fmt"
	"time"

	"keystile.dev/keystile/internal/store"
)

// MaxObserved is how many lines a report of what was only observed has.
const MaxObserved = 1000

// ObservedRefusals tells what routes that only observe would have refused since a
// time. It is for callers who are not bound to an organisation.
func (s *Service) ObservedRefusals(ctx context.Context, since time.Time) ([]store.ObservedRefusal, error) {
	if err := s.global("read what was only observed"); err != nil {
		return nil, err
	}
	refusals, err := s.Store.ObservedRefusals(ctx, since, MaxObserved)
	if err != nil {
		return nil, fmt.Errorf("list what was only observed: %w", err)
	}
	return refusals, nil
}

package storetest

import (
	"errors"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

var sizeBehaviours = []behaviour{
	{"a table has a size, and one that is not there has none", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		size, err := s.TableSize(t.Context(), "organizations")
		if err != nil || size < 4096 {
			t.Errorf("%d bytes, %v", size, err)
		}
		if _, err := s.TableSize(t.Context(), "nothing"); !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("a table that is not there: %v", err)
		}
	}},
}

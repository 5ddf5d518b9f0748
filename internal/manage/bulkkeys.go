package manage

import (
	"context"
	"errors"
	"fmt"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// MaxBulk is how many keys one bulk operation is about.
const MaxBulk = 1000

// MadeKey is a new key with its secret, which is empty for an import.
type MadeKey struct {
	Key    keystile.APIKey
	Secret keystile.Secret
}

// CreateKeys makes many keys as CreateKey does one: all of them or none. What is
// wrong with any is told at once, as "keys[2].name".
func (s *Service) CreateKeys(ctx context.Context, a store.Actor, list []NewKey) ([]MadeKey, error) {
	if err := bulkSize("keys", len(list)); err != nil {
		return nil, err
	}
	for i := range list {
		if err := s.unused(ctx, list[i]); err != nil {
			return nil, err
		}
	}
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) ([]MadeKey, error) {
		made := make([]MadeKey, 0, len(list))
		var p problems
		for i := range list {
			key, secret, err := s.createKey(ctx, tx, list[i])
			if err := p.beneath(fmt.Sprintf("keys[%d]", i), err); err != nil {
				return nil, err
			}
			made = append(made, MadeKey{key, secret})
		}
		return made, p.err()
	})
}

// RevokeKeys revokes many keys as RevokeKey does one: all of them or none.
func (s *Service) RevokeKeys(ctx context.Context, a store.Actor, ids []string) ([]keystile.APIKey, error) {
	if err := bulkSize("ids", len(ids)); err != nil {
		return nil, err
	}
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) ([]keystile.APIKey, error) {
		revoked := make([]keystile.APIKey, 0, len(ids))
		var p problems
		for i, id := range ids {
			key, err := s.RevokeKeyTx(ctx, tx, id)
			if isNotFound(err) {
				p.add(fmt.Sprintf("ids[%d]", i), "name keys that exist", "there is no such key")
				continue
			}
			if err != nil {
				return nil, err
			}
			revoked = append(revoked, key)
		}
		return revoked, p.err()
	})
}

func bulkSize(field string, n int) error {
	if n < 1 || n > MaxBulk {
		return keystile.Invalidf(field, fmt.Sprintf("name 1 to %d", MaxBulk), "names %d", n)
	}
	return nil
}

// beneath keeps what is wrong with one of several inputs, each fault with its
// place, and returns an error that is about none.
func (p *problems) beneath(place string, err error) error {
	if err == nil {
		return nil
	}
	faults := faultsOf(err)
	if len(faults) == 0 {
		return err
	}
	for _, f := range faults {
		p.add(place+"."+f.Field, f.Remedy, "%s", f.Problem)
	}
	return nil
}

// faultsOf are all *keystile.Invalid that an error wraps.
func faultsOf(err error) (faults []*keystile.Invalid) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range several.Unwrap() {
			faults = append(faults, faultsOf(one)...)
		}
		return faults
	}
	if invalid, ok := err.(*keystile.Invalid); ok { //nolint:errorlint // the same
		return append(faults, invalid)
	}
	if inner := errors.Unwrap(err); inner != nil {
		return faultsOf(inner)
	}
	return nil
}

package store_test

import (
	"testing"

	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

func TestSQLiteBehavesAsPromised(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store { return storetest.Open(t) })
}

func TestPostgreSQLBehavesAsPromised(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store { return storetest.OpenPostgres(t) })
}

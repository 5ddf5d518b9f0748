package store_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// imports n keys for one organisation and answers how to make the i-th digest.
func importMany(b *testing.B, s *store.Store, n int) func(i int) [32]byte {
	b.Helper()
	digest := func(i int) [32]byte {
		var number [8]byte
		binary.BigEndian.PutUint64(number[:], uint64(i))
		return sha256.Sum256(number[:])
	}
	storetest.Must(b, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.CreateOrganization(ctx, storetest.Organization("north")), tx.CreateSite(ctx, storetest.Site("north-1", "north")))
	})
	done := 0
	report, err := s.ImportAPIKeys(b.Context(), storetest.Actor, store.ImportOptions{JobID: "bench"}, func() ([]store.ImportRow, error) {
		if done == n {
			return nil, io.EOF
		}
		rows := make([]store.ImportRow, min(5000, n-done))
		for i := range rows {
			d := digest(done + i)
			rows[i] = store.ImportRow{Digest: d, PepperID: "pepper-1", Key: keystile.APIKey{
				ID: fmt.Sprintf("key_%x", d[:8]), OrganizationID: "north", Name: "imported", Environment: keystile.Production,
				PermittedSiteIDs: []string{"north-1"}, Scopes: []keystile.Scope{"telemetry:read"},
			}}
		}
		done += len(rows)
		return rows, nil
	}, nil)
	if err != nil || report.Imported != int64(n) || !report.Bulk {
		b.Fatalf("report %+v, %v", report, err)
	}
	return digest
}

func BenchmarkImportIntoAnEmptyStore(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("sqlite/%d", n), func(b *testing.B) {
			var size int64
			for b.Loop() {
				address := storetest.SQLiteURL(b)
				importMany(b, storetest.OpenURL(b, address), n)
				if info, err := os.Stat(pathOf(address)); err == nil {
					size = info.Size()
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(size)/float64(n), "file-B/row")
		})
	}
}

func BenchmarkFindAPIKeySecret(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *store.Store{"sqlite": storetest.Open, "postgres": storetest.OpenPostgres} {
		b.Run(name, func(b *testing.B) {
			const keys = 100_000
			s := open(b)
			digest := importMany(b, s, keys)
			b.Run("known", func(b *testing.B) {
				b.ReportAllocs()
				digests := make([][32]byte, 1)
				for i := 0; b.Loop(); i++ {
					digests[0] = digest(i * 7919 % keys)
					if _, err := s.FindAPIKeySecret(b.Context(), digests); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("unknown", func(b *testing.B) {
				b.ReportAllocs()
				digests := make([][32]byte, 1)
				for i := 0; b.Loop(); i++ {
					digests[0] = digest(keys + i)
					if _, err := s.FindAPIKeySecret(b.Context(), digests); !errors.Is(err, keystile.ErrNotFound) {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func BenchmarkMutate(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *store.Store{"sqlite": storetest.Open, "postgres": storetest.OpenPostgres} {
		b.Run(name, func(b *testing.B) {
			s := open(b)
			storetest.Seed(b, s)
			for i := 0; b.Loop(); i++ {
				id := fmt.Sprintf("key-%d", i)
				storetest.Must(b, s, func(ctx context.Context, tx *store.Tx) error {
					return tx.CreateAPIKey(ctx, storetest.Key(id, "north", "north-1"), storetest.Secret(id, id))
				})
			}
		})
	}
}

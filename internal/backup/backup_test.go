package backup_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/backup"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// seal stands for the sealing keyset: it binds a value to its place.
func seal(plain []byte, place string) ([]byte, error) {
	return append([]byte(place+"|"), plain...), nil
}

func open(sealed []byte, place string) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, []byte(place+"|"))
	if !ok {
		return nil, errors.New("sealed under other keys")
	}
	return plain, nil
}

var options = backup.Options{Keyset: "sealing", Seal: seal, Program: "test"}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// seed fills a store with something in many tables.
func seed(t *testing.T, s *store.Store) {
	t.Helper()
	storetest.Seed(t, s)
	storetest.Must(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(
			tx.PutKeyset(ctx, "sealing", []byte("wrapped\x00\xff")),
			tx.CreateApplication(ctx, storetest.Application(1, "north")),
			tx.Authorize(ctx, keystile.Authorization{ApplicationID: storetest.ApplicationID(1), TenantID: "south", Permissions: []keystile.Scope{"roof_summary:read"}}),
		)
	})
	check(t, s.RecordDecisions(t.Context(), []keystile.DecisionRecord{{At: storetest.T0, Allowed: true}, {At: storetest.T0, Path: "/ü", Reason: keystile.ReasonNoRoute}}))
	check(t, s.CreatePartnerSession(t.Context(), keystile.PartnerSession{
		Digest: storetest.Digest("once"), PepperID: "p", ApplicationID: storetest.ApplicationID(1), TenantID: "south", Generation: 1,
		CreatedAt: storetest.T0, ExpiresAt: storetest.T0.AddDate(100, 0, 0),
	}))
}

func backedUp(t *testing.T, s *store.Store) []byte {
	t.Helper()
	var file bytes.Buffer
	_, rows, err := backup.Write(t.Context(), &file, s, options)
	if err != nil || rows < 20 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	return file.Bytes()
}

func restore(t *testing.T, file []byte, s *store.Store) map[string]int64 {
	t.Helper()
	in, err := backup.NewReader(bytes.NewReader(file))
	check(t, err)
	r, err := s.BeginRestore(t.Context(), in.Header.Schema)
	check(t, err)
	_, err = in.Copy(t.Context(), r, open)
	check(t, err)
	ended, err := r.Finish(t.Context(), storetest.Actor, func(context.Context, *store.Tx) error { return nil })
	check(t, err)
	check(t, r.Close())
	return ended
}

// rows gathers a backup's rows as text, by table.
type rows struct {
	table string
	all   map[string][]string
}

func (r *rows) Table(_ context.Context, t store.Table) error {
	r.table = t.Name
	return nil
}

func (r *rows) Row(_ context.Context, values []any) error {
	r.all[r.table] = append(r.all[r.table], fmt.Sprintf("%#v", values))
	return nil
}

func rowsOf(t *testing.T, file []byte) map[string][]string {
	t.Helper()
	in, err := backup.NewReader(bytes.NewReader(file))
	check(t, err)
	r := &rows{all: map[string][]string{}}
	_, err = in.Copy(t.Context(), r, open)
	check(t, err)
	for _, lines := range r.all {
		slices.Sort(lines)
	}
	return r.all
}

// changedByRestoring are tables in which a restore leaves its own traces.
var changedByRestoring = []string{"changes", "feed_head", "audit_heads", "partner_sessions"}

func TestABackupOfEitherEngineRestoresOnEither(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, from string) {
		s := storetest.OpenURL(t, from)
		seed(t, s)
		file := backedUp(t, s)
		want := rowsOf(t, file)
		storetest.EngineURLs(t, func(t *testing.T, to string) {
			s, err := store.Open(t.Context(), store.Options{URL: to}) // without a schema
			check(t, err)
			t.Cleanup(func() { check(t, s.Close()) })
			ended := restore(t, file, s)
			if ended["partner sessions"] != 1 {
				t.Errorf("ended: %v", ended)
			}
			got := rowsOf(t, backedUp(t, s))
			for _, table := range changedByRestoring {
				if len(got[table]) == 0 {
					t.Errorf("table %s is empty", table)
				}
				delete(got, table)
			}
			for _, table := range changedByRestoring {
				delete(want, table)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("restored:\n%s", diff)
			}
			for _, chain := range []string{"", "north", "south", store.DecisionsChain} {
				check(t, s.VerifyChain(t.Context(), chain))
			}
			storetest.Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeAPIKey(ctx, "north-key", storetest.T0) })
			check(t, s.VerifyChain(t.Context(), "north"))
		})
	})
}

func TestABackupTakenUnderLoadIsOfOneMoment(t *testing.T) {
	storetest.EngineURLs(t, func(t *testing.T, address string) {
		s := storetest.OpenURL(t, address)
		seed(t, s)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		begun := make(chan struct{}, 8)
		for range 3 {
			wg.Go(func() {
				for ctx.Err() == nil {
					id := "key-" + strings.ToLower(rand.Text())
					err := s.Mutate(ctx, storetest.Actor, func(ctx context.Context, tx *store.Tx) error {
						return tx.CreateAPIKey(ctx, storetest.Key(id, "north"), storetest.Secret(id, id))
					})
					if err != nil && ctx.Err() == nil {
						t.Error(err)
						return
					}
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 8 {
			<-begun
		}
		files := [][]byte{backedUp(t, s), backedUp(t, s)}
		stop()
		wg.Wait()
		for _, file := range files {
			s := storetest.OpenURL(t, storetest.SQLiteURL(t))
			restore(t, file, s)
			// One moment: each key has its event and its secret, each event its place, and the head is the last.
			check(t, s.VerifyChain(t.Context(), "north"))
			all := rowsOf(t, backedUp(t, s))
			events := 0
			for _, e := range all["audit_events"] {
				if strings.Contains(e, `"api_key.create"`) {
					events++
				}
			}
			if keys, secrets := len(all["api_keys"]), len(all["api_key_secrets"]); keys < 10 || keys != events || keys != secrets {
				t.Errorf("%d keys, %d secrets, %d events", keys, secrets, events)
			}
		}
	})
}

func unpacked(t *testing.T, file []byte) []byte {
	t.Helper()
	_, packed, _ := bytes.Cut(file, []byte("\n"))
	r, err := gzip.NewReader(bytes.NewReader(packed))
	check(t, err)
	text, err := io.ReadAll(r)
	check(t, err)
	return text
}

func TestABackupThatIsNotWholeIsRefused(t *testing.T) {
	s := storetest.Open(t)
	seed(t, s)
	file := backedUp(t, s)
	read := func(file []byte) error {
		in, err := backup.NewReader(bytes.NewReader(file))
		if err != nil {
			return err
		}
		_, err = in.Copy(t.Context(), backup.Nothing{}, open)
		return err
	}
	check(t, read(file))
	// After the first line come ten bytes of gzip that say nothing of the contents.
	start := bytes.IndexByte(file, '\n') + 11
	for at := start; at < len(file); at += 7 {
		changed := bytes.Clone(file)
		changed[at] ^= 1 << (at % 8)
		// Compression may have two writings of one text; what is accepted says the same.
		if read(changed) == nil && !bytes.Equal(unpacked(t, changed), unpacked(t, file)) {
			t.Errorf("byte %d of %d changed: accepted", at, len(file))
		}
	}
	for _, n := range []int{0, 5, start - 12, start, len(file) / 2, len(file) - 1} {
		if read(file[:n]) == nil {
			t.Errorf("cut to %d bytes: accepted", n)
		}
	}
	if read(append(bytes.Clone(file), file...)) == nil || read(append(bytes.Clone(file), 'x')) == nil {
		t.Error("something after its end: accepted")
	}
	in, err := backup.NewReader(bytes.NewReader(file))
	check(t, err)
	if _, err := in.Copy(t.Context(), backup.Nothing{}, func([]byte, string) ([]byte, error) { return nil, errors.New("other keys") }); err == nil {
		t.Error("sealed by somebody else: accepted")
	}
	newer := bytes.Replace(file, []byte("keystile backup 1\n"), []byte("keystile backup 2\n"), 1)
	if _, err := backup.NewReader(bytes.NewReader(newer)); err == nil || !strings.Contains(err.Error(), "newer keystile") {
		t.Errorf("a newer format: %v", err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("keystile backup 1\n"))
	f.Add([]byte("keystile backup 1\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"))
	f.Fuzz(func(t *testing.T, file []byte) {
		in, err := backup.NewReader(bytes.NewReader(file))
		if err != nil {
			return
		}
		if _, err := in.Copy(t.Context(), backup.Nothing{}, open); err == nil {
			t.Log("whole")
		}
	})
}

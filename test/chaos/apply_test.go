package chaos

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // to look at the store, and to lock it

	"keystile.dev/keystile/test/e2e/program"
)

// raw opens the store's file beside the program, and waits while that writes.
func (h *house) raw() *sql.DB {
	h.t.Helper()
	db := must(sql.Open("sqlite", "file:"+filepath.Join(h.dir, "keystile.db")+"?_pragma=busy_timeout(10000)"))(h.t)
	db.SetMaxOpenConns(1)
	h.t.Cleanup(func() { check(h.t, db.Close()) })
	return db
}

// largeWorld is a state file of n keys, each with its own site.
func largeWorld(n int) string {
	var b bytes.Buffer
	b.WriteString("organizations: [{id: large, name: Large}]\nsites:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {id: site_%06d, organization: large}\n", i)
	}
	b.WriteString("api_keys:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {id: large_%06d, secret: large-0123456789abcdef-%06d, organization: large, permitted_site_ids: [site_%06d]}\n", i, i, i)
	}
	return b.String()
}

// Two moments in the middle of an apply: the transaction has begun; and so much
// of it is written that SQLite has had to put a part into its log already.
var moments = map[string]func(*house) error{
	"once it holds the store": func(h *house) error {
		return h.locked()
	},
	"once a part of it is on the disk": func(h *house) error {
		info, err := os.Stat(filepath.Join(h.dir, "keystile.db-wal"))
		if err == nil && info.Size() < 4<<20 {
			err = fmt.Errorf("%d bytes are written", info.Size())
		}
		return err
	},
}

// locked says whether somebody else writes at this moment.
func (h *house) locked() (err error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.dir, "keystile.db")+"?_busy_timeout=0&_txlock=immediate")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		return nil // it is locked, which is what was asked
	}
	return errors.Join(errors.New("nobody writes"), tx.Rollback())
}

func TestKill9DuringApplyLeavesNothingHalfApplied(t *testing.T) {
	for name, moment := range moments {
		t.Run(name, func(t *testing.T) {
			const keys = 15_000
			h := newHouse(t, echo(t), "")
			s := h.serve()
			before := h.want(0, "export").stdout
			file := filepath.Join(t.TempDir(), "large.yaml")
			check(t, os.WriteFile(file, []byte(largeWorld(keys)), 0o600))

			p := must(program.Start(t.Context(), program.Command{Argv: []string{binary, "apply", "-f", file, "--config", h.config}}))(t)
			t.Cleanup(func() { check(t, p.Kill()) })
			check(t, p.Eventually(t.Context(), func() error { return moment(h) }))
			check(t, p.Kill())
			if strings.Contains(p.Stdout(), "created") {
				t.Fatal("the apply was done before it was killed")
			}

			if after := h.want(0, "export").stdout; after != before {
				t.Errorf("the store holds a part of it: %d bytes more", len(after)-len(before))
			}
			var verdict string
			check(t, h.raw().QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict))
			if verdict != "ok" {
				t.Errorf("the file is not whole: %s", verdict)
			}
			s.wants(200, "/things/a", goodKey)
			s.wants(401, "/things/a", "large-0123456789abcdef-000000")

			// The next apply does all of it, and the server sees it.
			done := h.want(0, "apply", "-f", file)
			if want := fmt.Sprintf("%d created, 0 updated, 0 deleted", 2*keys+1); !strings.Contains(done.stdout, want) {
				t.Errorf("no %q at the end of the next apply:\n%s", want, done.stdout[max(0, len(done.stdout)-200):])
			}
			s.comes(200, "/things/a", fmt.Sprintf("large-0123456789abcdef-%06d", keys-1))
			if again := h.want(0, "apply", "-f", file); !strings.HasPrefix(again.stdout, "no changes") {
				t.Errorf("it was not all: %.200s", again.stdout)
			}
			s.stop()
		})
	}
}

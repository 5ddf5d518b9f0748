package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// smallDisk mounts a file system of so many bytes, in memory.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("a small file system is needed to fill it, and mounting one was refused (%v): run the tests as root, as .ci/run does", err)
	}
	t.Cleanup(func() { check(t, syscall.Unmount(dir, 0)) })
	return dir
}

// keys is how many keys the store has.
func (h *house) keys() int {
	h.t.Helper()
	var list []json.RawMessage
	check(h.t, json.Unmarshal([]byte(h.want(0, "key", "list", "-o", "json").stdout), &list))
	return len(list)
}

func TestAFullDiskRefusesChangesWholeServesOnAndRecovers(t *testing.T) {
	disk := smallDisk(t, "size=3m")
	h := newHouseIn(t, filepath.Join(disk, "house"), echo(t), "")
	s := h.serve()
	s.wants(200, "/things/a", goodKey)
	token := h.adminToken()

	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	made := h.keys()
	var failed answered
	for failed.status == 0 {
		failed = h.command("key", "create", "--organization", "acme", "-o", "json")
		if failed.status == 0 {
			made++
		}
	}
	// The command says what is wrong and what to do, and has done nothing.
	if failed.status != 1 || !strings.Contains(failed.stderr, "the disk is full; free some space there") || !strings.Contains(failed.stderr, "keystile.db") {
		t.Errorf("key create on a full disk: %d %s", failed.status, failed.stderr)
	}
	if failed.stdout != "" {
		t.Errorf("a key that was not stored was shown: %s", failed.stdout)
	}
	file := filepath.Join(t.TempDir(), "large.yaml")
	check(t, os.WriteFile(file, []byte(largeWorld(500)), 0o600))
	if a := h.command("apply", "-f", file); a.status != 1 || !strings.Contains(a.stderr, "the disk is full") {
		t.Errorf("apply on a full disk: %d %s", a.status, a.stderr)
	}
	// So does the running server, in fewer words, and it decides as before.
	if status, body := s.post("/v1/keys", token, `{"organization":"acme"}`); status != 503 {
		t.Errorf("POST /v1/keys on a full disk: %d %s", status, body)
	}
	s.wants(200, "/things/a", goodKey)
	s.wants(200, "/things/a", otherKey)
	s.wants(401, "/things/a", "nobody-0123456789abcdef-key")
	s.wants(200, "/readyz", "")
	if n := h.keys(); n != made {
		t.Errorf("the store has %d keys, and %d were made", n, made)
	}

	// With space again, everything goes on by itself.
	check(t, os.Remove(ballast))
	if status, body := s.post("/v1/keys", token, `{"organization":"acme"}`); status != 201 {
		t.Errorf("POST /v1/keys with space again: %d %s", status, body)
	}
	h.want(0, "key", "create", "--organization", "acme")
	if n := h.keys(); n != made+2 {
		t.Errorf("the store has %d keys, want %d", n, made+2)
	}
	s.stop()
	h.serve().wants(200, "/things/a", goodKey)
}

// fill writes a file until the disk is full.
func fill(t *testing.T, name string) {
	t.Helper()
	f := must(os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600))(t)
	block := make([]byte, 4096)
	for {
		_, err := f.Write(block)
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		check(t, err)
	}
	check(t, f.Close())
}

func TestAReadOnlyStoreIsToldWithWhatToDo(t *testing.T) {
	disk := smallDisk(t, "size=16m")
	h := newHouseIn(t, filepath.Join(disk, "house"), echo(t), "")
	before := h.keys()
	check(t, syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	h.refusesToStart(nil, "keystile.db cannot be written", "not mounted read-only")
	for _, args := range [][]string{{"key", "create", "--organization", "acme"}, {"migrate"}, {"key", "revoke", "key_good", "--yes"}} {
		if a := h.want(1, args...); !strings.Contains(a.stderr, "keystile.db cannot be written") || a.stdout != "" {
			t.Errorf("%q: %s%s", args, a.stdout, a.stderr)
		}
	}
	if a := h.want(1, "doctor", "-o", "json"); !strings.Contains(a.stdout, "keystile.db") {
		t.Errorf("doctor: %s", a.stdout)
	}
	check(t, syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, ""))
	if n := h.keys(); n != before {
		t.Errorf("%d keys, want %d", n, before)
	}
	h.serve().wants(200, "/things/a", goodKey)
}

func TestAStoreLockedByAnotherProcessIsToldAndServedFrom(t *testing.T) {
	h := newHouse(t, echo(t), "")
	s := h.serve()
	s.wants(200, "/things/a", goodKey)
	db := h.raw()
	_, err := db.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	check(t, err)
	if a := h.want(1, "key", "create", "--organization", "acme"); !strings.Contains(a.stderr, "keystile.db is locked by another process") || a.stdout != "" {
		t.Errorf("key create: %s%s", a.stdout, a.stderr)
	}
	// Deciding needs no lock: a key in memory, and one that must be read.
	s.wants(200, "/things/a", goodKey)
	s.wants(200, "/things/a", otherKey)
	s.wants(200, "/readyz", "")
	_, err = db.ExecContext(t.Context(), "ROLLBACK")
	check(t, err)
	h.want(0, "key", "create", "--organization", "acme")
	s.stop()

	// Locked against readers, too: a server does not start, and says why.
	_, err = db.ExecContext(t.Context(), "PRAGMA locking_mode = EXCLUSIVE")
	check(t, err)
	_, err = db.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	check(t, err)
	h.refusesToStart(nil, "keystile.db is locked by another process", "wait for it to finish, or stop it")
}

func TestADamagedStoreIsNamedWithTheRemedyAndNeverServedFrom(t *testing.T) {
	sound := newHouse(t, echo(t), "")
	whole := must(os.ReadFile(filepath.Join(sound.dir, "keystile.db")))(t)
	for name, c := range map[string]struct {
		damage func([]byte) []byte
		words  []string
	}{
		"every page after the first is noise": {
			func(b []byte) []byte {
				for i := 4096; i < len(b); i++ {
					b[i] = byte(i * 7919 >> 3)
				}
				return b
			},
			[]string{"keystile.db is damaged", "restore a backup"},
		},
		"it is cut short": {
			func(b []byte) []byte { return b[:len(b)/2] },
			[]string{"keystile.db is damaged", "restore a backup"},
		},
		"it is another file": {
			func([]byte) []byte { return []byte(strings.Repeat("these are holiday pictures\n", 1000)) },
			[]string{"keystile.db is not a SQLite database"},
		},
		"it is empty but for its length": {
			func(b []byte) []byte { return make([]byte, len(b)) },
			[]string{"keystile.db is not a SQLite database"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := &house{t: t, dir: sound.dir, config: sound.config}
			damaged := c.damage(bytes.Clone(whole))
			check(t, os.WriteFile(filepath.Join(h.dir, "keystile.db"), damaged, 0o600))
			h.refusesToStart(nil, c.words...)
			if a := h.want(1, "doctor", "-o", "json"); !strings.Contains(a.stdout, "keystile.db is ") {
				t.Errorf("doctor: %s", a.stdout)
			}
			if a := h.want(1, "key", "list"); !strings.Contains(a.stderr, c.words[0]) {
				t.Errorf("key list: %s", a.stderr)
			}
			if now := must(os.ReadFile(filepath.Join(h.dir, "keystile.db")))(t); !bytes.Equal(now, damaged) {
				t.Error("the damaged file was changed: what could be saved from it may be gone")
			}
			check(t, os.WriteFile(filepath.Join(h.dir, "keystile.db"), whole, 0o600))
			s := h.serve()
			s.wants(200, "/things/a", goodKey)
			// What it leaves in its log would mend the next damage.
			s.stop()
		})
	}
}

// adminToken makes a token for the management API.
func (h *house) adminToken() string {
	h.t.Helper()
	var made struct {
		Secret string `json:"secret"`
	}
	check(h.t, json.Unmarshal([]byte(h.want(0, "admin-token", "create", "-o", "json").stdout), &made))
	return made.Secret
}

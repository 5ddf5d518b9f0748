package audit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/audit"
)

func checkpoint(seq int64) keystile.Checkpoint {
	return keystile.Checkpoint{
		Chain: "acme", Kind: keystile.CheckpointSeal, Seq: seq, Hash: [32]byte{1, 2, byte(seq)}, At: time.Unix(1_700_000_000, 123_000).UTC(),
		KeyID: "cpk_1", Signature: []byte("signature"),
	}
}

func TestCheckpointsComeBackFromTheFileAndFromTheLog(t *testing.T) {
	var log bytes.Buffer
	file := filepath.Join(t.TempDir(), "checkpoints.jsonl")
	sealed := false
	n := audit.NewNotary(audit.NotaryOptions{
		Seal: func(context.Context) ([]keystile.Checkpoint, error) {
			sealed = true
			return []keystile.Checkpoint{checkpoint(1), checkpoint(2)}, nil
		},
		Issue: func(context.Context) (bool, error) { return false, nil },
		Prune: func(context.Context) ([]keystile.Checkpoint, error) { return nil, nil },
		Every: time.Hour, File: file, Logger: slog.New(slog.NewJSONHandler(&log, nil)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n.Run(ctx) // ends at once, and seals before it does
	if !sealed || n.Failed() != 0 || n.LastSealed() == 0 {
		t.Errorf("sealed %v, failed %d", sealed, n.Failed())
	}
	want := []keystile.Checkpoint{checkpoint(1), checkpoint(2)}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v %v", info, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	log.WriteString(`{"level":"INFO","msg":"another line"}` + "\n")
	for name, text := range map[string]string{"file": string(text), "log": log.String()} {
		got, err := audit.ReadCheckpoints(strings.NewReader(text))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

func TestCheckpointsWaitForAFileThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	file := filepath.Join(dir, "checkpoints.jsonl")
	next := int64(0)
	n := audit.NewNotary(audit.NotaryOptions{
		Seal: func(context.Context) ([]keystile.Checkpoint, error) {
			next++
			return []keystile.Checkpoint{checkpoint(next)}, errors.New("one chain is broken")
		},
		Issue: func(context.Context) (bool, error) { return false, nil },
		Every: time.Hour, File: file, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n.Run(ctx)
	if n.Failed() != 2 {
		t.Errorf("%d failures, want the seal and the file", n.Failed())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	n.Run(ctx)
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := audit.ReadCheckpoints(f)
	if diff := cmp.Diff([]keystile.Checkpoint{checkpoint(1), checkpoint(2)}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedFileOfCheckpointsIsNotAShorterOne(t *testing.T) {
	for _, text := range []string{
		`{"chain":"","kind":"seal"`, `not JSON`, `[1]`, `{"signature":"AA==","hash":"00"}`, `{"signature":7}`,
		`{"chain":"","kind":"seal","seq":0,"hash":"` + strings.Repeat("00", 32) + `","at":"2026-01-01T00:00:00Z","signature":"AA=="}`,
		`{"chain":"","kind":"other","seq":1,"hash":"` + strings.Repeat("00", 32) + `","at":"2026-01-01T00:00:00Z","signature":"AA=="}`,
		`{"x":"` + strings.Repeat("x", 70_000) + `"}`,
	} {
		if got, err := audit.ReadCheckpoints(strings.NewReader("{}\n" + text + "\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%.40s: %v, %v", text, got, err)
		}
	}
}

func FuzzReadCheckpoints(f *testing.F) {
	var text bytes.Buffer
	if err := audit.WriteCheckpoints(&text, []keystile.Checkpoint{checkpoint(1)}); err != nil {
		f.Fatal(err)
	}
	f.Add(text.Bytes())
	f.Add([]byte("{}\n\n{\"signature\":null}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := audit.ReadCheckpoints(bytes.NewReader(text))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := audit.WriteCheckpoints(&again, read); err != nil {
			return // a year that JSON has no text for
		}
		back, err := audit.ReadCheckpoints(&again)
		if diff := cmp.Diff(read, back); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}

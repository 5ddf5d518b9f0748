package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/internal/backup"
)

func newBackup(a *app) *cobra.Command {
	var (
		c configFlags
		f format
	)
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Write the whole store into one file, while servers run",
		Long: `Writes the store as it is at one moment into a new file that its owner alone may
read; - is standard output. The file holds digests and sealed values and no key: keep
the master key, and the file elsewhere than the key. It restores on either engine.`,
		Example: "  keystile backup /var/backups/keystile-2026-11-28",
		Args:    oneArgument("the file to write"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cfg, err := c.load(a, cmd)
			if err != nil {
				return err
			}
			h, err := a.openConfigured(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, h.close()) }()
			if args[0] == "-" {
				_, _, err := a.writeBackup(cmd.Context(), h, a.stdout)
				return err
			}
			return a.backupTo(cmd.Context(), h, args[0], f)
		},
	}
	c.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func (a *app) writeBackup(ctx context.Context, h *house, w io.Writer) (backup.Header, int64, error) {
	p := a.newProgress("rows written")
	defer p.end()
	return backup.Write(ctx, w, h.store, backup.Options{Keyset: keysetSealing, Seal: h.sealer.Seal, Program: version, Progress: p.add})
}

// backupTo writes a backup under another name first: a file with the name that
// was asked for is whole.
func (a *app) backupTo(ctx context.Context, h *house, file string, f format) (err error) {
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, fmt.Errorf("%s exists already: name a new file", file))
	}
	to, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".part-*") // mode 0600
	if err != nil {
		return fmt.Errorf("make the backup's file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(to.Name()))
		}
	}()
	header, rows, err := a.writeBackup(ctx, h, to)
	if err = errors.Join(err, to.Sync(), to.Close()); err != nil {
		return err
	}
	info, err := os.Stat(to.Name())
	if err != nil {
		return fmt.Errorf("look at the backup: %w", err)
	}
	if err := os.Rename(to.Name(), file); err != nil {
		return fmt.Errorf("name the backup: %w", err)
	}
	if err := syncDirectory(filepath.Dir(file)); err != nil {
		return err
	}
	if f == formatJSON {
		return printJSON(a.stdout, map[string]any{
			"file": file, "created_at": header.CreatedAt, "rows": rows, "bytes": info.Size(), "schema": header.Schema, "master_key": h.sealer.MasterID(),
		})
	}
	return printFields(a.stdout, "file", file, "created at", header.CreatedAt.Format(time.RFC3339), "rows", strconv.FormatInt(rows, 10),
		"bytes", strconv.FormatInt(info.Size(), 10), "master key", h.sealer.MasterID())
}

func syncDirectory(path string) (err error) {
	dir, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return fmt.Errorf("write the directory: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("write the directory: %w", err)
	}
	return nil
}

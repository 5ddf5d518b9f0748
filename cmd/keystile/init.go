package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
)

// starterConfig is the configuration that init writes: it starts as it is.
const starterConfig = `# Keystile configuration. Reference: docs/reference/config.md, or keystile schema config.
listen: 127.0.0.1:8080
store: sqlite:keystile.db
master_key: file:master.key

# Proxies whose X-Forwarded-* headers are believed; needed for /forward-auth.
# trusted_proxies: [127.0.0.1/32]

# What the gateway and every decision endpoint enforce.
# routes:
#   - match:    {path: /telemetry/**, methods: [GET]}
#     upstream: http://127.0.0.1:9000
#     accept:   [api_key]
#     resource: {type: site, id: query.site_id}
#     scopes:   [telemetry:read]
#     limit:    {rate: 60/1m, per: credential}
`

func newInit(a *app) *cobra.Command {
	var f format
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Write a configuration, a fresh master key and an empty store into DIR",
		Long: `Writes keystile.yaml, master.key (readable by its owner only) and an empty store
into DIR, and prints the first admin token once. A DIR that holds anything is refused.`,
		Example: "  keystile init /etc/keystile",
		Args:    oneArgument("the directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			secret, err := initDirectory(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			file := filepath.Join(args[0], "keystile.yaml")
			if f == formatJSON {
				return printJSON(a.stdout, map[string]string{"config": file, "admin_token": secret})
			}
			_, err = fmt.Fprintf(a.stdout, `Wrote %s, a master key and an empty store.
Keep a copy of %s in a safe place: without it the store cannot be opened.

First admin token, shown only now. It ends when another global token is made, or 24 h after its first use:
%s

Next:
  keystile serve --config %s
`, file, filepath.Join(args[0], "master.key"), secret, file)
			return err
		},
	}
	addFormat(cmd, &f)
	return cmd
}

// initDirectory makes a new world in dir and returns its first admin token.
func initDirectory(ctx context.Context, dir string) (token string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look at %s: %w", dir, err)
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("%s is not empty (it holds %s): name a new directory", dir, entries[0].Name())
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make %s: %w", dir, err)
	}
	keyFile := filepath.Join(dir, "master.key")
	if err := writeMasterKey(keyFile); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "keystile.yaml"), []byte(starterConfig), 0o600); err != nil {
		return "", fmt.Errorf("write the configuration: %w", err)
	}
	master, err := keyring.LoadMaster("file:"+keyFile, os.Getenv)
	if err != nil {
		return "", err
	}
	absolute, err := filepath.Abs(filepath.Join(dir, "keystile.db"))
	if err != nil {
		return "", fmt.Errorf("find %s: %w", dir, err)
	}
	h, err := openHouse(ctx, houseOptions{storeURL: "sqlite:" + absolute, master: master, logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	return firstAdminToken(ctx, h)
}

// firstAdminToken makes the bootstrap token.
func firstAdminToken(ctx context.Context, h *house) (string, error) {
	_, secret, err := h.service.CreateAdminToken(ctx, store.Actor{Name: "cli"}, manage.NewAdminToken{Name: "bootstrap", Bootstrap: true})
	if err != nil {
		return "", fmt.Errorf("make the first admin token: %w", err)
	}
	return secret.Reveal(), nil
}

func writeMasterKey(path string) error {
	text, err := keyring.NewMasterText(randomSource)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the master key: %w", err)
	}
	return nil
}

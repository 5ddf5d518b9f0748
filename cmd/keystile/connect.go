package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/client"
	"keystile.dev/keystile/internal/api"
	"keystile.dev/keystile/internal/config"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/keyring"
)

// target says which world a management command acts on: the store of a
// configuration, or a running server.
type target struct {
	config configFlags
	server string
}

func (t *target) add(cmd *cobra.Command) {
	t.config.add(cmd)
	cmd.Flags().StringVar(&t.server, "server", "", "URL of a running server; its admin token is read from KEYSTILE_TOKEN [KEYSTILE_SERVER]")
}

// management is an open connection to a world.
type management struct {
	*client.Client
	house *house // nil for a server
	cfg   *config.Config
}

func (m *management) close() error {
	if m.house == nil {
		return nil
	}
	return m.house.close()
}

// withClient runs work on the world that t names.
func (a *app) withClient(cmd *cobra.Command, t *target, work func(context.Context, *management) error) (err error) {
	m, err := a.connect(cmd, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	return plainError(work(cmd.Context(), m))
}

func (a *app) connect(cmd *cobra.Command, t *target) (*management, error) {
	server := t.server
	if server == "" && t.config.file == "" {
		server = a.getenv("KEYSTILE_SERVER")
	}
	if server != "" {
		token := a.getenv("KEYSTILE_TOKEN")
		if token == "" {
			return nil, errors.New("--server needs an admin token in the environment variable KEYSTILE_TOKEN; make one with `keystile admin-token create`")
		}
		c, err := client.New(server, token)
		if err != nil {
			return nil, err
		}
		return &management{Client: c}, nil
	}
	cfg, err := t.config.load(a, cmd)
	if err != nil {
		return nil, err
	}
	h, err := a.openConfigured(cmd.Context(), cfg)
	if err != nil {
		return nil, err
	}
	settings := tokenSettingsOf(cfg)
	h.service.TokenLife = settings.life()
	c, err := localClient(h, cfg)
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	return &management{Client: c, house: h, cfg: cfg}, nil
}

// openConfigured opens the store and keys of a configuration for a command.
func (a *app) openConfigured(ctx context.Context, cfg *config.Config) (*house, error) {
	master, err := keyring.LoadMaster(cfg.MasterKey, a.getenv)
	if err != nil {
		return nil, masterKeyProblem(cfg, "name a file of mode 0600 that holds the key, or run keystile init DIR", err)
	}
	return openHouse(ctx, houseOptions{storeURL: cfg.Store.Reveal(), master: master, logger: slog.New(slog.DiscardHandler)})
}

// localClient is the management API over an open store, in this process: what
// a command does is the same whether a server runs it or not.
func localClient(h *house, cfg *config.Config) (*client.Client, error) {
	keys, err := apikey.New(apikey.Options{
		Find: findAPIKeys(h.store), Digester: h.digester, Now: time.Now, Fresh: func(time.Time) bool { return true },
	})
	if err != nil {
		return nil, err
	}
	local, err := api.New(api.Options{
		Service: h.service, Routes: func() []keystile.Route { return cfg.Routes }, State: stateOf(h), APIKeys: keys, CursorKey: h.cursorKey,
		ClientAddr: func(*http.Request) (netip.Addr, error) { return netip.IPv6Loopback(), nil },
		RequestID:  func(*http.Request) string { return enforce.NewRequestID() },
		Logger:     slog.New(slog.DiscardHandler), Version: version,
	})
	if err != nil {
		return nil, err
	}
	return client.New("http://store", "none", client.WithTransport(local.Local("cli")))
}

// plainError is an error of the API as a person at the command line reads it:
// one line for each member at fault, without HTTP.
func plainError(err error) error {
	var e *client.Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case len(e.Fields) > 0:
		lines := make([]string, len(e.Fields))
		for i, f := range e.Fields {
			lines[i] = f.String()
		}
		return errors.New(strings.Join(lines, "\n"))
	case e.Status == http.StatusUnauthorized:
		return errors.New("the server does not accept the admin token in KEYSTILE_TOKEN: it is unknown, expired or revoked")
	case e.Detail != "":
		return fmt.Errorf("%s (%s)", strings.TrimSuffix(e.Detail, ": "+e.Code), e.Code)
	}
	return err
}

// secretArgument reads a secret given on the command line: @FILE, - for standard
// input, or the text itself. Line ends at the end of a file do not count.
func (a *app) secretArgument(text string) (string, error) {
	secret, err := a.exactSecret(text)
	if text == "-" || strings.HasPrefix(text, "@") {
		secret = strings.TrimRight(secret, "\r\n")
	}
	return secret, err
}

// exactSecret is secretArgument with every byte of a file.
func (a *app) exactSecret(text string) (string, error) {
	switch {
	case text == "-":
		raw, err := io.ReadAll(io.LimitReader(a.stdin, maxSecret))
		if err != nil {
			return "", fmt.Errorf("read standard input: %w", err)
		}
		return string(raw), nil
	case strings.HasPrefix(text, "@"):
		raw, err := os.ReadFile(text[1:])
		if err != nil {
			return "", fmt.Errorf("read the secret: %w", err)
		}
		return string(raw), nil
	}
	return text, nil
}

// maxSecret bounds what is read from standard input.
const maxSecret = 1 << 20

// timeText prints a time, or "-" for none.
func timeText(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// masterKeyProblem places what is wrong with the master key where the configuration names it.
func masterKeyProblem(cfg *config.Config, remedy string, err error) error {
	return cfg.Problem("master_key", remedy, strings.TrimPrefix(err.Error(), "master_key: "))
}

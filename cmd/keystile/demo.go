package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/examples/finapi"
	"keystile.dev/keystile/examples/mcp"
	"keystile.dev/keystile/examples/roofhooks"
	"keystile.dev/keystile/examples/roofs"
	"keystile.dev/keystile/examples/roofviewer"
	"keystile.dev/keystile/examples/siteplanner"
	"keystile.dev/keystile/examples/telemetry"
	"keystile.dev/keystile/examples/tracking"
	"keystile.dev/keystile/internal/config"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/state"
	"keystile.dev/keystile/internal/store"
)

const demoDirectory = "keystile-demo"

// demo is the whole product on one machine with nothing to configure.
type demo struct {
	app    *app
	listen string
	dir    string
	expose bool

	secrets demoSecrets
	// token is the bootstrap admin token; empty if it was printed by an earlier run.
	token string
}

// demoSecrets are drawn once for each data directory and kept beside it, readable
// by its owner only: the demo prints its commands again at every start.
type demoSecrets struct {
	Sibaya  string `json:"sibaya"`
	Busy    string `json:"busy"`
	Expired string `json:"expired"`
	Bank    string `json:"bank"`
	// Password and Tracker are of the people of the two platforms, TOTP is a factor's
	// secret in base32, AuthToken a personal API key.
	Password  string `json:"password"`
	Tracker   string `json:"tracker"`
	TOTP      string `json:"totp"`
	AuthToken string `json:"auth_token"`
	// RoofKey and ViewerKey are the keys of the partner's applications.
	RoofKey   string `json:"roof_key"`
	ViewerKey string `json:"viewer_key"`
	// ClientID and ClientSecret are of NAO's OAuth client.
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	// HookSecret signs what the partner's receiver is told.
	HookSecret string `json:"hook_secret"`
}

// replacer writes the secrets where a text names them.
func (s *demoSecrets) replacer() *strings.Replacer {
	return strings.NewReplacer("{key}", s.Sibaya, "{busy}", s.Busy, "{expired}", s.Expired, "{bank}", s.Bank,
		"{password}", s.Password, "{tracker}", s.Tracker, "{totp}", s.TOTP, "{auth_token}", s.AuthToken, "{roof_key}", s.RoofKey, "{viewer_key}", s.ViewerKey,
		"{client_id}", s.ClientID, "{client_secret}", s.ClientSecret, "{hook_secret}", s.HookSecret)
}

func newDemo(a *app) *cobra.Command {
	d := &demo{app: a}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole product on this machine with nothing to configure",
		Long: `Starts the server on the embedded store with a small world: organisations, solar
sites, people, keys, and upstream APIs that serve records behind the gateway. Prints
commands to try, each of which works when pasted. Secrets are drawn anew for each
data directory. Ctrl-C ends it.`,
		Example: "  keystile demo --listen 127.0.0.1:8080 --data ./keystile-demo",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	cmd.Flags().StringVar(&d.listen, "listen", "127.0.0.1:8080", "address to listen on")
	cmd.Flags().StringVar(&d.dir, "data", demoDirectory, "directory for the demo's store and secrets; made if absent")
	cmd.Flags().BoolVar(&d.expose, "expose", false, "allow an address that other machines can reach")
	return cmd
}

func (d *demo) run(ctx context.Context) error {
	if err := d.checkAddress(); err != nil {
		return err
	}
	if err := d.claim(); err != nil {
		return err
	}
	hooks, err := roofhooks.New(d.secrets.HookSecret, time.Now)
	if err != nil {
		return err
	}
	certificate, trust, err := newDemoCertificate(time.Now())
	if err != nil {
		return err
	}
	place, stop, err := startUpstream(ctx, hooks.Webhooks(), &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return err
	}
	defer stop()
	places := []string{"{listen}", d.listen, "{hooks}", place}
	planner := "" // where it listens: known once it does
	for name, handler := range map[string]http.Handler{
		"{solar}": telemetry.Handler(), "{bank}": finapi.Handler(time.Now, enforce.NewRequestID), "{tracking}": tracking.Handler(), "{roofs}": roofs.Handler(), "{tools}": mcp.Handler(),
		"{received}": hooks.Received(),
		"{viewer}":   roofviewer.Handler(roofviewer.Options{Platform: "http://" + d.listen, ApplicationID: demoViewer, Key: d.secrets.ViewerKey, Now: time.Now}),
		"{planner}": siteplanner.Handler(siteplanner.Options{
			Platform: "http://" + d.listen, ClientID: d.secrets.ClientID, ClientSecret: d.secrets.ClientSecret, RedirectURI: func() string { return planner + "/callback" }, Now: time.Now,
		}),
	} {
		place, stop, err := startUpstream(ctx, handler, nil)
		if err != nil {
			return err
		}
		defer stop()
		places = append(places, name, place)
		if name == "{planner}" {
			planner = place
		}
	}
	where := strings.NewReplacer(places...)
	if err := d.prepare(ctx, where); err != nil {
		return err
	}
	file := filepath.Join(d.dir, "keystile.yaml")
	load := func() (*config.Config, error) { return config.LoadDemo(file, nil, nil) }
	cfg, err := load()
	if err != nil {
		return err
	}
	return d.app.serve(ctx, cfg, serveOptions{demo: true, trust: trust, reload: load, ready: func(context.Context, *server) error {
		return d.printCommands(d.app.stdout, file, where)
	}})
}

// checkAddress refuses an address that other machines can reach: everybody who
// sees the demo's output can use its keys.
func (d *demo) checkAddress() error {
	host, port, err := net.SplitHostPort(d.listen)
	if err != nil || port == "" {
		return usagef("--listen %q: write HOST:PORT, such as 127.0.0.1:8080", d.listen)
	}
	if d.expose || host == "localhost" {
		return nil
	}
	if addr, err := netip.ParseAddr(host); err != nil || !addr.IsLoopback() {
		return usagef("--listen %s can be reached from other machines: the demo is for this one; say --expose if that is meant", d.listen)
	}
	return nil
}

// startUpstream serves one of the demo's APIs on a free port of the loopback address,
// with TLS if secure is not nil.
func startUpstream(ctx context.Context, handler http.Handler, secure *tls.Config) (url string, stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("start the demo's upstream: %w", err)
	}
	scheme := "http://"
	if secure != nil {
		scheme, listener = "https://", tls.NewListener(listener, secure)
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(listener) }()
	return scheme + listener.Addr().String(), func() {
		if err := errors.Join(srv.Close(), <-done); err != nil && !errors.Is(err, http.ErrServerClosed) {
			slog.Warn("the demo's upstream did not end well", "error", err)
		}
	}, nil
}

// claim makes the data directory the demo's own and reads or draws its secrets.
func (d *demo) claim() error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	if err := d.refuseForeignDirectory(); err != nil {
		return err
	}
	return d.drawSecrets()
}

// prepare makes the data directory what the demo needs; a second start finds
// everything in place. places says where the demo's parts listen.
func (d *demo) prepare(ctx context.Context, places *strings.Replacer) (err error) {
	keyFile := filepath.Join(d.dir, "master.key")
	if _, err := os.Stat(keyFile); errors.Is(err, fs.ErrNotExist) {
		if err := writeMasterKey(keyFile); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(d.dir, "keystile.yaml"), []byte(places.Replace(demoConfig)), 0o600); err != nil {
		return fmt.Errorf("write the demo's configuration: %w", err)
	}
	master, err := keyring.LoadMaster("file:"+keyFile, os.Getenv)
	if err != nil {
		return err
	}
	path, err := filepath.Abs(filepath.Join(d.dir, "keystile.db"))
	if err != nil {
		return fmt.Errorf("find the data directory: %w", err)
	}
	h, err := openHouse(ctx, houseOptions{storeURL: "sqlite:" + path, master: master, logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	return d.populate(ctx, h, places)
}

// refuseForeignDirectory keeps the demo out of a directory that is not its own.
func (d *demo) refuseForeignDirectory() error {
	_, err := os.Stat(filepath.Join(d.dir, "keystile.db"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := os.Stat(d.secretsFile()); err != nil {
		return fmt.Errorf("%s holds a store that the demo did not make: name another directory with --data", d.dir)
	}
	return nil
}

func (d *demo) secretsFile() string { return filepath.Join(d.dir, "demo-secrets.json") }

// drawSecrets reads the secrets of the data directory, and draws those that are not there.
func (d *demo) drawSecrets() error {
	raw, err := os.ReadFile(d.secretsFile())
	if err == nil {
		err = json.Unmarshal(raw, &d.secrets)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is damaged: remove the data directory", d.secretsFile())
	}
	for _, one := range []struct {
		into *string
		draw func() (string, error)
	}{
		{&d.secrets.Sibaya, newDemoKey},
		{&d.secrets.Busy, newDemoKey},
		{&d.secrets.Expired, newDemoKey},
		{&d.secrets.Bank, newDemoKey},
		{&d.secrets.Password, newDemoText},
		{&d.secrets.Tracker, newDemoText},
		{&d.secrets.TOTP, newDemoTOTP},
		{&d.secrets.AuthToken, newDemoText},
		{&d.secrets.RoofKey, newDemoApplicationKey},
		{&d.secrets.ViewerKey, newDemoApplicationKey},
		{&d.secrets.ClientID, newDemoCredential},
		{&d.secrets.ClientSecret, newDemoCredential},
		{&d.secrets.HookSecret, newDemoHookSecret},
	} {
		if *one.into != "" {
			continue
		}
		if *one.into, err = one.draw(); err != nil {
			return err
		}
	}
	if raw, err = json.Marshal(d.secrets); err != nil { //nolint:gosec // G117: the file is where the demo's secrets are kept, for its owner alone
		return fmt.Errorf("write the demo's secrets: %w", err)
	}
	if err := os.WriteFile(d.secretsFile(), raw, 0o600); err != nil {
		return fmt.Errorf("write the demo's secrets: %w", err)
	}
	return nil
}

// populate applies the demo's world and marks the store as the demo's.
func (d *demo) populate(ctx context.Context, h *house, places *strings.Replacer) error {
	world, err := state.Parse(state.File{Name: "demo world", Data: []byte(places.Replace(d.secrets.replacer().Replace(demoWorld)))})
	if err != nil {
		return err
	}
	if _, err := applyWorld(ctx, h, world, state.Options{}); err != nil {
		return err
	}
	if mark, err := h.store.Meta(ctx, metaDemo); err == nil && mark != "" {
		return nil
	}
	if d.token, err = firstAdminToken(ctx, h); err != nil {
		return err
	}
	return h.store.Mutate(ctx, store.Actor{Name: "system"}, func(ctx context.Context, tx *store.Tx) error {
		return tx.SetMeta(ctx, metaDemo, time.Now().UTC().Format(time.RFC3339))
	})
}

// printCommands prints what to try, once it works. places says where the demo's parts listen.
func (d *demo) printCommands(w io.Writer, configFile string, places *strings.Replacer) error {
	program := "keystile"
	if len(os.Args) > 0 && strings.Contains(os.Args[0], string(filepath.Separator)) {
		program = os.Args[0]
	}
	admin := "# The first admin token was printed when this data directory was made. Another one:\n" +
		"$ " + program + " admin-token create --config " + configFile
	if d.token != "" {
		admin = "# The management API, with the first admin token (shown only now):\n" +
			`$ curl -H "Authorization: Bearer ` + d.token + `" http://` + d.listen + "/v1/keys"
	}
	text := strings.NewReplacer(
		"{url}", "http://"+d.listen, "{keystile}", program, "{config}", configFile, "{data}", d.dir, "{admin}", admin,
	).Replace(places.Replace(d.secrets.replacer().Replace(demoCommands)))
	return writeText(w, []byte(text))
}

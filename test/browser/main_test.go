package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"keystile.dev/keystile/internal/federation/federationtest"
	"keystile.dev/keystile/test/e2e/program"
)

// What all tests share: one server and one browser, each test with users and
// cookies of its own.
var (
	// executable is the keystile that runs, config its configuration.
	executable, config string
	// origin is where the pages are.
	origin string
	// chromium is the context of the running browser.
	chromium context.Context
	// inbox is what the server sent.
	inbox *mailbox
	// okta is the identity provider beside the server.
	okta *federationtest.Provider
	// axe is the source of the accessibility checker.
	axe string
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "browser:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "keystile-browser-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if axe, err = fetchAxe(ctx, dir); err != nil {
		return 1, err
	}
	if inbox, err = openMailbox(ctx); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, inbox.close()) }()
	executable = filepath.Join(dir, "keystile")
	build := exec.CommandContext(ctx, "go", "build", "-C", "../..", "-o", executable, "./cmd/keystile")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build keystile: %w\n%s", err, out)
	}
	server, err := startServer(ctx, dir)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, server.Kill()) }()

	browser, stop := startChromium(ctx, filepath.Join(dir, "profile"))
	defer stop()
	if err := chromedp.Do(browser, chromedp.Navigate("about:blank")); err != nil {
		return 1, fmt.Errorf("start chromium: %w", err)
	}
	chromium = browser
	code = m.Run()
	if code != 0 {
		fmt.Fprintln(os.Stderr, server.Stderr())
	}
	return code, nil
}

// startChromium starts the browser. Its certificate checks are off, as the
// server's certificate is its own; everything else is as people have it.
func startChromium(ctx context.Context, profile string) (context.Context, context.CancelFunc) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.UserDataDir(profile), chromedp.IgnoreCertErrors, chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true), chromedp.Flag("no-pings", true))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it cannot be had as root
	}
	allocated, stopAllocator := chromedp.NewExecAllocator(ctx, options...)
	browser, stopBrowser := chromedp.NewContext(allocated)
	return browser, func() { stopBrowser(); stopAllocator() }
}

// startServer makes a new store with this package's people in it and serves it.
func startServer(ctx context.Context, dir string) (*program.Process, error) {
	house := filepath.Join(dir, "house")
	if _, err := keystile(ctx, "init", house); err != nil {
		return nil, err
	}
	address, err := program.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	origin = "https://localhost:" + address[strings.LastIndexByte(address, ':')+1:]
	config = filepath.Join(house, "keystile.yaml")
	text := fmt.Sprintf(configuration, address, origin, inbox.address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if okta, err = federationtest.New(origin + "/login/with/okta/callback"); err != nil {
		return nil, err
	}
	text = people + fmt.Sprintf(providers, okta.URL, federationtest.ClientID, federationtest.ClientSecret)
	state := filepath.Join(dir, "people.yaml")
	if err := os.WriteFile(state, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if _, err := keystile(ctx, "apply", "--config", config, "-f", state, "--yes"); err != nil {
		return nil, err
	}
	server, err := program.Start(ctx, program.Command{Dir: dir, Argv: []string{executable, "serve", "--config", config}})
	if err != nil {
		return nil, err
	}
	if _, err := server.Listening(ctx); err != nil {
		return nil, errors.Join(err, server.Kill())
	}
	return server, nil
}

// keystile runs a command and returns what it wrote.
func keystile(ctx context.Context, arguments ...string) (string, error) {
	out, err := exec.CommandContext(ctx, executable, arguments...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("keystile %s: %w\n%s", strings.Join(arguments, " "), err, out)
	}
	return string(out), nil
}

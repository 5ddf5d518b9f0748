package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/config"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/credential/oauthtoken"
	"keystile.dev/keystile/internal/credential/onetime"
	"keystile.dev/keystile/internal/credential/partner"
	"keystile.dev/keystile/internal/credential/sessionjwt"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/gate"
	"keystile.dev/keystile/internal/limit"
)

// maxExplainBody bounds the body given with -d.
const maxExplainBody = 1 << 20

// explained is the request that explain asks about, in curl's words.
type explained struct {
	method  string
	headers []string
	data    string
	from    string
}

func newExplain(a *app) *cobra.Command {
	var (
		c configFlags
		f format
		e explained
	)
	cmd := &cobra.Command{
		Use:   "explain URL",
		Short: "Tell step by step why a request would be allowed or refused",
		Long: `Takes the request in curl's words and walks it through the gate. It draws no
quota, spends nothing and is not recorded. Rate limits are counted in the running
server; explain says which limit applies, not how much of it is left there.`,
		Example: "  keystile explain -X GET -H 'x-api-key: opa_prod_...' 'http://api.example.com/telemetry/inverter?site_id=Sibaya'",
		Args:    oneArgument("the full URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := e.request(a, args[0])
			if err != nil {
				return err
			}
			cfg, err := c.load(a, cmd)
			if err != nil {
				return err
			}
			d, steps, err := a.explain(cmd.Context(), cfg, r)
			if err != nil {
				return err
			}
			return a.printExplanation(f, d, steps)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&e.method, "request", "X", "", "method; default GET, or POST with -d")
	flags.StringArrayVarP(&e.headers, "header", "H", nil, "header field 'Name: value'; repeat for more")
	flags.StringVarP(&e.data, "data", "d", "", "body: @FILE, - for standard input, or the text")
	flags.StringVar(&e.from, "from", "127.0.0.1", "address the request comes from; X-Forwarded-For counts if it is a trusted proxy")
	c.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

// request makes the request of the command line as a server would get it.
func (e *explained) request(a *app, rawURL string) (*http.Request, error) {
	scheme, host, path, query, ok := enforce.SplitURL(rawURL)
	if !ok {
		return nil, usagef("%q is not a full URL such as http://api.example.com/path", rawURL)
	}
	addr, err := netip.ParseAddr(e.from)
	if err != nil {
		return nil, usagef("--from %q is not an address", e.from)
	}
	header, err := e.header(a, &host)
	if err != nil {
		return nil, err
	}
	body, err := e.body(a)
	if err != nil {
		return nil, err
	}
	hr := &http.Request{
		Method: e.method, Host: host, RequestURI: path, URL: &url.URL{Path: path, RawQuery: query}, Header: header,
		RemoteAddr: netip.AddrPortFrom(addr, 0).String(), Body: http.NoBody,
	}
	if query != "" {
		hr.RequestURI += "?" + query
	}
	if scheme == "https" {
		hr.TLS = &tls.ConnectionState{}
	}
	if e.data == "" {
		hr.Method = cmp.Or(hr.Method, http.MethodGet)
		return hr, nil
	}
	hr.Method = cmp.Or(hr.Method, http.MethodPost)
	hr.Body, hr.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	if len(header["Content-Type"]) == 0 { // as curl has it
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return hr, nil
}

// header reads the -H flags; a Host field replaces the URL's host.
func (e *explained) header(a *app, host *string) (http.Header, error) {
	header := http.Header{}
	for _, line := range e.headers {
		line, err := a.secretArgument(line)
		if err != nil {
			return nil, err
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, usagef("-H takes 'Name: value'")
		}
		value = strings.Trim(value, " \t")
		if strings.EqualFold(name, "host") {
			*host = value
			continue
		}
		header.Add(name, value)
	}
	return header, nil
}

// body reads the -d flag.
func (e *explained) body(a *app) (string, error) {
	if e.data == "" {
		return "", nil
	}
	body, err := a.secretArgument(e.data)
	if err == nil && len(body) > maxExplainBody {
		err = usagef("-d: the body is larger than 1 MiB")
	}
	return body, err
}

// stepRequest is what every enforcement point does before it asks the gate.
const stepRequest = "request"

func (a *app) explain(ctx context.Context, cfg *config.Config, hr *http.Request) (d keystile.Decision, steps []gate.Step, err error) {
	r, refused := enforce.NewRequest(hr, keystile.PointExplain, enforce.Trust{Proxies: cfg.TrustedProxies}, enforce.NewRequestID())
	if refused != nil {
		d = enforce.Refuse(refused)
		return d, []gate.Step{{Name: stepRequest, Reason: d.Reason, Detail: d.Cause}}, nil
	}
	table, err := compileRoutes(cfg, false, slog.New(slog.DiscardHandler))
	if err != nil {
		// The world of the demo is on the server's own host, where routes otherwise need same_origin.
		if table, err = compileRoutes(cfg, true, slog.New(slog.DiscardHandler)); err != nil {
			return d, nil, err
		}
	}
	h, err := a.openConfigured(ctx, cfg)
	if err != nil {
		return d, nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	kinds, done, err := h.kinds(ctx, cfg)
	if err != nil {
		return d, nil, err
	}
	defer done()
	g, err := gate.New(table, gate.Options{Kinds: kinds, Limiter: limit.NewMemory(limit.MemoryOptions{}), Now: time.Now})
	if err != nil {
		return d, nil, err
	}
	d, steps = g.Explain(ctx, r)
	return d, steps, nil
}

// kinds are what a server verifies credentials with, for a command beside the
// store: each question is asked of the store, and nothing is spent. done releases them.
func (h *house) kinds(ctx context.Context, cfg *config.Config) (kinds []keystile.Kind, done func(), err error) {
	fresh := func(time.Time) bool { return true }
	var release []func()
	releaseAll := func() {
		for _, r := range release {
			r()
		}
	}
	defer func() {
		if err != nil {
			releaseAll()
		}
	}()
	foreign := newForeignKeys(h)
	keys, err := apikey.New(apikey.Options{Find: foreign.record, Digester: h.digester, Now: time.Now, Fresh: fresh, Adopt: foreign.prove})
	if err != nil {
		return nil, nil, err
	}
	foreign.apply = keys.Apply
	release = append(release, keys.Close)
	spent, doneLedger, err := lookupLedger(ctx, h, cfg)
	if err != nil {
		return nil, nil, err
	}
	release = append(release, doneLedger)
	once, err := onetime.New(onetime.Options{
		Find: findSigningKeys(h.store), Open: h.sealer.Open, Ledger: spent, Fresh: fresh, Now: time.Now, DefaultWindow: clockWindow(cfg),
	})
	if err != nil {
		return nil, nil, err
	}
	release = append(release, once.Close)
	t := tokenSettingsOf(cfg)
	sessions, err := h.newSessions(&t, h.newTokenKeys(&t), sessionjwt.Options{Fresh: fresh})
	if err != nil {
		return nil, nil, err
	}
	release = append(release, sessions.Close)
	temporary, err := h.newTemporaryKeys(partner.Options{Fresh: fresh})
	if err != nil {
		return nil, nil, err
	}
	release = append(release, temporary.Close)
	access, err := h.newAccessTokens(oauthtoken.Options{Ledger: spentProofs{spent}, Fresh: fresh})
	if err != nil {
		return nil, releaseAll, err
	}
	release = append(release, access.Close)
	return []keystile.Kind{keys, once, sessions, temporary, access}, releaseAll, nil
}

func (a *app) printExplanation(f format, d keystile.Decision, steps []gate.Step) error {
	if f == formatJSON {
		return printJSON(a.stdout, map[string]any{"allow": d.Allowed, "status": d.Status(), "code": d.Reason, "observed": d.Observed, "steps": steps})
	}
	out := newTable(a.stdout, "STEP", "RESULT", "REASON", "DETAIL")
	for _, s := range steps {
		result := "passed"
		if !s.Passed {
			result = "refused"
		}
		out.row(s.Name, result, string(s.Reason), s.Detail)
	}
	if err := out.flush(); err != nil {
		return err
	}
	switch {
	case d.Observed:
		fmt.Fprintf(a.stdout, "\nallowed, because the route only observes; it would be refused: %s\n", d.Reason)
	case d.Allowed:
		fmt.Fprintln(a.stdout, "\nallowed")
	default:
		fmt.Fprintf(a.stdout, "\nrefused: %s (%d)\n", d.Reason, d.Status())
	}
	return nil
}

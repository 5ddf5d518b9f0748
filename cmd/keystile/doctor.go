package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/internal/config"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/limit"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/yamlfile"
)

// finding is one line of the doctor's report.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warning or failed
	Detail string `json:"detail,omitempty"`
}

const (
	findingOK      = "ok"
	findingWarning = "warning"
	findingFailed  = "failed"
)

// doctor gathers findings.
type doctor struct {
	app      *app
	findings []finding
}

func newDoctor(a *app) *cobra.Command {
	var (
		c configFlags
		f format
	)
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Check configuration, keys, store, clock and shared state",
		Long:    "Checks what a server would need and changes nothing. Exit status 1 if anything failed.",
		Example: "  keystile doctor --config keystile.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &doctor{app: a}
			d.examine(cmd.Context(), &c, cmd)
			return d.report(f)
		},
	}
	c.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func (d *doctor) add(check, status, detail string) {
	d.findings = append(d.findings, finding{check, status, detail})
}

// result adds a finding for an error or its absence.
func (d *doctor) result(check string, err error, good string) bool {
	if err != nil {
		d.add(check, findingFailed, err.Error())
		return false
	}
	d.add(check, findingOK, good)
	return true
}

func (d *doctor) examine(ctx context.Context, c *configFlags, cmd *cobra.Command) {
	cfg, err := c.load(d.app, cmd)
	if problems, ok := yamlfile.ProblemsOf(err); ok && len(problems) > 0 {
		for _, p := range problems {
			d.add("config", findingFailed, p.Error())
		}
		d.routes(cfg)
		return
	}
	file := c.path(d.app)
	if file == "" {
		file = "no file, only defaults, variables and flags"
	}
	if !d.result("config", err, file) {
		return
	}
	for _, w := range cfg.Warnings {
		d.add("config", findingWarning, w.Error())
	}
	d.routes(cfg)
	d.certificates(cfg)
	master, err := keyring.LoadMaster(cfg.MasterKey, d.app.getenv)
	if d.result("master key", err, "") {
		d.findings[len(d.findings)-1].Detail = master.ID()
	}
	d.store(ctx, cfg, master)
	d.shared(cfg)
	if now := time.Now(); now.Year() < 2025 || now.Year() > 2100 {
		d.add("clock", findingFailed, "the clock says "+now.UTC().Format(time.RFC3339)+": set it")
	} else {
		d.add("clock", findingOK, now.UTC().Format(time.RFC3339))
	}
}

func (d *doctor) routes(cfg *config.Config) {
	table, err := compileRoutes(cfg, false, slog.New(slog.DiscardHandler))
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			d.add("routes", findingFailed, line)
		}
		return
	}
	d.add("routes", findingOK, fmt.Sprintf("%d", len(table.Routes())))
	for _, w := range table.Warnings() {
		d.add("routes", findingWarning, placed(cfg, w).Error())
	}
	if len(table.Routes()) == 0 {
		d.add("routes", findingWarning, "there are none: the gateway answers 404 to everything; add routes to the configuration")
	}
}

// certificates looks at what the listener that asks for certificates needs.
func (d *doctor) certificates(cfg *config.Config) {
	if cfg.MTLS.Listen == "" {
		return
	}
	if cfg.MTLS.ClientCA == "" {
		d.add("mtls", findingWarning, "mtls.client_ca is empty: clients with tls_subject are refused; only registered certificates are good")
		return
	}
	if _, err := clientAuthorities(cfg); !d.result("mtls", err, cfg.MTLS.ClientCA) {
		return
	}
	data, err := os.ReadFile(cfg.MTLS.ClientCA)
	for now := time.Now(); err == nil; {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return
		}
		c, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			d.add("mtls", findingWarning, "mtls.client_ca holds a certificate that cannot be read: "+err.Error())
		case now.After(c.NotAfter):
			d.add("mtls", findingWarning, "the authority "+c.Subject.String()+" of mtls.client_ca ended "+c.NotAfter.UTC().Format(time.RFC3339)+": no certificate of it is good")
		case !c.IsCA:
			d.add("mtls", findingWarning, c.Subject.String()+" of mtls.client_ca is no authority")
		}
	}
}

func (d *doctor) store(ctx context.Context, cfg *config.Config, master *keyring.Master) {
	st, err := store.Open(ctx, store.Options{URL: cfg.Store.Reveal(), Logger: slog.New(slog.DiscardHandler), ReadOnly: true})
	if !d.result("store", err, "") {
		return
	}
	defer func() {
		if err := st.Close(); err != nil {
			d.add("store", findingWarning, err.Error())
		}
	}()
	d.findings[len(d.findings)-1].Detail = st.Engine()
	current, newest, err := st.SchemaVersion(ctx)
	switch {
	case err != nil:
		d.add("schema", findingFailed, err.Error())
		return
	case current < newest:
		d.add("schema", findingWarning, fmt.Sprintf("version %d; serve or keystile migrate brings it to %d", current, newest))
		return
	case current > newest:
		d.add("schema", findingFailed, fmt.Sprintf("version %d is newer than this binary knows (%d): use a newer keystile", current, newest))
		return
	}
	d.add("schema", findingOK, fmt.Sprintf("version %d", current))
	if master == nil {
		return
	}
	opened, err := openSealer(ctx, st, master)
	if d.result("keys", err, "opened by "+master.ID()) && opened.outdated {
		d.add("keys", findingWarning, "the master key was rotated: name the new one in the configuration, then run keystile master-key retire")
	}
}

func (d *doctor) shared(cfg *config.Config) {
	if cfg.Shared.Reveal() == "memory" {
		d.add("shared", findingOK, "memory (one server)")
		return
	}
	v, err := limit.NewValkey(limit.ValkeyOptions{URL: cfg.Shared.Reveal()})
	if err == nil {
		v.Close()
	}
	d.result("shared", err, "answers")
}

func (d *doctor) report(f format) error {
	failed := 0
	for _, x := range d.findings {
		if x.Status == findingFailed {
			failed++
		}
	}
	var err error
	if f == formatJSON {
		err = printJSON(d.app.stdout, d.findings)
	} else {
		out := newTable(d.app.stdout, "CHECK", "STATUS", "DETAIL")
		for _, x := range d.findings {
			out.row(x.Check, x.Status, x.Detail)
		}
		err = out.flush()
	}
	if err == nil && failed > 0 {
		return errors.Join(errReported)
	}
	return err
}

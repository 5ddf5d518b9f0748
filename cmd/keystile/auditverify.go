package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/audit"
	"keystile.dev/keystile/internal/config"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/store"
)

// chainFinding is what verify found of one chain.
type chainFinding struct {
	// Chain is an organisation's id, "" for the global chain, "#decisions" for decisions.
	Chain string `json:"chain"`
	OK    bool   `json:"ok"`
	// Removed is the last entry that retention took away, Last the newest one.
	Removed int64 `json:"removed_through"`
	Last    int64 `json:"last"`
	// Sealed is the newest entry that a checkpoint vouches for.
	Sealed   int64      `json:"sealed_through"`
	SealedAt *time.Time `json:"sealed_at,omitempty"`
	// Broken is the first entry that does not fit.
	Broken  int64  `json:"broken_at,omitempty"`
	Problem string `json:"problem,omitempty"`
}

func newAuditVerify(a *app) *cobra.Command {
	var (
		c           configFlags
		f           format
		checkpoints string
	)
	cmd := &cobra.Command{
		Use: "verify", Short: "Find events that were removed, changed, added or moved", Args: noArguments,
		Long: `Reads every chain of the audit log and the checkpoints of the store, and says which
entry of which chain does not fit. Exit status 1 if one does not. It changes nothing,
and a server may run meanwhile. Checkpoints that were kept outside the store, in a
file or in the server's log, show what was done to the store and its checkpoints alike.`,
		Example: "  keystile audit verify --checkpoints /var/log/keystile/checkpoints.jsonl",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(a, cmd)
			if err != nil {
				return err
			}
			var outside []keystile.Checkpoint
			if checkpoints != "" {
				if outside, err = readCheckpointFile(checkpoints); err != nil {
					return err
				}
			}
			findings, err := a.verifyAudit(cmd.Context(), cfg, outside)
			if err != nil {
				return err
			}
			return a.reportAudit(f, findings)
		},
	}
	c.add(cmd)
	cmd.Flags().StringVar(&checkpoints, "checkpoints", "", "a file of checkpoints kept outside the store, or a log of the server in JSON")
	addFormat(cmd, &f)
	return cmd
}

func readCheckpointFile(path string) (all []keystile.Checkpoint, err error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("open the checkpoints: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if all, err = audit.ReadCheckpoints(f); err != nil {
		return nil, fmt.Errorf("read the checkpoints of %s: %w", path, err)
	}
	return all, nil
}

// verifyAudit verifies every chain there is, and every one that a checkpoint
// knows of. It opens the store for reading alone.
func (a *app) verifyAudit(ctx context.Context, cfg *config.Config, outside []keystile.Checkpoint) (findings []chainFinding, err error) {
	master, err := keyring.LoadMaster(cfg.MasterKey, a.getenv)
	if err != nil {
		return nil, masterKeyProblem(cfg, "name a file of mode 0600 that holds the key", err)
	}
	st, err := store.Open(ctx, store.Options{URL: cfg.Store.Reveal(), Logger: slog.New(slog.DiscardHandler), ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if current, newest, err := st.SchemaVersion(ctx); err != nil || current != newest {
		return nil, errors.Join(err, fmt.Errorf("the store's schema is version %d and not %d: run keystile migrate", current, newest))
	}
	with := store.Verification{Outside: outside}
	if with.Key, err = checkpointKeyOf(ctx, st, master); err != nil {
		return nil, err
	}
	chains, err := st.Chains(ctx)
	if err != nil {
		return nil, err
	}
	for i := range outside {
		if !slices.Contains(chains, outside[i].Chain) {
			chains = append(chains, outside[i].Chain)
		}
	}
	p := a.newProgress("chains")
	defer p.end()
	for _, chain := range chains {
		report, err := st.Verify(ctx, chain, with)
		finding, err := findingOf(chain, report, err)
		if err != nil {
			return nil, err
		}
		findings = append(findings, finding)
		p.add(1)
	}
	return findings, nil
}

// checkpointKeyOf opens the store's key of checkpoints.
func checkpointKeyOf(ctx context.Context, st *store.Store, master *keyring.Master) (store.CheckpointKey, error) {
	opened, err := openSealer(ctx, st, master)
	if err != nil {
		return nil, err
	}
	sealed, err := st.Keyset(ctx, keysetCheckpoint)
	if errors.Is(err, keystile.ErrNotFound) {
		return missingKey{}, nil
	}
	if err != nil {
		return nil, err
	}
	return keyring.OpenCheckpointKey(opened.sealer, sealed)
}

// missingKey knows no signature: a store without the key of checkpoints has none.
type missingKey struct{}

// Sign implements store.CheckpointKey. Nothing that verifies signs.
func (missingKey) Sign([]byte) (keyID string, signature []byte) { return "", nil }

// Verify implements store.CheckpointKey.
func (missingKey) Verify(string, []byte, []byte) bool { return false }

func findingOf(chain string, report store.ChainReport, err error) (chainFinding, error) {
	finding := chainFinding{Chain: chain, OK: err == nil, Removed: report.Removed, Last: report.Last, Sealed: report.Sealed}
	if !report.SealedAt.IsZero() {
		finding.SealedAt = &report.SealedAt
	}
	var broken *store.ChainError
	if errors.As(err, &broken) {
		finding.Broken, finding.Problem = broken.Seq, broken.Problem
		return finding, nil
	}
	return finding, err
}

// chainName is a chain for people.
func chainName(chain string) string {
	switch chain {
	case "":
		return "(global)"
	case store.DecisionsChain:
		return "(decisions)"
	}
	return chain
}

func (a *app) reportAudit(f format, findings []chainFinding) error {
	broken := 0
	out := newTable(a.stdout, "CHAIN", "ENTRIES", "SEALED THROUGH", "SEALED AT", "STATUS")
	for i := range findings {
		x := &findings[i]
		status := "ok"
		if !x.OK {
			broken++
			status = fmt.Sprintf("broken at entry %d: %s", x.Broken, x.Problem)
		}
		entries := strconv.FormatInt(x.Last, 10)
		if x.Removed > 0 {
			entries = fmt.Sprintf("%d (through %d pruned)", x.Last, x.Removed)
		}
		out.row(chainName(x.Chain), entries, strconv.FormatInt(x.Sealed, 10), timeText(x.SealedAt), status)
	}
	var err error
	if f == formatJSON {
		err = printJSON(a.stdout, findings)
	} else {
		err = out.flush()
	}
	if err != nil || broken == 0 {
		return err
	}
	for i := range findings {
		if x := &findings[i]; !x.OK {
			fmt.Fprintf(a.stderr, "keystile: audit chain %s is broken at entry %d: %s\n", chainName(x.Chain), x.Broken, x.Problem)
		}
	}
	return errReported
}

func newAuditSeal(a *app) *cobra.Command {
	var c configFlags
	cmd := &cobra.Command{
		Use: "seal", Short: "Sign a checkpoint of each chain that has grown, and print it", Args: noArguments,
		Long: `Servers do so by themselves every audit.seal_every. What is printed, one JSON object
a line, is to be kept where whoever can write to the store cannot reach it.`,
		Example: "  keystile audit seal >> /mnt/elsewhere/checkpoints.jsonl",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, err := c.load(a, cmd)
			if err != nil {
				return err
			}
			h, err := a.openConfigured(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, h.close()) }()
			made, err := h.store.Seal(cmd.Context(), h.checkpoints)
			return errors.Join(audit.WriteCheckpoints(a.stdout, made), err)
		},
	}
	c.add(cmd)
	return cmd
}

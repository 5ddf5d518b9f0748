package audit

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"sync/atomic"
	"time"

	keystile "keystile.dev/keystile"
)

const (
	// issueInterval is how soon what was issued gets its audit event.
	issueInterval = 2 * time.Second
	// pruneInterval is how often retention looks for what is old.
	pruneInterval = time.Hour
	// maxUnwritten bounds the checkpoints that wait for a file that cannot be written.
	maxUnwritten = 10_000
)

// NotaryOptions configure a Notary.
type NotaryOptions struct {
	// Seal signs a checkpoint for each chain that has grown and returns those it
	// made, some of them beside an error.
	Seal func(context.Context) ([]keystile.Checkpoint, error)
	// Issue writes the events of a batch of what was issued; more says that there
	// may be another one.
	Issue func(context.Context) (more bool, err error)
	// Prune removes what is older than is kept and returns the checkpoints that
	// stand for it.
	Prune func(context.Context) ([]keystile.Checkpoint, error)
	// Every is the time between two seals.
	Every time.Duration
	// File is where checkpoints are added; empty: they are in the log alone.
	File   string
	Logger *slog.Logger
}

// Notary has the audit log sealed, and tells the world outside the store.
type Notary struct {
	o         NotaryOptions
	unwritten []keystile.Checkpoint
	failed    atomic.Int64
	sealed    atomic.Int64
}

// NewNotary makes a Notary. Run does its work.
func NewNotary(o NotaryOptions) *Notary { return &Notary{o: o} }

// Failed counts rounds in which the log could not be sealed, pruned or written outside.
func (n *Notary) Failed() int64 { return n.failed.Load() }

// LastSealed is when a round of sealing last went well, in seconds since 1970; 0: not yet.
func (n *Notary) LastSealed() int64 { return n.sealed.Load() }

// Run works until ctx ends, then seals once more.
func (n *Notary) Run(ctx context.Context) {
	issue, seal, prune := time.NewTicker(issueInterval), time.NewTicker(n.o.Every), time.NewTicker(pruneInterval)
	defer issue.Stop()
	defer seal.Stop()
	defer prune.Stop()
	for {
		select {
		case <-issue.C:
			n.issue(ctx)
		case <-seal.C:
			n.seal(ctx)
		case <-prune.C:
			n.prune(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
			defer cancel()
			n.issue(last)
			n.seal(last)
			return
		}
	}
}

func (n *Notary) issue(ctx context.Context) {
	for {
		more, err := n.o.Issue(ctx)
		if err != nil {
			n.fail(ctx, "what was issued could not be written to the audit log", err)
		}
		if err != nil || !more {
			return
		}
	}
}

func (n *Notary) seal(ctx context.Context) {
	made, err := n.o.Seal(ctx)
	if err != nil {
		n.fail(ctx, "the audit log could not be sealed", err)
	} else {
		n.sealed.Store(time.Now().Unix())
	}
	n.tell(ctx, made)
}

func (n *Notary) prune(ctx context.Context) {
	made, err := n.o.Prune(ctx)
	if err != nil {
		n.fail(ctx, "the audit log could not be pruned", err)
	}
	n.tell(ctx, made)
}

func (n *Notary) fail(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		n.failed.Add(1)
		n.o.Logger.Error(what, "error", err)
	}
}

// tell writes checkpoints to the log, and to the file with those that it could
// not take before.
func (n *Notary) tell(ctx context.Context, made []keystile.Checkpoint) {
	for i := range made {
		c := &made[i]
		n.o.Logger.Info("audit checkpoint", "chain", c.Chain, "kind", string(c.Kind), "seq", c.Seq, "hash", hex.EncodeToString(c.Hash[:]),
			"at", c.At, "key", c.KeyID, "signature", base64.StdEncoding.EncodeToString(c.Signature))
	}
	if n.o.File == "" {
		return
	}
	n.unwritten = append(n.unwritten, made...)
	if len(n.unwritten) == 0 {
		return
	}
	if err := AppendCheckpoints(n.o.File, n.unwritten); err != nil {
		n.fail(ctx, "checkpoints could not be written outside the store; they are tried again, and are in the log", err)
		if over := len(n.unwritten) - maxUnwritten; over > 0 {
			n.unwritten = n.unwritten[over:]
		}
		return
	}
	n.unwritten = nil
}

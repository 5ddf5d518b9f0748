package main

import (
	"context"
	"errors"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/audit"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/store"
)

// keysetCheckpoint is the name of the sealed key of checkpoints in the store.
const keysetCheckpoint = "checkpoint"

// issuedBatch is how many issued credentials of each kind one transaction records.
const issuedBatch = 500

// openCheckpointKey opens the key of checkpoints, or draws it if there is none yet.
func (h *house) openCheckpointKey(ctx context.Context) error {
	sealed, err := h.keysetOrDrawn(ctx, keysetCheckpoint, keyring.NewCheckpointKey)
	if err != nil {
		return err
	}
	h.checkpoints, err = keyring.OpenCheckpointKey(h.sealer, sealed)
	return err
}

// buildNotary makes what seals the audit log.
func (s *server) buildNotary(context.Context, *app) error {
	st := s.house.store
	s.notary = audit.NewNotary(audit.NotaryOptions{
		Seal: func(ctx context.Context) ([]keystile.Checkpoint, error) { return st.Seal(ctx, s.house.checkpoints) },
		Issue: func(ctx context.Context) (bool, error) {
			n, err := st.AuditIssued(ctx, issuedBatch)
			return n >= issuedBatch, err
		},
		Prune: s.pruneAudit, Every: s.cfg.Audit.SealEvery, File: s.cfg.Audit.CheckpointFile, Logger: s.log,
	})
	s.metrics.Counter("keystile_audit_failures_total", "Times that the audit log could not be sealed, pruned, or kept outside the store.", func() float64 { return float64(s.notary.Failed()) })
	s.metrics.Gauge("keystile_audit_sealed_timestamp_seconds", "When the audit log was last sealed.", func() float64 { return float64(s.notary.LastSealed()) })
	return nil
}

// pruneAudit removes what is older than the configuration keeps.
func (s *server) pruneAudit(ctx context.Context) (made []keystile.Checkpoint, err error) {
	st, now := s.house.store, time.Now()
	keep := s.cfg.Audit
	if keep.KeepChanges == 0 && keep.KeepDecisions == 0 {
		return nil, nil
	}
	chains, err := st.Chains(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, chain := range chains {
		age := keep.KeepChanges
		if chain == store.DecisionsChain {
			age = keep.KeepDecisions
		}
		if age == 0 {
			continue
		}
		_, base, err := st.Prune(ctx, chain, now.Add(-age), s.house.checkpoints)
		if base != nil {
			made = append(made, *base)
		}
		errs = append(errs, err)
	}
	return made, errors.Join(errs...)
}

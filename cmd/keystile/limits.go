package main

import (
	"context"
	"crypto/rand"

	"keystile.dev/keystile/internal/limit"
)

// randomSource is the one source of secrets.
var randomSource = rand.Reader

// limits are the counters of a server.
type limits struct {
	limiter  limit.Limiter
	strict   limit.Limiter
	memory   *limit.Memory
	fallback *limit.Fallback
	valkey   *limit.Valkey
}

func (s *server) buildLimits(context.Context, *app) error {
	l := &limits{memory: limit.NewMemory(limit.MemoryOptions{MaxBytes: int64(s.cfg.Limits.CounterMemory)})}
	s.limits = l
	l.limiter, l.strict = l.memory, l.memory
	if s.cfg.Shared.Reveal() == "memory" {
		return nil
	}
	shared, err := limit.NewValkey(limit.ValkeyOptions{URL: s.cfg.Shared.Reveal()})
	if err != nil {
		return err
	}
	l.valkey = shared
	l.fallback = limit.NewFallback(limit.FallbackOptions{Shared: shared, Local: l.memory, OnOutage: s.reportOutage})
	l.limiter, l.strict = l.fallback, l.fallback.Refusing()
	return nil
}

func (s *server) reportOutage(o limit.Outage) {
	if o.Down {
		s.log.Error("the shared counters cannot be reached: rate limits are counted on this server alone, and limits with on_outage: refuse refuse", "error", o.Err)
		return
	}
	s.log.Info("the shared counters answer again")
}

func (l *limits) close() {
	if l.valkey != nil {
		l.valkey.Close()
	}
}

package main

import (
	"context"
	"time"

	"keystile.dev/keystile/internal/leak"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/usage"
)

const (
	// lifeInterval is how often keys are looked at that leaked or end soon.
	lifeInterval = 15 * time.Second
	lifeBatch    = 500
	// usagePurgeInterval is how often old usage is forgotten.
	usagePurgeInterval = 10 * time.Minute
)

// keyLife is what happens to keys while nobody manages them.
type keyLife struct {
	leaks *leak.Desk
	meter *usage.Meter
}

// buildKeyLife makes the desk for leaked keys and the meter of their use.
func (s *server) buildKeyLife(context.Context, *app) error {
	mailer, err := s.buildMail()
	if err != nil {
		return err
	}
	o := leak.Options{Responder: leakResponder{s.house.service, s.adopter}, Logger: s.log, PublicURL: s.cfg.PublicURL}
	if mailer != nil {
		o.Mailer = mailer
	}
	s.life = keyLife{leaks: leak.New(o), meter: usage.NewMeter(s.house.store.NoteKeyUsage, s.log)}
	return nil
}

// keepKeys revokes keys whose leaked secrets have ended, tells of those that end
// soon, and forgets answers that held secrets, until ctx ends. A part that is full is followed by the next at once.
func (s *server) keepKeys(ctx context.Context) {
	system := manage.Actor{Name: "system"}
	every(ctx, lifeInterval, func() {
		if err := s.house.service.ForgetAnswers(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("answers to idempotent requests could not be forgotten", "error", err)
		}
		for _, work := range []struct {
			what string
			do   func(context.Context, manage.Actor, int) (int, error)
		}{
			{"leaked keys that have ended could not be revoked", s.house.service.RevokeEnded},
			{"keys that end soon could not be told of", s.house.service.NoticeExpiring},
		} {
			for more := true; more && ctx.Err() == nil; {
				n, err := work.do(ctx, system, lifeBatch)
				if err != nil && ctx.Err() == nil {
					s.log.Warn(work.what, "error", err)
				}
				more = err == nil && n == lifeBatch
			}
		}
	})
}

// purgeUsage forgets old usage, a bounded batch at a time.
func (s *server) purgeUsage(ctx context.Context) {
	every(ctx, usagePurgeInterval, func() {
		for more := true; more && ctx.Err() == nil; {
			n, err := s.house.store.PurgeKeyUsage(ctx, time.Now().Add(-manage.UsageKept), purgeBatch)
			if err != nil && ctx.Err() == nil {
				s.log.Warn("old usage of keys could not be purged", "error", err)
			}
			more = err == nil && n == purgeBatch
		}
	})
}

// addLifeGauges shows what was left out.
func (s *server) addLifeGauges() {
	s.metrics.Counter("keystile_leak_reports_total", "Reported keys that were looked at.", func() float64 { return float64(s.life.leaks.Done()) })
	s.metrics.Counter("keystile_leak_reports_dropped_total", "Reported keys for which there was no room.", func() float64 { return float64(s.life.leaks.Dropped()) })
	s.metrics.Counter("keystile_usage_dropped_total", "Requests that the usage of keys leaves out.", func() float64 { return float64(s.life.meter.Dropped()) })
}

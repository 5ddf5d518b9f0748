package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// WebhookTurn is a server's hold on a webhook: until Until it alone delivers to
// it. A server that dies lets go when that time has passed, and what it was
// delivering is tried again.
type WebhookTurn struct {
	WebhookID string
	// Failures in a row before this turn.
	Failures int
	// OpenUntil: it is not spoken to until then.
	OpenUntil time.Time

	claim int64
}

// errTurnLost: another server holds the webhook, or it is gone.
var errTurnLost = fmt.Errorf("the turn of the webhook is another server's, or the webhook is gone: %w", keystile.ErrConflict)

// ClaimWebhooks takes at most limit webhooks that something waits for and that no
// other server holds, until an instant. Those whose circuit is open are left out.
func (s *Store) ClaimWebhooks(ctx context.Context, now, until time.Time, limit int) ([]WebhookTurn, error) {
	const op = "claim webhooks"
	due, err := s.q.WebhooksDue(ctx, nullMicros(now), rowLimit(limit))
	if err != nil {
		return nil, s.fail(op, err)
	}
	if err := s.writable(); err != nil {
		return nil, err
	}
	var turns []WebhookTurn
	for _, id := range due {
		rows, err := gen.New(s.writer).ClaimWebhook(ctx, micros(until), id, nullMicros(now))
		if err != nil {
			return turns, s.fail(op, err)
		}
		for _, row := range rows {
			turns = append(turns, turnOf(row))
		}
	}
	return turns, nil
}

// AbandonWebhookTurns lets go of every webhook. It is for a server that knows that
// no other runs: whoever held one is dead, and need not be waited for.
func (s *Store) AbandonWebhookTurns(ctx context.Context) error {
	if err := s.writable(); err != nil {
		return err
	}
	return s.fail("let go of webhooks", gen.New(s.writer).AbandonWebhookTurns(ctx))
}

func turnOf(row gen.WebhookTurn) WebhookTurn {
	turn := WebhookTurn{WebhookID: row.WebhookID, Failures: int(row.Failures), claim: row.Claim}
	if row.OpenUntil > 0 {
		turn.OpenUntil = timeOf(row.OpenUntil)
	}
	return turn
}

// WebhookCircuit says how a webhook fares: failures in a row, and until when it is
// left alone.
func (r *reads) WebhookCircuit(ctx context.Context, webhookID string) (WebhookTurn, error) {
	row, err := r.q.GetWebhookTurn(ctx, webhookID)
	if err != nil {
		return WebhookTurn{}, r.fail("read the circuit of webhook "+clip(webhookID), err)
	}
	return turnOf(row), nil
}

// during runs fn in a transaction that holds a turn and keeps it until an instant.
// A turn that was lost is [keystile.ErrConflict]: nothing is written.
func (s *Store) during(ctx context.Context, turn WebhookTurn, until time.Time, fn func(context.Context, *gen.Queries) error) error {
	if err := s.writable(); err != nil {
		return err
	}
	return s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		q := gen.New(s.prepared(tx))
		n, err := q.KeepWebhook(ctx, micros(until), turn.WebhookID, turn.claim)
		if err != nil {
			return err
		}
		if n != 1 {
			return errTurnLost
		}
		return fn(ctx, q)
	})
}

// NextDelivery is what waits longest for a webhook; [keystile.ErrNotFound]: nothing does.
func (r *reads) NextDelivery(ctx context.Context, webhookID string, now time.Time) (keystile.WebhookDelivery, error) {
	row, err := r.q.NextWebhookDelivery(ctx, webhookID, nullMicros(now))
	if err != nil {
		return keystile.WebhookDelivery{}, r.fail("read the next delivery of webhook "+clip(webhookID), err)
	}
	return deliveryOf(row)
}

// BeginAttempt keeps the session token that an attempt will carry, nil for none, and
// ends the one of the attempt before (rulings R34).
func (s *Store) BeginAttempt(ctx context.Context, turn WebhookTurn, until time.Time, deliveryID string, session *keystile.PartnerSession) error {
	err := s.during(ctx, turn, until, func(ctx context.Context, q *gen.Queries) error {
		row, err := q.GetWebhookDelivery(ctx, deliveryID)
		if err != nil {
			return err
		}
		if len(row.Session) > 0 {
			if err := q.DeletePartnerSession(ctx, row.Session); err != nil {
				return err
			}
		}
		if session == nil {
			return q.SetDeliverySession(ctx, deliveryID, []byte{})
		}
		if err := q.InsertPartnerSession(ctx, partnerSessionRow(*session)); err != nil {
			return err
		}
		return q.SetDeliverySession(ctx, deliveryID, session.Digest[:])
	})
	return s.fail("begin an attempt at delivery "+clip(deliveryID), err)
}

// AttemptEnd is how an attempt ended and what follows.
type AttemptEnd struct {
	// Delivery as it is from now on; of it, State, URLTemplate, Attempts, TriesLeft, DueAt,
	// LastStatus, LastError and DoneAt are written.
	Delivery keystile.WebhookDelivery
	// Attempt is for the log; nil: none was made.
	Attempt *keystile.WebhookAttempt
	// Failures in a row from now on, and until when the webhook is left alone; zero: not.
	Failures  int
	OpenUntil time.Time
}

// EndAttempt writes how an attempt ended.
func (s *Store) EndAttempt(ctx context.Context, turn WebhookTurn, until time.Time, end AttemptEnd) error {
	d := &end.Delivery
	err := s.during(ctx, turn, until, func(ctx context.Context, q *gen.Queries) error {
		if a := end.Attempt; a != nil {
			err := q.InsertWebhookAttempt(ctx, gen.InsertWebhookAttemptParams{
				DeliveryID: a.DeliveryID, Number: int64(a.Number), At: micros(a.At), Took: a.Took.Microseconds(), Status: int64(a.Status), Error: clean(a.Error),
			})
			if err != nil {
				return err
			}
		}
		err := q.FinishWebhookAttempt(ctx, gen.FinishWebhookAttemptParams{
			ID: d.ID, UrlTemplate: d.URLTemplate, State: string(d.State), Attempts: int64(d.Attempts), TriesLeft: int64(d.TriesLeft),
			DueAt: nullMicros(d.DueAt), LastStatus: int64(d.LastStatus), LastError: clean(d.LastError), DoneAt: nullMicros(d.DoneAt),
		})
		if err != nil {
			return err
		}
		open := int64(0)
		if !end.OpenUntil.IsZero() {
			open = micros(end.OpenUntil)
		}
		return q.JudgeWebhook(ctx, turn.WebhookID, int64(end.Failures), open)
	})
	return s.fail("end an attempt at delivery "+clip(d.ID), err)
}

// ReleaseWebhook ends a turn: the webhook's next one is when its next delivery is due.
func (s *Store) ReleaseWebhook(ctx context.Context, turn WebhookTurn) error {
	err := s.during(ctx, turn, time.Time{}, func(ctx context.Context, q *gen.Queries) error {
		first, err := q.FirstDueOfWebhook(ctx, turn.WebhookID)
		if err != nil {
			return err
		}
		var due sql.NullInt64
		if len(first) > 0 {
			due = first[0]
		}
		return q.ReleaseWebhook(ctx, turn.WebhookID, due)
	})
	return s.fail("end the turn of webhook "+clip(turn.WebhookID), err)
}

// GiveUpDeliveries fails at most limit deliveries that have waited for a webhook
// since before an instant, and says how many.
func (s *Store) GiveUpDeliveries(ctx context.Context, turn WebhookTurn, until, before time.Time, limit int) (n int64, err error) {
	err = s.during(ctx, turn, until, func(ctx context.Context, q *gen.Queries) error {
		n, err = q.EndWebhookDeliveries(ctx, gen.EndWebhookDeliveriesParams{
			State: string(keystile.DeliveryFailed), LastError: "given up: the endpoint kept failing", Now: nullMicros(s.now()),
			WebhookID: turn.WebhookID, Before: micros(before), RowLimit: rowLimit(limit),
		})
		return err
	})
	return n, s.fail("give up deliveries of webhook "+clip(turn.WebhookID), err)
}

// WebhookDepth counts deliveries that wait, and webhooks that are left alone
// because they keep failing.
func (r *reads) WebhookDepth(ctx context.Context, now time.Time) (waiting, open int64, err error) {
	waiting, err = r.q.CountWaitingDeliveries(ctx)
	if err == nil {
		open, err = r.q.CountOpenWebhooks(ctx, micros(now))
	}
	return waiting, open, r.fail("count what waits for webhooks", err)
}

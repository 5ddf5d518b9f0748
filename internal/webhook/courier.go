package webhook

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

const (
	// pollInterval is how often the outbox is looked at: how late an event is told at most.
	pollInterval = time.Second
	// maxTurns is how many webhooks are told at once.
	maxTurns = 16
	// perTurn is how many deliveries one webhook gets before others that wait.
	perTurn = 50
	// SendTimeout bounds one attempt, from the resolver to the head of the answer (protocols 2.8).
	SendTimeout = 10 * time.Second
	// lease is how long a turn lasts without a word: longer than an attempt and its two writes.
	lease = SendTimeout + 20*time.Second
	// writeTimeout bounds one call of the store.
	writeTimeout = 5 * time.Second
	// grace is how long attempts under way may go on when the server ends.
	grace = 5 * time.Second

	// tidyInterval and tidyBatch keep the purge short; logKept is how long the log is kept.
	tidyInterval = 30 * time.Second
	tidyBatch    = 500
	logKept      = 30 * 24 * time.Hour
)

// Store is what a courier asks of the store. See package store for the errors.
type Store interface {
	AbandonWebhookTurns(ctx context.Context) error
	ClaimWebhooks(ctx context.Context, now, until time.Time, limit int) ([]store.WebhookTurn, error)
	NextDelivery(ctx context.Context, webhookID string, now time.Time) (keystile.WebhookDelivery, error)
	BeginAttempt(ctx context.Context, turn store.WebhookTurn, until time.Time, deliveryID string, session *keystile.PartnerSession) error
	EndAttempt(ctx context.Context, turn store.WebhookTurn, until time.Time, end store.AttemptEnd) error
	ReleaseWebhook(ctx context.Context, turn store.WebhookTurn) error
	GiveUpDeliveries(ctx context.Context, turn store.WebhookTurn, until, before time.Time, limit int) (int64, error)
	WebhookDepth(ctx context.Context, now time.Time) (waiting, open int64, err error)
	TellOfEnds(ctx context.Context, limit int) (int, error)
	PurgeDeliveries(ctx context.Context, before time.Time, limit int) (int64, error)
	PurgeNotices(ctx context.Context, now time.Time, limit int) (int64, error)

	Webhook(ctx context.Context, id string) (keystile.Webhook, error)
	Application(ctx context.Context, id string) (keystile.Application, error)
	Organization(ctx context.Context, id string) (keystile.Organization, error)
	Authorization(ctx context.Context, applicationID, tenantID string) (keystile.Authorization, error)
}

// Message is one request to an endpoint.
type Message struct {
	Method string
	// URL holds a session token: it is in no log.
	URL    string
	Header http.Header
	Body   []byte
}

// Send sends a message and returns the status of its answer. It follows no
// redirect and reads no body; its error does not hold the URL. It must end when
// ctx does, and is safe for concurrent use.
type Send func(ctx context.Context, m Message) (status int, err error)

// Options configure a Courier. All but Alone are required.
type Options struct {
	// Alone: no other server runs on the store, so that turns which are held are those
	// of a dead one.
	Alone bool
	Store Store
	Send  Send
	// Open opens what was sealed for a place.
	Open func(sealed []byte, place string) ([]byte, error)
	// Digest makes the stored digest of a session token's SHA-256.
	Digest func(sum [32]byte) (digest [32]byte, pepperID string)
	// Random must be a cryptographic source.
	Random io.Reader
	Now    func() time.Time
	Logger *slog.Logger
}

// Courier delivers what waits in the outbox. Any number of them, on any number of
// servers, may work on one store.
type Courier struct {
	o    Options
	stop chan struct{} // closed when no new attempt may begin
	free chan struct{} // a turn ended

	running   atomic.Int64
	delivered atomic.Int64
	failed    atomic.Int64
	waiting   atomic.Int64
	open      atomic.Int64
}

// Stats are counters of a courier, and gauges of the store as it last saw them.
type Stats struct {
	// Delivered and Failed are attempts of this courier.
	Delivered, Failed int64
	// Waiting deliveries, and webhooks left alone because they keep failing.
	Waiting, Open int64
}

// NewCourier makes a Courier.
func NewCourier(o Options) (*Courier, error) {
	if o.Store == nil || o.Send == nil || o.Open == nil || o.Digest == nil || o.Random == nil || o.Now == nil || o.Logger == nil {
		return nil, errors.New("webhook: every option is required")
	}
	return &Courier{o: o, stop: make(chan struct{}), free: make(chan struct{}, 1)}, nil
}

// Stats reads the counters.
func (c *Courier) Stats() Stats {
	return Stats{Delivered: c.delivered.Load(), Failed: c.failed.Load(), Waiting: c.waiting.Load(), Open: c.open.Load()}
}

// Run delivers until ctx ends. Attempts under way then have five seconds; what
// they did not finish is tried again by the next server.
func (c *Courier) Run(ctx context.Context) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var turns sync.WaitGroup
	poll, tidy := time.NewTicker(pollInterval), time.NewTicker(tidyInterval)
	defer poll.Stop()
	defer tidy.Stop()
	if c.o.Alone {
		if err := c.o.Store.AbandonWebhookTurns(ctx); err != nil {
			c.o.Logger.Warn("webhooks that a dead server held wait until its turns lapse", "error", err)
		}
	}
	c.tidy(ctx)
	for {
		c.claim(work, &turns)
		select {
		case <-ctx.Done():
			close(c.stop)
			c.await(&turns, cancel)
			return
		case <-poll.C:
		case <-c.free:
		case <-tidy.C:
			c.tidy(ctx)
		}
	}
}

// await lets turns end, and ends them after the grace.
func (c *Courier) await(turns *sync.WaitGroup, cancel context.CancelFunc) {
	timer := time.AfterFunc(grace, cancel)
	defer timer.Stop()
	turns.Wait()
}

// claim begins as many turns as there is room for.
func (c *Courier) claim(ctx context.Context, turns *sync.WaitGroup) {
	room := maxTurns - int(c.running.Load())
	if room <= 0 {
		return
	}
	now := c.o.Now()
	claimed, err := c.o.Store.ClaimWebhooks(ctx, now, now.Add(lease), room)
	if err != nil {
		c.o.Logger.Warn("webhooks could not be looked at; they wait", "error", err)
	}
	for _, turn := range claimed {
		c.running.Add(1)
		turns.Go(func() {
			defer func() {
				c.running.Add(-1)
				select {
				case c.free <- struct{}{}:
				default:
				}
			}()
			c.turn(ctx, turn)
		})
	}
}

// turn delivers to one webhook what waits for it. What it cannot finish stays in
// the outbox.
func (c *Courier) turn(ctx context.Context, turn store.WebhookTurn) {
	err := c.giveUp(ctx, turn)
	for n := 0; err == nil && n < perTurn && !c.stopping(); n++ {
		var more bool
		if more, err = c.next(ctx, &turn); !more {
			break
		}
	}
	if err == nil {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
		defer cancel()
		err = c.o.Store.ReleaseWebhook(bounded, turn)
	}
	lost := errors.Is(err, keystile.ErrConflict) || errors.Is(err, keystile.ErrNotFound) // another server has it, or it was deleted
	if err != nil && !lost && ctx.Err() == nil {
		c.o.Logger.Warn("a webhook's turn was not finished; it is taken up again", "webhook", turn.WebhookID, "error", err)
	}
}

func (c *Courier) stopping() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

// next delivers one. more is false when nothing else can be done in this turn.
func (c *Courier) next(ctx context.Context, turn *store.WebhookTurn) (more bool, err error) {
	d, err := c.o.Store.NextDelivery(ctx, turn.WebhookID, c.o.Now())
	if errors.Is(err, keystile.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return c.deliver(ctx, turn, d)
}

func (c *Courier) giveUp(ctx context.Context, turn store.WebhookTurn) error {
	for {
		now := c.o.Now()
		n, err := c.o.Store.GiveUpDeliveries(ctx, turn, now.Add(lease), now.Add(-keystile.WebhookPatience), tidyBatch)
		if err != nil || n < tidyBatch {
			return err
		}
	}
}

// tidy queues what came to an end by itself, removes old log entries in short
// transactions, and counts what waits.
func (c *Courier) tidy(ctx context.Context) {
	for _, step := range []struct {
		what string
		do   func() (int64, error)
	}{
		{"ends of keys could not be told of", func() (int64, error) {
			n, err := c.o.Store.TellOfEnds(ctx, tidyBatch)
			return int64(n), err
		}},
		{"old deliveries could not be purged", func() (int64, error) {
			return c.o.Store.PurgeDeliveries(ctx, c.o.Now().Add(-logKept), tidyBatch)
		}},
		{"old notices could not be purged", func() (int64, error) { return c.o.Store.PurgeNotices(ctx, c.o.Now(), tidyBatch) }},
	} {
		for {
			n, err := step.do()
			if err != nil && ctx.Err() == nil {
				c.o.Logger.Warn(step.what, "error", err)
			}
			if err != nil || n < tidyBatch {
				break
			}
		}
	}
	if waiting, open, err := c.o.Store.WebhookDepth(ctx, c.o.Now()); err == nil {
		c.waiting.Store(waiting)
		c.open.Store(open)
	}
}

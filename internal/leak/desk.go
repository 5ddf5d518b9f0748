package leak

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

const (
	// maxWaiting bounds the reported keys that wait, maxWaitingFrom those of one address.
	maxWaiting     = 4096
	maxWaitingFrom = 400
	// pace is the shortest time between two look-ups.
	pace = 2 * time.Millisecond
	// retryPause is how long the desk waits for a store that is away, patience for how
	// often, and drainTime for how long when the server ends.
	retryPause = time.Second
	patience   = 600
	drainTime  = 10 * time.Second
	// maxMails bounds the mails that wait, mailTime is how long one may take.
	maxMails = 256
	mailTime = 30 * time.Second
)

// Responder answers to leaks; *[manage.Service] is one. It is safe for concurrent use.
type Responder interface {
	// ReportLeak does what the key's organisation wants. A key that is unknown is
	// keystile.ErrNotFound.
	ReportLeak(context.Context, manage.Actor, manage.LeakReport) (manage.Leak, error)
	// LeakAddressees are the people to be told.
	LeakAddressees(context.Context, keystile.APIKey) ([]keystile.User, error)
}

// Mailer sends mail; it may block for as long as its context allows.
type Mailer interface {
	Send(ctx context.Context, to, subject, text string) error
}

// Options configure a Desk.
type Options struct {
	Responder Responder
	// Mailer tells people; nil: nobody is mailed, the audit log has it.
	Mailer Mailer
	Logger *slog.Logger
	// PublicURL of the server, for mails; empty: not told.
	PublicURL string
}

// Desk takes reports and works through them. It is safe for concurrent use.
type Desk struct {
	o       Options
	mu      sync.Mutex
	waiting map[netip.Addr]int
	queue   chan report
	mails   chan mail
	dropped atomic.Int64
	done    atomic.Int64
}

// report is one key of a report.
type report struct {
	manage.LeakReport
	from      netip.Addr
	requestID string
}

// mail is one message that waits.
type mail struct{ to, subject, text string }

// New makes a Desk. Run works through what it takes.
func New(o Options) *Desk {
	return &Desk{
		o: o, waiting: map[netip.Addr]int{},
		queue: make(chan report, maxWaiting), mails: make(chan mail, maxMails),
	}
}

// Take queues reported keys from an address and returns how many: fewer than
// were given if too many wait already. It does not block.
func (d *Desk) Take(reports []manage.LeakReport, from netip.Addr, requestID string) (taken int) {
	from = networkOf(from)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range reports {
		r.From = from
		if d.waiting[from] >= maxWaitingFrom {
			break
		}
		select {
		case d.queue <- report{r, from, requestID}:
			d.waiting[from]++
			taken++
			continue
		default:
		}
		break
	}
	d.dropped.Add(int64(len(reports) - taken))
	return taken
}

// networkOf is what reports are counted by: an IPv6 caller owns a /64.
func networkOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if prefix, err := addr.Prefix(64); err == nil && addr.Is6() {
		return prefix.Addr()
	}
	return addr
}

// Dropped counts reported keys for which there was no room.
func (d *Desk) Dropped() int64 { return d.dropped.Load() }

// Done counts reported keys that were looked at.
func (d *Desk) Done() int64 { return d.done.Load() }

// Run works until ctx ends; what waits then is still looked at, for a while.
func (d *Desk) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { d.sendMails(ctx) })
	defer wg.Wait()
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for {
		select {
		case r := <-d.queue:
			d.work(ctx, r)
			<-ticker.C
		case <-ctx.Done():
			d.drain()
			return
		}
	}
}

func (d *Desk) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	for {
		select {
		case r := <-d.queue:
			d.work(ctx, r)
		default:
			return
		}
	}
}

// work looks at one reported key, again and again while the store is away.
func (d *Desk) work(ctx context.Context, r report) {
	defer d.finish(r)
	for try := 1; ; try++ {
		// A change that has begun is not given up when the server ends.
		leak, err := d.o.Responder.ReportLeak(context.WithoutCancel(ctx), manage.Actor{Name: "leak_report", RequestID: r.requestID}, r.LeakReport)
		switch {
		case errors.Is(err, keystile.ErrNotFound):
			return
		case err == nil:
			if leak.Told {
				d.o.Logger.WarnContext(ctx, "an API key was reported as found in the open", "key", leak.Key.ID,
					"organization", leak.Key.OrganizationID, "request_id", r.requestID)
				d.tell(ctx, leak)
			}
			return
		}
		if !errors.Is(err, keystile.ErrUnavailable) || try == patience {
			d.o.Logger.ErrorContext(ctx, "a report of a leaked key could not be answered to", "request_id", r.requestID, "error", err)
			return
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			d.o.Logger.ErrorContext(ctx, "the server ends before a report of a leaked key was answered to", "request_id", r.requestID, "error", err)
			return
		}
	}
}

func (d *Desk) finish(r report) {
	d.done.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting[r.from]--; d.waiting[r.from] <= 0 {
		delete(d.waiting, r.from)
	}
}

// tell queues a mail to each who is to know.
func (d *Desk) tell(ctx context.Context, leak manage.Leak) {
	if d.o.Mailer == nil {
		return
	}
	users, err := d.o.Responder.LeakAddressees(context.WithoutCancel(ctx), leak.Key)
	if err != nil {
		d.o.Logger.ErrorContext(ctx, "who is to be told of a leaked key cannot be read", "key", leak.Key.ID, "error", err)
		return
	}
	subject, text := letter(leak, d.o.PublicURL)
	for _, u := range users {
		select {
		case d.mails <- mail{u.Email, subject, text}:
		default:
			d.o.Logger.ErrorContext(ctx, "a mail about a leaked key was dropped: too many wait for the mail server", "key", leak.Key.ID)
		}
	}
}

// letter is what people are told. It says nothing that the reporter said: whoever
// finds a key must not be able to write to its owners.
func letter(leak manage.Leak, publicURL string) (subject, text string) {
	k := leak.Key
	subject = "API key " + k.ID + " was found in the open"
	text = fmt.Sprintf("The API key %s (%s) of %s was reported to be found in the open.\n\n", k.ID, firstOf(k.Hint, "imported"), leak.Organization.ID)
	switch leak.Organization.Leak.Response {
	case keystile.LeakRevoke:
		text += "Its leaked secret ends at " + leak.EndsAt.UTC().Format(time.RFC1123) + ".\n"
	case keystile.LeakThrottle:
		text += "Its leaked secret is held to " + keystile.LeakRate.String() + " requests until it is rotated out.\n"
	default:
		text += "It goes on working until you end it.\n"
	}
	text += "\nGive it a new secret and end the old one:\n\n    keystile key rotate " + k.ID + " --overlap 0s\n"
	if publicURL != "" {
		text += "\nThe server is " + publicURL + ".\n"
	}
	return subject, text
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (d *Desk) sendMails(ctx context.Context) {
	for {
		select {
		case m := <-d.mails:
			d.send(ctx, m)
		case <-ctx.Done():
			return
		}
	}
}

func (d *Desk) send(ctx context.Context, m mail) {
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	if err := d.o.Mailer.Send(ctx, m.to, m.subject, m.text); err != nil {
		d.o.Logger.ErrorContext(ctx, "a mail about a leaked key could not be sent", "error", err)
	}
}

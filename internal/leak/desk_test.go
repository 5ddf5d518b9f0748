package leak

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// responder knows one key, and is away for a number of calls.
type responder struct {
	mu   sync.Mutex
	seen []string
	// from is where the newest report came from.
	from  netip.Addr
	away  int
	users []keystile.User
}

func (r *responder) ReportLeak(_ context.Context, _ manage.Actor, in manage.LeakReport) (manage.Leak, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away > 0 {
		r.away--
		return manage.Leak{}, fmt.Errorf("the disk is away: %w", keystile.ErrUnavailable)
	}
	r.seen = append(r.seen, in.Secret.Reveal())
	r.from = in.From
	if in.Secret != "known" {
		return manage.Leak{}, keystile.ErrNotFound
	}
	return manage.Leak{Key: keystile.APIKey{ID: "key_1", OrganizationID: "acme"}, Organization: keystile.Organization{ID: "acme"}, Told: true}, nil
}

func (r *responder) LeakAddressees(context.Context, keystile.APIKey) ([]keystile.User, error) {
	return r.users, nil
}

type mailbox chan mail

func (m mailbox) Send(_ context.Context, to, subject, text string) error {
	m <- mail{to, subject, text}
	return nil
}

func reports(texts ...string) (list []manage.LeakReport) {
	for _, text := range texts {
		list = append(list, manage.LeakReport{Secret: keystile.Secret(text), Source: "said by a stranger"})
	}
	return list
}

// runDesk runs a desk until the test ends.
func runDesk(t *testing.T, d *Desk) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	t.Cleanup(stop)
	return stop
}

var someone = netip.MustParseAddr("198.51.100.1")

func TestThreat33_AdministratorsAreMailedInTheServersWordsAndNoSecretIsLogged(t *testing.T) {
	var log bytes.Buffer
	r := &responder{users: []keystile.User{{Email: "admin@example.com"}, {Email: "owner@example.com"}}}
	box := make(mailbox, 2)
	d := New(Options{Responder: r, Mailer: box, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	stop := runDesk(t, d)
	if n := d.Take(reports("made-up", "known"), someone, "req-1"); n != 2 {
		t.Fatalf("took %d", n)
	}
	for _, to := range []string{"admin@example.com", "owner@example.com"} {
		if m := <-box; m.to != to || !strings.Contains(m.text, "key_1") || strings.Contains(m.text, "stranger") || strings.Contains(m.text, "known") {
			t.Errorf("mail %+v", m)
		}
	}
	stop()
	if r.from != someone {
		t.Errorf("the responder is told that it came from %s", r.from)
	}
	if text := log.String(); strings.Contains(text, "known") || strings.Contains(text, "made-up") || !strings.Contains(text, "key_1") {
		t.Errorf("log: %s", text)
	}
}

func TestWhatWaitsIsBoundedForEachAddressAndInAll(t *testing.T) {
	d := New(Options{Responder: &responder{}, Logger: slog.New(slog.DiscardHandler)})
	many := make([]manage.LeakReport, maxWaitingFrom+7)
	if n := d.Take(many, netip.MustParseAddr("2001:db8::1"), ""); n != maxWaitingFrom {
		t.Errorf("took %d of one network", n)
	}
	if n := d.Take(many[:1], netip.MustParseAddr("2001:db8::2"), ""); n != 0 {
		t.Errorf("took %d more of the same /64", n)
	}
	taken := maxWaitingFrom
	for i := range 20 {
		taken += d.Take(many, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), "")
	}
	if taken != maxWaiting || d.Dropped() == 0 {
		t.Errorf("%d wait, %d dropped", taken, d.Dropped())
	}
}

func TestAReportThatWasTakenOutlivesAnOutageAndTheEndOfTheServer(t *testing.T) {
	r := &responder{away: 1}
	d := New(Options{Responder: r, Logger: slog.New(slog.DiscardHandler)})
	stop := runDesk(t, d)
	d.Take(reports("first"), someone, "")
	for d.Done() == 0 {
		time.Sleep(time.Millisecond) // waits for the condition, however long it takes
	}
	d.Take(reports("a", "b", "c"), someone, "")
	stop()
	if got := fmt.Sprint(r.seen); got != "[first a b c]" {
		t.Errorf("looked at %s", got)
	}
	if len(d.waiting) != 0 {
		t.Errorf("%d addresses are still counted", len(d.waiting))
	}
}

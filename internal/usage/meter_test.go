package usage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
)

var (
	start   = time.Date(2026, 3, 1, 12, 59, 59, 0, time.UTC)
	things  = &keystile.Route{ID: "GET /things", Scopes: []keystile.Scope{"things:read"}}
	request = &keystile.Request{ClientAddr: netip.MustParseAddr("::ffff:198.51.100.7")}
)

// ledger keeps what a Meter stores.
type ledger struct {
	mu   sync.Mutex
	rows []keystile.KeyUsage
	err  error
}

func (l *ledger) write(_ context.Context, batch []keystile.KeyUsage) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(batch) > meterBatch+1 {
		return fmt.Errorf("a batch of %d", len(batch))
	}
	l.rows = append(l.rows, slices.Clone(batch)...)
	return l.err
}

func meter(l *ledger) *Meter { return NewMeter(l.write, slog.New(slog.DiscardHandler)) }

func decision(key, site string, reason keystile.Reason) keystile.Decision {
	d := keystile.Decision{Allowed: reason == "", Reason: reason, Route: things, Principal: &keystile.Principal{Kind: keystile.KindAPIKey, CredentialID: key}}
	if site != "" {
		d.Resource = keystile.Resource{Type: keystile.ResourceSite, ID: site}
	}
	return d
}

// finish stores everything.
func (m *Meter) finish() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m.Run(ctx)
}

func TestRequestsAreCountedByKeyAndHourWithWhereTheLastOneCameFrom(t *testing.T) {
	l := &ledger{}
	m := meter(l)
	m.Observe(request, decision("a", "Roof", ""), start, 0)
	m.Observe(request, decision("a", "", keystile.ReasonScopeMissing), start, 0)
	m.Observe(request, decision("a", "Roof", ""), start.Add(2*time.Second), 0)
	m.Observe(request, keystile.Decision{Reason: keystile.ReasonCredentialUnknown}, start, 0)
	other := decision("a", "", "")
	other.Principal.Kind = keystile.KindOneTime
	m.Observe(request, other, start, 0)
	m.finish()
	if len(l.rows) != 2 {
		t.Fatalf("%d rows: %+v", len(l.rows), l.rows)
	}
	first, second := l.rows[0], l.rows[1]
	if first.Hour.Hour() != 12 || first.Allowed != 1 || first.Refused != 1 || second.Hour.Hour() != 13 || second.Allowed != 1 {
		t.Errorf("rows %+v", l.rows)
	}
	if second.LastAddr != "198.51.100.7" || second.LastRoute != "GET /things" || !second.LastAt.Equal(start.Add(2*time.Second)) || !second.Place {
		t.Errorf("last use %+v", second)
	}
}

// aspects are what was stored as used, in order.
func (l *ledger) aspects() string {
	var names []string
	for _, row := range l.rows {
		for _, a := range row.Aspects {
			names = append(names, string(a.Aspect)+" "+a.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func TestWhatAKeyUsedIsNotedOnceAnHourAndOnlyIfItWasAllowed(t *testing.T) {
	l := &ledger{}
	m := meter(l)
	for range 3 {
		for _, site := range []string{"Roof", "Cellar"} {
			m.Observe(request, decision("a", site, ""), start, 0)
		}
	}
	m.Observe(request, decision("a", "Vault", keystile.ReasonResourceNotPermitted), start, 0)
	observed := decision("a", "Attic", "")
	observed.Observed = true
	m.Observe(request, observed, start, 0)
	m.finish()
	if got := l.aspects(); got != "route GET /things, scope things:read, site Cellar, site Roof" {
		t.Error(got)
	}
	m.Observe(request, decision("a", "Roof", ""), start.Add(time.Hour), 0)
	m.finish()
	if got := len(l.rows[len(l.rows)-1].Aspects); got != 3 {
		t.Errorf("the next hour notes %d", got)
	}
}

func TestSitesByTheThousandAreNotedAndBounded(t *testing.T) {
	l := &ledger{}
	m := meter(l)
	for range 2 {
		for i := range maxAspects + 50 {
			m.Observe(request, decision("a", fmt.Sprint("site-", i), ""), start, 0)
		}
	}
	m.finish()
	if n := len(l.rows[0].Aspects); n != maxAspects {
		t.Errorf("%d aspects, want %d", n, maxAspects)
	}
}

func TestAFlushIsBoundedAndNoKeyIsForgotten(t *testing.T) {
	l := &ledger{}
	m := meter(l)
	const keys = 3*meterBatch + 5
	for i := range keys {
		m.Observe(request, decision(fmt.Sprint("key-", i), "", ""), start, 0)
	}
	if n := m.flush(start, always); n < meterBatch || n > meterBatch+1 {
		t.Errorf("the first flush stored %d", n)
	}
	m.finish()
	stored := map[string]int64{}
	for _, row := range l.rows {
		stored[row.KeyID] += row.Allowed
	}
	if len(stored) != keys || m.Dropped() != 0 {
		t.Errorf("%d keys stored, %d dropped", len(stored), m.Dropped())
	}
}

func TestABusyKeyIsStoredNowAndThenAndOneThatRestsAtOnce(t *testing.T) {
	m := meter(&ledger{})
	stored := 0
	second := func(i int) time.Time { return start.Add(2*time.Second + time.Duration(i)*time.Second) } // within one hour
	for i := range 120 {
		m.Observe(request, decision("busy", "", ""), second(i), 0)
		stored += m.flush(second(i), (*counter).due)
	}
	if stored != 4 { // the first at once, then every half a minute
		t.Errorf("a key in use all the time was stored %d times in two minutes", stored)
	}
	if n := m.flush(second(119).Add(meterInterval), (*counter).due); n != 1 {
		t.Errorf("%d rows when it came to rest", n)
	}
	m.Observe(request, decision("busy", "", ""), second(300), 0)
	if n := m.flush(second(300), (*counter).due); n != 1 {
		t.Errorf("%d rows when it was used again", n)
	}
	m.Observe(request, decision("busy", "", ""), second(0), 0)
	if n := m.flush(second(0), (*counter).due); n != 1 {
		t.Errorf("%d rows when the clock was set back", n)
	}
	m.Observe(request, decision("busy", "", ""), second(1), 0)
	m.Observe(request, decision("busy", "", ""), second(3600), 0)
	if n := m.flush(second(3600), (*counter).due); n != 2 {
		t.Errorf("%d rows at the turn of an hour", n)
	}
}

func TestMemoryIsBoundedAndIdleKeysMakeRoom(t *testing.T) {
	l := &ledger{}
	m := meter(l)
	for i := range 2 * maxPending {
		m.Observe(request, decision(fmt.Sprint("key-", i), "", ""), start, 0)
	}
	held := func() (n int) {
		for i := range m.shards {
			n += len(m.shards[i].keys)
		}
		return n
	}
	if n := held(); n > maxPending || m.Dropped() == 0 {
		t.Errorf("%d keys are held, %d dropped", n, m.Dropped())
	}
	for m.flush(start.Add(idleAfter+time.Second), always) > 0 {
		continue
	}
	if n := held(); n != 0 {
		t.Errorf("%d idle keys are held", n)
	}
}

func TestAStoreThatIsAwayCostsCountsAndNothingElse(t *testing.T) {
	l := &ledger{err: errors.New("away")}
	m := meter(l)
	m.Observe(request, decision("a", "", ""), start, 0)
	m.flush(start, always)
	m.Observe(request, decision("a", "", ""), start, 0)
	l.err = nil
	m.finish()
	if m.Dropped() != 1 || l.rows[len(l.rows)-1].Allowed != 1 {
		t.Errorf("%d dropped, rows %+v", m.Dropped(), l.rows)
	}
}

func TestCountingFromManyGoroutinesLosesNothing(t *testing.T) {
	l := &ledger{}
	m := meter(l)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); m.Run(ctx) }()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 1000 {
				m.Observe(request, decision(fmt.Sprint("key-", i%7), fmt.Sprint("site-", g), ""), start, 0)
			}
		})
	}
	wg.Wait()
	cancel()
	<-done
	var sum int64
	for _, row := range l.rows {
		sum += row.Allowed
	}
	if sum != 8000 {
		t.Errorf("counted %d of 8000", sum)
	}
}

func BenchmarkObserve(b *testing.B) {
	m := meter(&ledger{})
	d := decision("key_3k7xq2m5v6a4tz2e", "Roof", "")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.Observe(request, d, start, 0)
		}
	})
}

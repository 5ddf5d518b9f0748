package audit_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fixture struct {
	*audit.Recorder
	mu      sync.Mutex
	records []keystile.DecisionRecord
	fail    bool
	now     time.Time
}

func newFixture() *fixture {
	x := &fixture{now: time.Unix(1_700_000_000, 0)}
	x.Recorder = audit.NewRecorder(audit.Options{Logger: slog.New(slog.DiscardHandler), Write: func(_ context.Context, records []keystile.DecisionRecord) error {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.fail {
			return errors.New("disk full")
		}
		x.records = append(x.records, records...)
		return nil
	}})
	return x
}

// finish runs the recorder until it has stored everything.
func (x *fixture) finish() []keystile.DecisionRecord {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	x.Run(ctx)
	<-x.Done()
	return x.records
}

func (x *fixture) observe(credentialID string, reason keystile.Reason) {
	r := &keystile.Request{ID: "req", Method: "GET", Path: "/p", ClientAddr: netip.MustParseAddr("192.0.2.1"), Point: keystile.PointGateway}
	d := keystile.Decision{Allowed: reason == "", Reason: reason}
	if credentialID != "" {
		d.Principal = &keystile.Principal{CredentialID: credentialID, OrganizationID: "org", Kind: keystile.KindAPIKey}
	}
	x.Observe(r, d, x.now, 0)
}

func TestTheFirstUseOfACredentialInAMinuteIsAlwaysRecorded(t *testing.T) {
	x := newFixture()
	for i := range 50 {
		x.observe("key"+string(rune('A'+i)), "")
	}
	if n := len(x.finish()); n != 50 {
		t.Errorf("%d records, want 50", n)
	}
}

func TestTheMinutesOfManyCredentialsDoNotBeginAtOnce(t *testing.T) {
	x := newFixture()
	const keys, seconds = 500, 121
	begin := x.now
	for range seconds {
		for i := range keys {
			x.observe("key"+strconv.Itoa(i), "")
		}
		x.now = x.now.Add(time.Second)
	}
	recorded := make([]int, seconds)
	for _, r := range x.finish() {
		recorded[int(r.At.Sub(begin)/time.Second)]++
	}
	total := 0
	for second, n := range recorded[1:] {
		total += n
		if n > keys/4 {
			t.Errorf("%d of %d credentials began their minute in second %d", n, keys, second+1)
		}
	}
	if total < 2*keys { // one a minute each, and the sample
		t.Errorf("%d records of %d credentials in two minutes", total, keys)
	}
}

func TestOneAllowedRequestInAHundredIsRecordedBesides(t *testing.T) {
	x := newFixture()
	for range 10_000 {
		x.observe("key1", "")
	}
	if n := len(x.finish()); n < 50 || n > 160 {
		t.Errorf("%d records of 10000, want about 101", n)
	}
}

func TestTheSampleOfAllowedRequestsIsBoundedASecond(t *testing.T) {
	x := newFixture()
	for range 100_000 {
		x.observe("key1", "")
	}
	if n := len(x.finish()); n != 201 {
		t.Errorf("%d records in one second, want 201", n)
	}
}

func TestRefusalsAreRecordedUpToAHundredASecondForEachOrganisation(t *testing.T) {
	x := newFixture()
	for range 500 {
		x.observe("key1", keystile.ReasonScopeMissing)
		x.observe("", keystile.ReasonCredentialUnknown)
	}
	first := len(x.queueOf())
	if first != 202 { // 100 and the first of the minute, twice
		t.Errorf("%d records in one second, want 202", first)
	}
	if x.Dropped() != 1000-202 {
		t.Errorf("%d dropped", x.Dropped())
	}
}

func (x *fixture) queueOf() []keystile.DecisionRecord { return x.finish() }

func TestARecordSaysWhoDidWhatAndNeverHoldsMoreThanItShould(t *testing.T) {
	x := newFixture()
	x.Observe(&keystile.Request{ID: "req", Method: strings.Repeat("M", 5000), Path: strings.Repeat("/p", 5000), RawQuery: "key=canary", ClientAddr: netip.MustParseAddr("192.0.2.1"), Point: keystile.PointForwardAuth},
		keystile.Decision{Reason: keystile.ReasonCredentialUnknown, Cause: strings.Repeat("c", 5000), Route: &keystile.Route{ID: "r"}}, x.now, 0)
	records := x.finish()
	if len(records) != 1 {
		t.Fatalf("%d records", len(records))
	}
	r := records[0]
	if r.RouteID != "r" || r.Point != keystile.PointForwardAuth || r.ClientAddr != "192.0.2.1" || r.Allowed || !r.At.Equal(x.now) {
		t.Errorf("record %+v", r)
	}
	if len(r.Method) > 512 || len(r.Path) > 512 || len(r.Cause) > 512 || strings.Contains(r.Path, "canary") {
		t.Error("text of the caller is not bounded, or the query is recorded")
	}
}

func TestNoRequestWaitsWhenTheQueueIsFull(t *testing.T) {
	x := newFixture()
	for i := range 20_000 { // nothing is writing; each is the first of its minute
		x.now = x.now.Add(time.Minute)
		x.observe("key", "")
		if i > 10_000 && x.Dropped() == 0 {
			t.Fatal("nothing was dropped")
		}
	}
}

func TestRecordsThatCannotBeStoredAreCounted(t *testing.T) {
	x := newFixture()
	x.fail = true
	x.observe("key1", "")
	x.finish()
	if x.Dropped() != 1 || x.Written() != 0 {
		t.Errorf("dropped %d, written %d", x.Dropped(), x.Written())
	}
}

func BenchmarkObserveWarm(b *testing.B) {
	x := newFixture()
	r := &keystile.Request{ID: "req", Method: "GET", Path: "/p", ClientAddr: netip.MustParseAddr("192.0.2.1")}
	d := keystile.Decision{Allowed: true, Principal: &keystile.Principal{CredentialID: "k", OrganizationID: "org"}}
	b.ReportAllocs()
	for b.Loop() {
		x.Observe(r, d, x.now, 0)
	}
}

package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce/proxy"
)

// endless is an upstream whose answers begin and do not end before their caller
// leaves: an event stream, or a chunked answer of another type. On /wait even
// the begin does not come.
func endless(t *testing.T) string {
	return upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		}
		if r.URL.Path != "/wait" {
			if _, err := io.WriteString(w, "data: first\n\n"); err != nil {
				t.Error(err)
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		}
		<-r.Context().Done()
	})
}

// opened is an answer that has begun.
type opened struct {
	res  *http.Response
	body *bufio.Reader
}

func (w *world) open(path string) opened {
	w.t.Helper()
	res, err := w.client.Do(w.request("GET", path, nil))
	if err != nil {
		w.t.Fatal(err)
	}
	o := opened{res, bufio.NewReader(res.Body)}
	if line, err := o.body.ReadString('\n'); err != nil || line != "data: first\n" {
		w.t.Fatalf("%s: %q, %v", path, line, err)
	}
	return o
}

// ended waits until the answer breaks off.
func (o opened) ended(t *testing.T) {
	t.Helper()
	done := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, o.body); done <- err }()
	if receive(t, "end of the stream", done) == nil {
		t.Error("a stream that was cut looked like one that ended")
	}
	closeAll(t, o.res.Body)
}

func TestRevocationEndsOpenStreams(t *testing.T) {
	tests := map[string]keystile.Change{
		"the key":          {Kind: keystile.ChangeKey, ID: "k1"},
		"its organisation": {Kind: keystile.ChangeOrganization, ID: "org1"},
		"everything":       {Kind: keystile.ChangeAll},
	}
	events, sockets := endless(t), echoUpgrade(t)
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, events)
			w.start()
			stream := w.open("/events")
			w.streams.Drop(change)
			stream.ended(t)
			w.route.Upstreams = []string{sockets}
			c, r, res := w.upgrade("websocket")
			if res.StatusCode != 101 {
				t.Fatal(res.StatusCode)
			}
			w.streams.Drop(change)
			if _, err := r.ReadByte(); err == nil {
				t.Error("the WebSocket is still open")
			}
			closeAll(t, c)
			await(t, "no exchange is left", func() bool { return w.streams.Open() == 0 })
		})
	}
}

func TestThreat28_APersonsStreamsEndWithTheirSessionTheirRightsAndThemselves(t *testing.T) {
	person := &keystile.Principal{
		Subject: "user:u1", OrganizationID: "org1", Kind: keystile.KindSessionJWT, CredentialID: "ses_1", SessionID: "ses_1", UserID: "u1", Role: "role_1",
	}
	events := endless(t)
	for name, change := range map[string]keystile.Change{
		"the session": {Kind: keystile.ChangeSession, ID: "ses_1"},
		"the user":    {Kind: keystile.ChangeUser, ID: "u1"},
		"the role":    {Kind: keystile.ChangeRole, ID: "role_1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, events)
			w.gate = func(*keystile.Request) keystile.Decision {
				return keystile.Decision{Allowed: true, Principal: person, Route: w.route}
			}
			w.start()
			stream := w.open("/events")
			for _, other := range []keystile.Change{
				{Kind: keystile.ChangeSession, ID: "u1"},
				{Kind: keystile.ChangeUser, ID: "ses_1"},
				{Kind: keystile.ChangeRole, ID: "u1"},
				{Kind: keystile.ChangeKey, ID: "ses_1"},
				{Kind: keystile.ChangeUser, ID: ""},
				{Kind: keystile.ChangeRole, ID: ""},
				{Kind: keystile.ChangeTokenKey, ID: "ses_1"},
			} {
				w.streams.Drop(other)
			}
			if w.streams.Open() != 1 {
				t.Fatal("another's change ended the stream")
			}
			w.streams.Drop(change)
			stream.ended(t)
		})
	}
}

func TestThreat28_StreamsOfATemporaryKeyEndWithEverythingThatItHangsOn(t *testing.T) {
	key := &keystile.Principal{
		Subject: "application:app1", OrganizationID: "tenant", Kind: keystile.KindPartner, CredentialID: "tmp_1", ApplicationID: "app1", MakerID: "partner", UserID: "u1",
	}
	events := endless(t)
	for name, change := range map[string]keystile.Change{
		"the tenant":        {Kind: keystile.ChangeOrganization, ID: "tenant"},
		"the partner":       {Kind: keystile.ChangeOrganization, ID: "partner"},
		"the application":   {Kind: keystile.ChangeApplication, ID: "app1"},
		"the authorization": {Kind: keystile.ChangeAuthorization, ID: "app1/tenant"},
		"the user":          {Kind: keystile.ChangeUser, ID: "u1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, events)
			w.gate = func(*keystile.Request) keystile.Decision {
				return keystile.Decision{Allowed: true, Principal: key, Route: w.route}
			}
			w.start()
			stream := w.open("/events")
			for _, other := range []keystile.Change{
				{Kind: keystile.ChangeOrganization, ID: "app1"},
				{Kind: keystile.ChangeOrganization, ID: ""},
				{Kind: keystile.ChangeApplication, ID: "partner"},
				{Kind: keystile.ChangeAuthorization, ID: "app1/partner"},
			} {
				w.streams.Drop(other)
			}
			if w.streams.Open() != 1 {
				t.Fatal("another's change ended the stream")
			}
			w.streams.Drop(change)
			stream.ended(t)
		})
	}
}

func TestOtherChangesLeaveStreamsOpen(t *testing.T) {
	w := newWorld(t, endless(t))
	w.start()
	stream := w.open("/events")
	for _, c := range []keystile.Change{
		{Kind: keystile.ChangeKey, ID: "k2"},
		{Kind: keystile.ChangeKey, ID: "org1"},
		{Kind: keystile.ChangeOrganization, ID: "org2"},
		{Kind: keystile.ChangeOrganization, ID: "k1"},
		{Kind: keystile.ChangeAdminToken, ID: "k1"},
		{Kind: keystile.ChangeReload},
	} {
		w.streams.Drop(c)
	}
	if w.streams.Open() != 1 {
		t.Error("the stream was ended")
	}
	w.streams.Drop(keystile.Change{Kind: keystile.ChangeKey, ID: "k1"})
	stream.ended(t)
}

func TestAnOrdinaryAnswerMayFinishWithinTheGrace(t *testing.T) {
	goOn := make(chan struct{})
	w := newWorld(t, upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-goOn
		if _, err := io.WriteString(w, "whole"); err != nil {
			t.Error(err)
		}
	}))
	w.start()
	res, err := w.client.Do(w.request("GET", "/a", nil))
	if err != nil {
		t.Fatal(err)
	}
	w.streams.Drop(keystile.Change{Kind: keystile.ChangeKey, ID: "k1"})
	close(goOn)
	if body, err := io.ReadAll(res.Body); string(body) != "whole" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
	closeAll(t, res.Body)
}

func TestALongAnswerEndsAfterTheGrace(t *testing.T) {
	w := newWorld(t, endless(t))
	w.streams = proxy.NewStreams(proxy.StreamsOptions{Grace: time.Millisecond})
	w.options.Streams = w.streams
	w.start()
	long := w.open("/long")
	w.streams.Drop(keystile.Change{Kind: keystile.ChangeKey, ID: "k1"})
	long.ended(t)

	waiting := make(chan int, 1)
	go func() {
		res, err := w.client.Do(w.request("GET", "/wait", nil))
		if err != nil {
			t.Error(err)
			waiting <- 0
			return
		}
		closeAll(t, res.Body)
		waiting <- res.StatusCode
	}()
	await(t, "the long poll is in flight", func() bool { return w.streams.Open() == 1 })
	w.streams.Drop(keystile.Change{Kind: keystile.ChangeKey, ID: "k1"})
	if got := receive(t, "answer to the long poll", waiting); got != 503 {
		t.Errorf("the long poll got %d, want 503: try again and be judged anew", got)
	}
}

// The race of a revocation with a decision that is just being made: the gate has
// said yes, and the exchange is not yet known to the registry.
func TestThreat27_ARevocationDuringTheDecisionReachesTheStream(t *testing.T) {
	w := newWorld(t, endless(t))
	inner := w.gate
	w.gate = func(r *keystile.Request) keystile.Decision {
		d := inner(r)
		w.streams.Drop(keystile.Change{Kind: keystile.ChangeKey, ID: "k1"})
		return d
	}
	w.start()
	if res, _ := w.get("/events"); res.StatusCode != 503 {
		t.Errorf("%d, want 503", res.StatusCode)
	}
	w.gate = func(r *keystile.Request) keystile.Decision {
		d := inner(r)
		w.streams.Drop(keystile.Change{Kind: keystile.ChangeKey, ID: "k1"})
		for i := range 1000 { // more than are remembered
			w.streams.Drop(keystile.Change{Kind: keystile.ChangeKey, ID: fmt.Sprint("other", i)})
		}
		return d
	}
	if res, _ := w.get("/events"); res.StatusCode != 503 {
		t.Errorf("after many changes: %d, want 503", res.StatusCode)
	}
}

func TestStreamsEndWhenTheCredentialExpires(t *testing.T) {
	w := newWorld(t, endless(t))
	short := *testKey
	w.gate = func(*keystile.Request) keystile.Decision {
		p := short
		p.ExpiresAt = time.Now().Add(50 * time.Millisecond)
		return keystile.Decision{Allowed: true, Principal: &p, Route: w.route}
	}
	w.start()
	if res, _ := w.get("/wait"); res.StatusCode != 401 {
		t.Errorf("before the answer began: %d, want 401", res.StatusCode)
	}
	res, err := w.client.Do(w.request("GET", "/long", nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the answer outlived the credential")
	}
	closeAll(t, res.Body)

	w.route.Upstreams = []string{echoUpgrade(t)}
	c, r, _ := w.upgrade("websocket")
	if _, err := r.ReadByte(); err == nil {
		t.Error("the WebSocket outlived the credential")
	}
	closeAll(t, c)
}

func TestAClientThatDoesNotReadCannotKeepARevokedStream(t *testing.T) {
	full := make(chan struct{})
	w := newWorld(t, upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		var once sync.Once
		for {
			// The writes block once every buffer on the way to the client is full.
			timer := time.AfterFunc(100*time.Millisecond, func() { once.Do(func() { close(full) }) })
			_, err := w.Write(make([]byte, 64<<10))
			timer.Stop()
			if err != nil {
				return
			}
		}
	}))
	w.start()
	c := w.dial()
	if _, err := io.WriteString(c, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	receive(t, "full buffers", full)
	w.streams.Drop(keystile.Change{Kind: keystile.ChangeKey, ID: "k1"})
	await(t, "the exchange is over", func() bool { return w.streams.Open() == 0 })
	closeAll(t, c)
}

func TestAnUploadCannotOutliveItsCredential(t *testing.T) {
	w := newWorld(t, upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			t.Error("the upstream took the upload for whole")
		}
	}))
	w.streams = proxy.NewStreams(proxy.StreamsOptions{Grace: time.Millisecond})
	w.options.Streams = w.streams
	w.start()
	c := w.dial()
	if _, err := io.WriteString(c, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	await(t, "the upload is in flight", func() bool { return w.streams.Open() == 1 })
	w.streams.Drop(keystile.Change{Kind: keystile.ChangeKey, ID: "k1"})
	if res := readAnswer(t, bufio.NewReader(c), "POST"); res.StatusCode != 503 {
		t.Errorf("%d, want 503", res.StatusCode)
	}
	await(t, "the exchange is over", func() bool { return w.streams.Open() == 0 })
	closeAll(t, c)
}

func TestMoreRequestsThanMayBeOpenAreTurnedAway(t *testing.T) {
	w := newWorld(t, endless(t))
	w.streams = proxy.NewStreams(proxy.StreamsOptions{MaxOpen: 2})
	w.options.Streams = w.streams
	w.start()
	a, b := w.open("/events"), w.open("/events")
	res, _ := w.get("/events")
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("%d, want 503 with Retry-After", res.StatusCode)
	}
	w.streams.Drop(keystile.Change{Kind: keystile.ChangeAll})
	a.ended(t)
	b.ended(t)
}

func TestTheRegistryHoldsUnderConcurrency(t *testing.T) {
	w := newWorld(t, upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(w, r.Body); err != nil {
			return // cut on purpose
		}
	}))
	w.streams = proxy.NewStreams(proxy.StreamsOptions{Grace: time.Nanosecond})
	w.options.Streams = w.streams
	w.start()
	stop := make(chan struct{})
	var dropper, callers sync.WaitGroup
	dropper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				w.streams.Drop(keystile.Change{Kind: keystile.ChangeKey, ID: "k1"})
			}
		}
	})
	for range 8 {
		callers.Go(func() {
			for range 50 {
				res, err := w.client.Do(w.request("POST", "/a", &pattern{n: 100_000}))
				if err != nil {
					continue // cut on purpose
				}
				if _, err := io.Copy(io.Discard, res.Body); err != nil {
					t.Logf("cut: %v", err)
				}
				closeAll(t, res.Body)
			}
		})
	}
	callers.Wait()
	close(stop)
	dropper.Wait()
	await(t, "no exchange is left", func() bool { return w.streams.Open() == 0 })
}

func TestShutdownDropsNoRequest(t *testing.T) {
	started := make(chan struct{}, 1000)
	w := newWorld(t, upstream(t, func(w http.ResponseWriter, r *http.Request) {
		started <- struct{}{}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Error(err)
		}
	}))
	w.start()
	const callers = 16
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for {
				r := w.request("POST", "/a", &pattern{n: 50_000})
				r.ContentLength = 50_000
				res, err := w.client.Do(r)
				if err != nil {
					// A connection that was refused or closed while idle carried no request.
					// An exchange that was cut shows as an answer that breaks off.
					return
				}
				if n, err := io.Copy(io.Discard, res.Body); err != nil || (res.StatusCode == 200 && n != 50_000) {
					t.Errorf("a request was dropped: %d after %d bytes, %v", res.StatusCode, n, err)
				}
				closeAll(t, res.Body)
			}
		})
	}
	for range 5 * callers {
		receive(t, "load", started)
	}
	w.streams.Drain()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.server.Config.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	all.Wait()
	if n := w.streams.Open(); n != 0 {
		t.Errorf("%d exchanges are left", n)
	}
}

func TestDrainEndsStreamsAndLetsRequestsFinish(t *testing.T) {
	w := newWorld(t, endless(t))
	w.start()
	events, long := w.open("/events"), w.open("/long")
	w.streams.Drain()
	events.ended(t)
	if w.streams.Open() != 1 {
		t.Error("an ordinary answer was ended too")
	}
	if res, _ := w.get("/events"); res.StatusCode != 503 {
		t.Errorf("a stream that begins while draining: %d, want 503", res.StatusCode)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := w.streams.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait: %v", err)
	}
	w.streams.CloseAll()
	long.ended(t)
	if res, _ := w.get("/a"); res.StatusCode != 503 {
		t.Errorf("a request after CloseAll: %d, want 503", res.StatusCode)
	}
}

package webhook_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/outbound"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/store/storetest"
)

// failsWith lets a world deliver to a broken endpoint and checks what the log says.
func failsWith(t *testing.T, w *world, says string) {
	t.Helper()
	w.run()
	w.authorize()
	d := w.last("tried", tried(1))
	if d.State != keystile.DeliveryPending || !strings.Contains(d.LastError, says) || d.TriesLeft != keystile.WebhookTries-1 {
		t.Errorf("the log says %+v, want %q", d, says)
	}
}

func TestAnEndpointThatHangsIsNotWaitedForAndHoldsUpNobodyElse(t *testing.T) {
	release := make(chan struct{})
	hung := make(chan struct{}, 100)
	w := newWorld(t, storetest.Open(t), func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/quick" {
			hung <- struct{}{}
			select {
			case <-release:
			case <-r.Context().Done():
				panic(http.ErrAbortHandler) // an answer to whoever is leaving may still be read
			}
		}
	}, outbound.Options{AllowPrivate: loopback})
	t.Cleanup(func() { close(release) })
	quick := w.hook()
	quick.ID, quick.Event, quick.URLTemplate = storetest.WebhookID(2), keystile.EventKeyExpired, w.endpoint.URL+"/quick"
	w.change(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.CreateWebhook(ctx, quick); err != nil {
			return err
		}
		return tx.AddApplicationKey(ctx, keystile.ApplicationKey{
			ID: "akey_1", ApplicationID: storetest.ApplicationID(1), Digest: storetest.Digest("key"), PepperID: "p1", ExpiresAt: time.Now().Add(-time.Hour),
		})
	})
	w.authorize()
	w.run()
	<-hung
	for w.request().URL.Path != "/quick" {
	}
	if d := w.last("pending", func(d *keystile.WebhookDelivery) bool { return d.State == keystile.DeliveryPending }); d.Attempts != 0 {
		t.Errorf("the hanging one was given up before its time: %+v", d)
	}
}

func TestAnEndpointThatHangsTooLongHasFailed(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, storetest.Open(t), func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler) // an answer to whoever is leaving may still be read
		}
	}, outbound.Options{AllowPrivate: loopback, Timeout: 200 * time.Millisecond})
	t.Cleanup(func() { close(release) })
	failsWith(t, w, "no answer within")
}

func TestThreat13_ARedirectIsAFailureAndIsNotFollowed(t *testing.T) {
	var reached atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(inside.Close)
	w := newWorld(t, storetest.Open(t), func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, strings.Replace(inside.URL, "127.0.0.1", "localhost", 1), http.StatusTemporaryRedirect)
	}, outbound.Options{AllowPrivate: loopback})
	failsWith(t, w, "the answer is 307")
	if reached.Load() != 0 {
		t.Error("it was followed")
	}
}

func TestAnAnswerOfAGigabyteIsNotRead(t *testing.T) {
	var sent atomic.Int64
	done := make(chan struct{})
	w := newWorld(t, storetest.Open(t), func(rw http.ResponseWriter, _ *http.Request) {
		defer close(done)
		chunk := make([]byte, 1<<20)
		for range 1 << 10 {
			n, err := rw.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}, outbound.Options{AllowPrivate: loopback})
	w.run()
	w.authorize()
	if d := w.last("delivered", delivered); d.LastStatus != http.StatusOK {
		t.Errorf("the log says %+v", d)
	}
	<-done
	if sent.Load() > 64<<20 {
		t.Errorf("%d bytes were taken", sent.Load())
	}
}

func TestAnEndlessHeaderIsAFailure(t *testing.T) {
	w := newWorld(t, storetest.Open(t), func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("X-Long", strings.Repeat("x", 1<<20))
	}, outbound.Options{AllowPrivate: loopback})
	failsWith(t, w, "send to")
}

func TestABadCertificateIsAFailure(t *testing.T) {
	w := newWorld(t, storetest.Open(t), fine, outbound.Options{AllowPrivate: loopback, TLS: &tls.Config{MinVersion: tls.VersionTLS12}})
	failsWith(t, w, "certificate")
	if len(w.requests) != 0 {
		t.Error("a request reached the endpoint")
	}
}

func TestThreat13_APrivateAddressIsNotReachedWhateverTheNameSays(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "localhost"} {
		w := newWorld(t, storetest.Open(t), fine, outbound.Options{})
		w.set(func(h *keystile.Webhook) { h.URLTemplate = strings.Replace(h.URLTemplate, "127.0.0.1", host, 1) })
		failsWith(t, w, "is not an address of the public internet")
		if len(w.requests) != 0 {
			t.Errorf("%s was reached", host)
		}
	}
}

func TestAServerThatEndsFinishesTheAttemptUnderWay(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	w := newWorld(t, storetest.Open(t), func(rw http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-release
		if _, err := io.WriteString(rw, "ok"); err != nil {
			return
		}
	}, outbound.Options{AllowPrivate: loopback})
	stop := w.run()
	w.authorize()
	<-begun
	ended := make(chan struct{})
	go func() { defer close(ended); stop() }()
	close(release)
	<-ended
	w.last("delivered", delivered)
	turns, err := w.store.ClaimWebhooks(t.Context(), w.clock.now(), w.clock.now().Add(time.Minute), 1)
	if err != nil || len(turns) != 0 {
		t.Errorf("a turn was left: %+v, %v", turns, err)
	}
}

func TestWhatADeadServerHeldIsTakenUpAtOnceByTheOnlyOne(t *testing.T) {
	w := newWorld(t, storetest.Open(t), fine, outbound.Options{AllowPrivate: loopback})
	w.authorize()
	if turns, err := w.store.ClaimWebhooks(t.Context(), w.clock.now(), w.clock.now().Add(24*time.Hour), 1); err != nil || len(turns) != 1 {
		t.Fatalf("%+v, %v", turns, err)
	}
	w.alone = true
	w.courier = w.newCourier(outbound.Options{AllowPrivate: loopback, TLS: &tls.Config{RootCAs: rootsOf(w.endpoint), MinVersion: tls.VersionTLS12}})
	w.run()
	w.last("delivered", delivered)
}

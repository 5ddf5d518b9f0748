package roofhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

var at = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func sign(id, timestamp, body string) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "." + body))
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func send(r *Receiver, id, timestamp, signature, body string) int {
	q := httptest.NewRequest(http.MethodPost, "/webhooks", strings.NewReader(body))
	q.Header.Set("webhook-id", id)
	q.Header.Set("webhook-timestamp", timestamp)
	q.Header.Set("webhook-signature", signature)
	w := httptest.NewRecorder()
	r.Webhooks().ServeHTTP(w, q)
	return w.Code
}

func received(r *Receiver) string {
	w := httptest.NewRecorder()
	r.Received().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/received", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		panic(err)
	}
	return string(body)
}

func newReceiver(t *testing.T) *Receiver {
	t.Helper()
	r, err := New(secret, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const body = `{"type":"app_status_changed","data":{"status":"disabled","session_token":"st_test_canary"}}`

func TestAVerifiedEventIsShownOnceWithoutItsToken(t *testing.T) {
	r := newReceiver(t)
	now := strconv.FormatInt(at.Unix(), 10)
	for range 2 { // at least once: the second is the same event
		if status := send(r, "msg_1", now, "v1,AAAA "+sign("msg_1", now, body), body); status != http.StatusNoContent {
			t.Fatalf("status %d", status)
		}
	}
	got := received(r)
	if strings.Count(got, "\n") != 1 || !strings.Contains(got, `"status":"disabled"`) || !strings.Contains(got, `"verified":"msg_1"`) || strings.Contains(got, "canary") {
		t.Errorf("%s", got)
	}
}

func TestAMessageThatCannotBeVerifiedIsRefused(t *testing.T) {
	now, old := strconv.FormatInt(at.Unix(), 10), strconv.FormatInt(at.Add(-6*time.Minute).Unix(), 10)
	later := strconv.FormatInt(at.Add(6*time.Minute).Unix(), 10)
	for name, m := range map[string]struct{ id, timestamp, signature, body string }{
		"no signature":       {"msg_1", now, "", body},
		"another body":       {"msg_1", now, sign("msg_1", now, body), body + " "},
		"another id":         {"msg_2", now, sign("msg_1", now, body), body},
		"another time":       {"msg_1", now, sign("msg_1", old, body), body},
		"old":                {"msg_1", old, sign("msg_1", old, body), body},
		"of a time to come":  {"msg_1", later, sign("msg_1", later, body), body},
		"no id":              {"", now, sign("", now, body), body},
		"no time":            {"msg_1", "soon", sign("msg_1", "soon", body), body},
		"of another version": {"msg_1", now, strings.Replace(sign("msg_1", now, body), "v1,", "v1a,", 1), body},
	} {
		if status := send(newReceiver(t), m.id, m.timestamp, m.signature, m.body); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, status)
		}
	}
	if _, err := New("whsec_", time.Now); err == nil {
		t.Error("an empty secret is taken")
	}
}

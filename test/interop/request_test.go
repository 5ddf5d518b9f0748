package interop

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What callers ask for. The key permits site north and not site south.
const (
	pathNorth = "/telemetry/inverter?site_id=north"
	pathSouth = "/telemetry/inverter?site_id=south"
)

var identityFields = []string{
	"Keystile-Subject", "Keystile-Organization", "Keystile-Credential", "Keystile-Scopes",
	"Keystile-Sites", "Keystile-Request-Id", "Keystile-Assertion",
}

// answer is what a caller got; status 0 means that the connection was closed instead.
type answer struct {
	status int
	header http.Header
	body   string
}

// get sends a GET with the target as it stands and the fields given as "Name: value".
func (s *site) get(t *testing.T, target string, fields ...string) answer {
	t.Helper()
	return s.send(t, "GET "+target+" HTTP/1.1\r\nHost: "+host+"\r\n"+strings.Join(append(fields, ""), "\r\n")+"\r\n")
}

// send writes bytes to a connection of its own and reads the first answer.
func (s *site) send(t *testing.T, raw string) answer {
	t.Helper()
	c, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Log("close:", err)
		}
	}()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, raw); err != nil {
		return answer{}
	}
	method, _, _ := strings.Cut(raw, " ") // the answer to HEAD has no body
	r, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return answer{}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Errorf("read the answer: %v", err)
	}
	if err := r.Body.Close(); err != nil {
		t.Errorf("close the answer: %v", err)
	}
	return answer{r.StatusCode, r.Header, string(body)}
}

func withKey(key createdKey) string { return "x-api-key: " + key.Secret }

// reached fails unless exactly one request reached the API, and returns it.
func (s *site) reached(t *testing.T) arrival {
	t.Helper()
	all := s.api.take()
	if len(all) != 1 {
		t.Fatalf("%d requests reached the API, not one: %q", len(all), all)
	}
	return all[0]
}

// notReached fails if a request reached the API.
func (s *site) notReached(t *testing.T) {
	t.Helper()
	if all := s.api.take(); len(all) != 0 {
		t.Fatalf("reached the API: %q", all)
	}
}

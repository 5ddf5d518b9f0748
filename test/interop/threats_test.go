package interop

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// What was checked is what the API sees, byte for byte, and however the API
// reads it, it is what the key permits: something under /telemetry, site north.
func TestThreat14_TheAPISeesThePathThatWasChecked(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		key := s.newKey(t, "5000/1m")
		passed := 0
		for _, target := range targets {
			got := s.get(t, target, withKey(key))
			arrivals := s.api.take()
			var asked []http.Header
			if s.witness != nil {
				asked = s.witness.take()
			}
			if got.status != http.StatusOK {
				if len(arrivals) != 0 {
					t.Errorf("%q: refused with %d and yet the API saw %q", target, got.status, arrivals)
				}
				continue
			}
			if len(arrivals) != 1 || got.body != apiBody {
				if len(arrivals) > 0 || got.body != "" { // Caddy answers an empty 200 for a host it does not serve
					t.Errorf("%q: 200 %q, and the API saw %q", target, got.body, arrivals)
				}
				continue
			}
			passed++
			if s.witness != nil {
				if checked := described(asked); len(checked) != 1 || checked[0] != arrivals[0].target {
					t.Errorf("%q: checked %q, the API saw %q", target, checked, arrivals[0].target)
				}
			}
			for _, reading := range readings(arrivals[0].target) {
				if !reading.permitted() {
					t.Errorf("%q: the API saw %q, which can be read as %+v", target, arrivals[0].target, reading)
				}
			}
		}
		t.Logf("%d of %d targets passed", passed, len(targets))
		if passed == 0 {
			t.Error("no target passed, so nothing was proved")
		}
	})
}

// described is the request targets that keystile was asked about.
func described(asked []http.Header) []string {
	var all []string
	for _, h := range asked {
		all = append(all, slices.Concat(h["X-Forwarded-Uri"], h["X-Original-Uri"])...)
	}
	return all
}

// What a caller says about the request, in the proxy's words, changes nothing:
// the site that is really asked for is south, which the key does not permit.
func TestThreat16_ACallersOwnForwardedFieldsChangeNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		key := s.newKey(t, "5000/1m")
		claims := []string{
			"X-Forwarded-Uri: " + pathNorth, "X-Forwarded-Host: other.example.com", "X-Forwarded-Method: OPTIONS",
			"X-Forwarded-Proto: http", "X-Original-Uri: " + pathNorth, "X-Original-URI: " + pathNorth,
			"X-Original-Method: OPTIONS", "X-Original-Host: other.example.com", "X-Original-URL: " + pathNorth,
			"X-Rewrite-URL: " + pathNorth, "X_Forwarded_Uri: " + pathNorth, "Forwarded: host=other.example.com",
			"X-HTTP-Method-Override: DELETE", "X-Method-Override: DELETE", "Connection: x-forwarded-uri",
			"Connection: x-original-uri, x-forwarded-host",
		}
		for _, claim := range claims {
			got := s.get(t, pathSouth, withKey(key), claim)
			if got.status != http.StatusForbidden && got.status != http.StatusBadRequest {
				t.Errorf("%s: %d %q", claim, got.status, got.body)
			}
			s.notReached(t)
		}
		got := s.get(t, pathNorth, append(slices.Clone(claims[:2]), withKey(key))...)
		for _, a := range s.api.take() {
			if got.status == http.StatusOK && (slices.Contains(a.values("X-Forwarded-Uri"), pathNorth) ||
				slices.Contains(a.values("X-Forwarded-Host"), "other.example.com")) {
				t.Errorf("the API got the caller's own words: %q", a.fields)
			}
		}
	})
}

func TestThreat16_TheCallersAddressIsTheConnections(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		key := s.newKey(t, "")
		got := s.get(t, pathNorth, withKey(key), "X-Forwarded-For: 203.0.113.9", "X-Real-IP: 203.0.113.9", "Forwarded: for=203.0.113.9")
		if s.witness == nil {
			if got.status != http.StatusOK {
				t.Fatalf("%d %q", got.status, got.body)
			}
			if forwarded := s.reached(t).values("X-Forwarded-For"); slices.ContainsFunc(forwarded, mentions("203.0.113.9")) {
				t.Errorf("the API was told X-Forwarded-For %q", forwarded)
			}
			return
		}
		for _, h := range s.witness.take() {
			if address := h["X-Forwarded-For"]; len(address) != 1 || address[0] != "127.0.0.1" {
				t.Errorf("keystile was told X-Forwarded-For %q", address)
			}
		}
	})
}

func mentions(part string) func(string) bool {
	return func(s string) bool { return strings.Contains(s, part) }
}

// The API gets each identity field once, with Keystile's value, however the
// caller spells its own or tries to have Keystile's dropped.
func TestThreat17_ACallerCannotSayWhoItIs(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		key := s.newKey(t, "5000/1m")
		forgeries := []string{
			"Keystile-Subject: key:root", "keystile-subject: key:root", "KEYSTILE-SUBJECT: key:root", "Keystile_Subject: key:root",
			"keystile_subject: key:root", "Keystile-Sites: \"south\"", "Keystile_Sites: \"south\"", "Keystile-Scopes: \"admin:*\"",
			"Keystile-Assertion: a.b.c", "Keystile-Organization: other", "Keystile_Organization: other",
			"Connection: keystile-subject", "Connection: keep-alive, Keystile-Assertion, Keystile_Subject",
			"Keystile-Subject: key:root\r\nKeystile-Subject: key:root\r\nKeystile_Subject: key:root",
			"Connection: close, keystile-subject, keystile-sites\r\nKeystile-Subject: key:root",
		}
		for _, forgery := range forgeries {
			got := s.get(t, pathNorth, withKey(key), forgery)
			if got.status != http.StatusOK {
				s.notReached(t)
				continue
			}
			r := s.reached(t)
			for _, name := range identityFields {
				if n := len(r.values(name)); n != 1 {
					t.Errorf("%q: the API got %s %d times", forgery, name, n)
				}
			}
			if subject := r.values("Keystile-Subject"); len(subject) == 1 && subject[0] != "key:"+key.ID {
				t.Errorf("%q: the API was told %q", forgery, subject[0])
			}
			if slices.ContainsFunc(r.values("Connection"), func(v string) bool { return mentions("keystile")(strings.ToLower(v)) }) {
				t.Errorf("%q: the API was told Connection %q", forgery, r.values("Connection"))
			}
		}
	})
}

// Nothing about a request skips the check: no method, no user agent, no query, no malformed credential.
func TestThreat18_NothingSkipsTheCheck(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		for _, head := range []string{
			"OPTIONS " + pathNorth + " HTTP/1.1\r\nHost: " + host + "\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: GET\r\n",
			"HEAD " + pathNorth + " HTTP/1.1\r\nHost: " + host + "\r\n",
			"get " + pathNorth + " HTTP/1.1\r\nHost: " + host + "\r\n",
			"GET /healthz?" + pathNorth + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: kube-probe/1.30\r\n",
			"GET " + pathNorth + "&x=/healthz HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: GoogleHC/1.0\r\n",
			"GET " + pathNorth + " HTTP/1.1\r\nHost: " + host + "\r\nCookie: keystile_session=%ZZ; =\r\n",
			"GET " + pathNorth + " HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Bearer\r\n",
			"GET " + pathNorth + " HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Basic Og==\r\n",
			"GET " + pathNorth + " HTTP/1.0\r\nHost: " + host + "\r\n",
		} {
			if got := s.send(t, head+"\r\n"); got.status == http.StatusOK {
				t.Errorf("%q: 200 %q", head, got.body)
			}
			s.notReached(t)
		}
	})
}

// However the length of a body is disputed, the API never sees a second
// request that nobody checked.
func TestThreat19_NoSecondRequestIsSmuggledInABody(t *testing.T) {
	const hidden = "GET /telemetry/smuggled?site_id=south HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
	everywhere(t, func(t *testing.T, s *site) {
		key := s.newKey(t, "5000/1m")
		head := "GET " + pathNorth + " HTTP/1.1\r\nHost: " + host + "\r\n" + withKey(key) + "\r\n"
		chunked := fmt.Sprintf("0\r\n\r\n%s", hidden)
		inChunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
		for name, raw := range map[string]string{
			"content-length and chunked":      head + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n%s", len(chunked), chunked),
			"chunked and content-length":      head + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + inChunk,
			"two content-lengths":             head + fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n\r\n%s", len(hidden), hidden),
			"a list of content-lengths":       head + fmt.Sprintf("Content-Length: 0, %d\r\n\r\n%s", len(hidden), hidden),
			"a signed content-length":         head + fmt.Sprintf("Content-Length: +%d\r\n\r\n%s", len(hidden), hidden),
			"a space before the colon":        head + "Transfer-Encoding : chunked\r\n\r\n" + inChunk,
			"a folded transfer-encoding":      head + "Transfer-Encoding:\r\n chunked\r\n\r\n" + inChunk,
			"a transfer-encoding with a tab":  head + "Transfer-Encoding:\tchunked\r\n\r\n" + inChunk,
			"an unknown transfer-encoding":    head + fmt.Sprintf("Transfer-Encoding: xchunked\r\nContent-Length: %d\r\n\r\n%s", len(hidden), hidden),
			"chunked twice":                   head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + inChunk,
			"chunked, then identity":          head + "Transfer-Encoding: chunked, identity\r\n\r\n" + inChunk,
			"an underscore":                   head + fmt.Sprintf("Transfer_Encoding: chunked\r\nContent-Length: %d\r\n\r\n%s", len(hidden), hidden),
			"bare line feeds":                 strings.ReplaceAll(head, "\r\n", "\n") + fmt.Sprintf("Content-Length: %d\n\n%s", len(hidden), hidden),
			"an overflowing chunk size":       head + "Transfer-Encoding: chunked\r\n\r\n" + "10000000000000000\r\n" + hidden + "0\r\n\r\n",
			"a chunk extension with a line":   head + "Transfer-Encoding: chunked\r\n\r\n" + "0;\n\r\n\r\n" + hidden,
			"an upgrade that is not answered": head + "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n" + hidden,
			"http/0.9":                        "GET " + pathSouth + "\r\n",
		} {
			s.send(t, raw)
			for _, a := range s.api.take() {
				if a.target != pathNorth {
					t.Errorf("%s: the API saw %s %s", name, a.method, a.target)
				}
			}
		}
	})
}

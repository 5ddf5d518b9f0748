package interop

import (
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAGoodKeyReachesTheAPIWithItsIdentityAndWithoutTheKey(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		key := s.newKey(t, "")
		got := s.get(t, pathNorth, withKey(key))
		if got.status != http.StatusOK || got.body != apiBody {
			t.Fatalf("%d %q", got.status, got.body)
		}
		r := s.reached(t)
		if r.method != http.MethodGet || r.target != pathNorth {
			t.Errorf("the API saw %s %s", r.method, r.target)
		}
		want := map[string]string{
			"Keystile-Subject": "key:" + key.ID, "Keystile-Organization": "acme", "Keystile-Credential": "api_key:" + key.ID,
			"Keystile-Scopes": `"telemetry:read"`, "Keystile-Sites": `"north"`,
		}
		for name, value := range want {
			if diff := cmp.Diff([]string{value}, r.values(name)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		if id := r.values("Keystile-Request-Id"); len(id) != 1 || id[0] == "" {
			t.Errorf("Keystile-Request-Id: %q", id)
		}
		if assertion := r.values("Keystile-Assertion"); len(assertion) != 1 || strings.Count(assertion[0], ".") != 2 {
			t.Errorf("Keystile-Assertion: %q", assertion)
		}
		for _, f := range r.fields {
			if strings.Contains(f.value, key.Secret) {
				t.Errorf("the API got the key, in %s", f.name)
			}
		}
	})
}

func TestEveryWayToPresentAKeyWorksThroughEveryProxy(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		key := s.newKey(t, "")
		for _, field := range []string{
			"X-API-KEY: " + key.Secret, "Authorization: Bearer " + key.Secret, "authorization: " + key.Secret,
		} {
			if got := s.get(t, pathNorth, field); got.status != http.StatusOK {
				t.Errorf("%s: %d %s", strings.SplitN(field, ":", 2)[0], got.status, got.body)
			}
			for _, f := range s.reached(t).fields {
				if strings.Contains(f.value, key.Secret) {
					t.Errorf("the API got the key, in %s", f.name)
				}
			}
		}
	})
}

func TestARefusalReachesTheCallerAndNotTheAPI(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		key := s.newKey(t, "")
		cases := []struct {
			name   string
			target string
			fields []string
			status int
		}{
			{"no key", pathNorth, nil, http.StatusUnauthorized},
			{"an empty key", pathNorth, []string{"x-api-key: "}, http.StatusUnauthorized},
			{"a wrong key", pathNorth, []string{"x-api-key: opa_prod_wrong"}, http.StatusUnauthorized},
			{"another site", pathSouth, []string{withKey(key)}, http.StatusForbidden},
			{"no site", "/telemetry/inverter", []string{withKey(key)}, http.StatusBadRequest},
			{"no route", "/other", []string{withKey(key)}, http.StatusNotFound},
			{"no route and no key", "/other", nil, http.StatusNotFound},
		}
		for _, c := range cases {
			got := s.get(t, c.target, c.fields...)
			if got.status != c.status {
				t.Errorf("%s: %d %q, not %d", c.name, got.status, got.body, c.status)
			}
			if c.status == http.StatusUnauthorized {
				if challenges := got.header.Values("WWW-Authenticate"); len(challenges) != 1 {
					t.Errorf("%s: WWW-Authenticate %q", c.name, challenges)
				}
			}
			s.notReached(t)
		}
	})
}

func TestTwoCredentialsInOneRequestAreRefused(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		one, two := s.newKey(t, ""), s.newKey(t, "")
		for _, fields := range [][]string{
			{withKey(one), withKey(two)},
			{withKey(one), "Authorization: Bearer " + two.Secret},
			{"Authorization: Bearer " + one.Secret, "Authorization: Bearer " + two.Secret},
		} {
			if got := s.get(t, pathNorth, fields...); got.status != http.StatusUnauthorized && got.status != http.StatusBadRequest {
				t.Errorf("%d %q", got.status, got.body)
			}
			s.notReached(t)
		}
	})
}

func TestThe61stRequestOfAMinuteIsRefusedWithRetryAfter(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		key := s.newKey(t, "")
		for i := range 60 {
			if got := s.get(t, pathNorth, withKey(key)); got.status != http.StatusOK {
				t.Fatalf("request %d: %d %q", i+1, got.status, got.body)
			}
		}
		s.api.take()
		got := s.get(t, pathNorth, withKey(key))
		if got.status != http.StatusTooManyRequests {
			t.Fatalf("request 61: %d %q", got.status, got.body)
		}
		if seconds, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 60 {
			t.Errorf("Retry-After: %q", got.header.Get("Retry-After"))
		}
		for _, name := range []string{"RateLimit", "RateLimit-Policy"} {
			if got.header.Get(name) == "" {
				t.Errorf("the refusal has no %s", name)
			}
		}
		s.notReached(t)
	})
}

func TestTheSameHoldsOverHTTP2(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		key := s.newKey(t, "")
		client := s.client()
		defer client.CloseIdleConnections()
		for _, c := range []struct {
			target, key string
			status      int
		}{{pathNorth, key.Secret, http.StatusOK}, {pathSouth, key.Secret, http.StatusForbidden}, {pathNorth, "", http.StatusUnauthorized}} {
			r, err := http.NewRequest(http.MethodGet, "https://"+s.callers+c.target, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			r.Header.Set("X-Api-Key", c.key)
			got, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := got.Body.Close(); err != nil {
				t.Fatal(err)
			}
			if got.ProtoMajor != 2 || got.StatusCode != c.status {
				t.Errorf("%s: %s %d, not HTTP/2 %d", c.target, got.Proto, got.StatusCode, c.status)
			}
		}
		if r := s.reached(t); r.target != pathNorth {
			t.Errorf("the API saw %s", r.target)
		}
	})
}

// The commands of each page are run as they stand; the names they speak to are pointed here.
func TestTheCommandsOnEachPageAnswerAsThePageSays(t *testing.T) {
	says := regexp.MustCompile(`# (\d{3})`)
	everywhere(t, func(t *testing.T, s *site) {
		page, _, _ := strings.Cut(s.name, "-")
		commands, err := block(page+".md", "try")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := strings.Cut(s.callers, ":")
		settings := "silent\noutput = /dev/null\nwrite-out = \"%{http_code}\\n\"\ncacert = " + s.path("fullchain.pem") +
			"\nconnect-to = " + host + ":443:127.0.0.1:" + port + "\n"
		if err := os.WriteFile(s.path(".curlrc"), []byte(settings), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := s.shell(commands, "CURL_HOME="+s.dir, "KEY="+s.key.Secret)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, match := range says.FindAllStringSubmatch(commands, -1) {
			want = append(want, match[1])
		}
		if diff := cmp.Diff(want, strings.Fields(string(out))); diff != "" {
			t.Errorf("status (-page +got):\n%s", diff)
		}
	})
}

func TestNothingPassesWhileKeystileIsAway(t *testing.T) {
	everywhere(t, func(t *testing.T, s *site) {
		if s.witness == nil {
			return // the gateway is keystile: away, nothing listens
		}
		s.witness.away(true)
		defer s.witness.away(false)
		got := s.get(t, pathNorth, withKey(s.key))
		if got.status < 500 {
			t.Errorf("%d %q", got.status, got.body)
		}
		s.notReached(t)
	})
}

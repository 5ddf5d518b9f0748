package chaos

import (
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keystile.dev/keystile/internal/store/storetest"
)

// cluster is a house on PostgreSQL and Valkey, both behind cables.
type cluster struct {
	*house
	postgres, valkey *cable
	// direct is the store's URL past the cable.
	direct string
	// keys of this cluster alone: Valkey is shared with other tests.
	first, second string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	const variable = "KEYSTILE_TEST_VALKEY"
	address := os.Getenv(variable)
	if address == "" {
		t.Fatal("no Valkey to test with: run make test, or set " + variable)
	}
	valkey := must(url.Parse(address))(t)
	postgres := must(url.Parse(storetest.PostgresURL(t)))(t)
	c := &cluster{postgres: newCable(t, postgres.Host), valkey: newCable(t, valkey.Host), direct: postgres.String()}
	postgres.Host = c.postgres.address

	dir := filepath.Join(t.TempDir(), "house")
	c.house = &house{t: t, dir: dir, config: filepath.Join(dir, "keystile.yaml")}
	c.want(0, "init", dir)
	text := fmt.Sprintf(`store: %q
shared: valkey://%s
master_key: file:master.key
routes:
  - match: {path: /things/**}
    upstream: %s
    accept: [api_key]
`, postgres, c.valkey.address, echo(t))
	check(t, os.WriteFile(c.config, []byte(text), 0o600))

	unique := strings.ToLower(rand.Text())
	c.first, c.second = "first-"+unique, "second-"+unique
	c.apply(0, fmt.Sprintf(`organizations: [{id: acme-%[1]s, name: Acme}]
api_keys:
  - {id: first_%[1]s, secret: first-%[1]s, organization: acme-%[1]s}
  - {id: second_%[1]s, secret: second-%[1]s, organization: acme-%[1]s}
  - {id: ten_%[1]s, secret: ten-%[1]s, organization: acme-%[1]s, limit: 10/1h}
  - {id: five_%[1]s, secret: five-%[1]s, organization: acme-%[1]s, limit: 5/1h}
`, unique))
	return c
}

func (c *cluster) id(secret string) string { return strings.Replace(secret, "-", "_", 1) }

// other is another of the cluster's keys: "ten" or "five", named for its limit.
func (c *cluster) other(name string) string { return strings.Replace(c.first, "first", name, 1) }

// part reads one part of /readyz.
func part(t *testing.T, body, name string) string {
	t.Helper()
	var answer struct {
		Parts map[string]string `json:"parts"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return answer.Parts[name]
}

// is waits until /readyz answers status with a part as it should be.
func (s *server) is(status int, name, state string) {
	s.t.Helper()
	eventually(s.t, func() error {
		got, body, err := s.get("/readyz", "")
		if err == nil && (got != status || part(s.t, body, name) != state) {
			err = fmt.Errorf("/readyz: %d %s", got, body)
		}
		return err
	})
}

// drawn is how many of n requests with a key are allowed; the rest must be limited.
func (s *server) drawn(key string, n int) (allowed int) {
	s.t.Helper()
	for range n {
		switch status, body, err := s.get("/things/a", key); {
		case err != nil || status != 200 && status != 429:
			s.t.Fatalf("%d %s %v", status, body, err)
		case status == 200:
			allowed++
		}
	}
	return allowed
}

func TestARevocationOnOneServerReachesTheOther(t *testing.T) {
	c := newCluster(t)
	one, two := c.serve(), c.serve()
	one.wants(200, "/things/a", c.first)
	two.wants(200, "/things/a", c.first)
	two.wants(200, "/things/a", c.second)

	token := c.adminToken()
	if status, body := one.post("/v1/keys/"+c.id(c.first)+"/revoke", token, ""); status != 200 {
		t.Fatalf("revoke: %d %s", status, body)
	}
	// At once where it was done, and without being told where it was not.
	one.wants(401, "/things/a", c.first)
	two.comes(401, "/things/a", c.first)
	two.wants(200, "/things/a", c.second)

	// By a command beside both.
	one.wants(200, "/things/a", c.second)
	c.want(0, "key", "revoke", c.id(c.second), "--yes")
	one.comes(401, "/things/a", c.second)
	two.comes(401, "/things/a", c.second)

	// One of the two may be killed: the other goes on, and the next one starts.
	check(t, one.Kill())
	two.wants(200, "/readyz", "")
	c.serve().wants(401, "/things/a", c.first)
	two.stop()
}

func TestServersThatKeepSharedStateInMemoryDoNotRunSideBySide(t *testing.T) {
	c := newCluster(t)
	one := c.serve()
	c.refusesToStart([]string{"--shared", "memory"}, fmt.Sprintf("pid %d", one.PID()), "keeps shared state in memory")
	one.wants(200, "/things/a", c.first)
}

func TestALimitHoldsOverBothServersAndOverEachAloneWhileValkeyIsAway(t *testing.T) {
	c := newCluster(t)
	one, two := c.serve(), c.serve()
	if n := one.drawn(c.other("ten"), 4) + two.drawn(c.other("ten"), 20) + one.drawn(c.other("ten"), 5); n != 10 {
		t.Errorf("a limit of 10 allowed %d requests over two servers", n)
	}
	one.is(200, "limits", "ok")

	c.valkey.cut()
	for _, s := range []*server{one, two} {
		if n := s.drawn(c.other("five"), 12); n != 5 {
			t.Errorf("a limit of 5 allowed %d requests on one server without Valkey", n)
		}
		// Degraded, and ready: it says so wherever one would look.
		s.is(200, "limits", "local")
		if text := s.wants(200, "/metrics", ""); !strings.Contains(text, "\nkeystile_limit_shared_down 1\n") {
			t.Error("the metrics do not tell")
		}
		if !strings.Contains(s.Stderr(), "the shared counters cannot be reached") {
			t.Errorf("the log does not tell:\n%s", s.Stderr())
		}
	}

	c.valkey.mend()
	for _, s := range []*server{one, two} {
		// A request under a limit finds out that Valkey answers again.
		eventually(t, func() error {
			s.drawn(c.other("five"), 1)
			_, body, err := s.get("/readyz", "")
			if err == nil && part(t, body, "limits") != "ok" {
				err = fmt.Errorf("limits are still counted here: %s", body)
			}
			return err
		})
		if n := s.drawn(c.other("ten"), 3); n != 0 {
			t.Errorf("%d requests over what was counted before the outage", n)
		}
		if text := s.wants(200, "/metrics", ""); !strings.Contains(text, "\nkeystile_limit_shared_down 0\n") {
			t.Error("the metrics do not tell that it is over")
		}
	}
}

func TestWhilePostgreSQLIsAwayWarmKeysAreServedAndNothingElse(t *testing.T) {
	c := newCluster(t)
	s := c.serve()
	token := c.adminToken()
	s.wants(200, "/things/a", c.first)
	s.is(200, "store", "ok")

	c.postgres.cut()
	s.is(503, "store", "away")
	s.wants(200, "/things/a", c.first)
	s.wants(503, "/things/a", c.second)
	s.wants(503, "/things/a", "nobody-0123456789abcdef-key")
	s.wants(200, "/healthz", "")
	if status, body := s.post("/v1/keys", token, `{"organization":"acme"}`); status != 503 {
		t.Errorf("POST /v1/keys: %d %s", status, body)
	}
	if a := c.want(1, "key", "list"); !strings.Contains(a.stderr, "cannot be reached") || !strings.Contains(a.stderr, c.postgres.address) {
		t.Errorf("key list: %s", a.stderr)
	}
	c.refusesToStart(nil, "cannot be reached")

	c.postgres.mend()
	s.is(200, "store", "ok")
	s.comes(200, "/things/a", c.second)
	s.wants(200, "/things/a", c.first)
	c.want(0, "key", "revoke", c.id(c.first), "--yes")
	s.comes(401, "/things/a", c.first)
	s.stop()
}

func TestAServerEndsCleanlyWhilePostgreSQLIsAway(t *testing.T) {
	c := newCluster(t)
	s := c.serve()
	s.wants(200, "/things/a", c.first)
	c.postgres.cut()
	s.is(503, "store", "away")
	s.stop()
}

// loseLease takes the servers' leases away, as their lapse does.
func (c *cluster) loseLease() {
	c.t.Helper()
	db := must(sql.Open("pgx", c.direct))(c.t)
	_, err := db.ExecContext(c.t.Context(), "DELETE FROM server_leases")
	check(c.t, errors.Join(err, db.Close()))
}

func TestAServerThatSharesItsCountsOutlivesItsLeaseAndTakesItAgain(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := c.serve()
	s.wants(200, "/things/a", c.first)
	c.loseLease()
	check(t, s.Eventually(t.Context(), func() error {
		if !strings.Contains(s.Stderr(), "the lease on the store was taken again") {
			return errors.New("the lease was not taken again")
		}
		return nil
	}))
	s.is(200, "lease", "ok")
	s.wants(200, "/things/a", c.first)
	s.stop()
}

func TestAServerThatCountsInItsOwnMemoryEndsWithItsLease(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := c.serve("--shared", "memory")
	s.wants(200, "/things/a", c.first)
	c.loseLease()
	if status := must(s.Wait(t.Context()))(t); status != 1 || !strings.Contains(s.Stderr(), "another server may be running, so this one ends") {
		t.Errorf("it ended with %d\n%s", status, s.Stderr())
	}
}

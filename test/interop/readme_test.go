package interop

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// The README's way to an API of one's own, command by command.
func TestTheREADMELeadsToAProtectedAPI(t *testing.T) {
	const readme = "../../README.md" // seen from the pages
	dir, err := os.MkdirTemp("", "keystile-readme-")
	if err != nil {
		t.Fatal(err)
	}
	teardown.add(func() error { return os.RemoveAll(dir) }) // after the server in it has ended
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(dir, "bin/keystile")); err != nil {
		t.Fatal(err)
	}
	s := &site{name: "readme", dir: dir}
	commands, err := blockWith(readme, "start", "make build\n", "")
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.shell(commands)
	if err != nil {
		t.Fatal(err)
	}
	key, err := lastKey(out)
	if err != nil {
		t.Fatal(err)
	}
	if s.api, err = startAPI(); err != nil {
		t.Fatal(err)
	}
	if s.keystile, err = freeAddress(); err != nil {
		t.Fatal(err)
	}
	routes, err := blockWith(readme, "routes", "127.0.0.1:9000", s.api.address())
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "keystile-data/keystile.yaml")
	starter, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, append(starter, routes...), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := start(dir, binary, "serve", "--config", config, "--listen", s.keystile)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path, key string) (status int, err error) {
		r, err := http.NewRequest(http.MethodGet, "http://"+s.keystile+path, nil)
		if err != nil {
			return 0, err
		}
		if key != "" {
			r.Header.Set("X-Api-Key", key)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err
		}
		return answer.StatusCode, answer.Body.Close()
	}
	if err := p.ready(func() error { _, err := get("/readyz", ""); return err }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, key string
		want      int
	}{{pathNorth, key.Secret, http.StatusOK}, {pathNorth, "", http.StatusUnauthorized}, {pathSouth, key.Secret, http.StatusForbidden}} {
		if status, err := get(c.path, c.key); err != nil || status != c.want {
			t.Errorf("%s: %d %v, want %d", c.path, status, err, c.want)
		}
	}
	if n := len(s.api.take()); n != 1 {
		t.Errorf("%d requests reached the API, not one", n)
	}
}

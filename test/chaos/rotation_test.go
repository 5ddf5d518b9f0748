package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"keystile.dev/keystile/test/e2e/program"
	"keystile.dev/keystile/test/people"
)

// fetchWith asks for a URL with an Authorization field.
func fetchWith(ctx context.Context, url, token string) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, errors.Join(err, response.Body.Close())
}

// peopleHouse is a house whose route takes session tokens, and who mints them.
func peopleHouse(t *testing.T) (*house, *people.Issuer) {
	t.Helper()
	const publicURL = "http://auth.example.com"
	dir := filepath.Join(t.TempDir(), "house")
	h := &house{t: t, dir: dir, config: filepath.Join(dir, "keystile.yaml")}
	h.want(0, "init", dir)
	text := fmt.Sprintf(`public_url: %s
store: sqlite:keystile.db
master_key: file:master.key
routes:
  - match: {path: /things/**}
    same_origin: true
    upstream: %s
    accept: [session_jwt]
    scopes: ["things:read"]
`, publicURL, echo(t))
	check(t, os.WriteFile(h.config, []byte(text), 0o600))
	h.apply(0, `organizations: [{id: acme, name: Acme}]
roles: [{id: role_analyst, scopes: ["things:read"]}]
`)
	issuer := must(people.Open(t.Context(), "sqlite:"+filepath.Join(dir, "keystile.db"), "file:"+filepath.Join(dir, "master.key"), publicURL))(t)
	t.Cleanup(func() { check(t, issuer.Close()) })
	return h, issuer
}

// Tokens of every key are used without a pause while keys are rotated beside the
// running server, each new one signing at once: the hardest way to rotate.
func TestRotatingTokenKeysUnderLoadFailsNoRequest(t *testing.T) {
	h, issuer := peopleHouse(t)
	signedIn := must(issuer.SignIn(t.Context(), "acme", "role_analyst", 8))(t)
	s := h.serve()

	var answered atomic.Int64
	var rotated atomic.Bool
	var wg sync.WaitGroup
	for i, p := range signedIn {
		wg.Go(func() {
			var tokens []string
			for n := 0; !rotated.Load(); n++ {
				mint := issuer.Standard
				if (i+n)%2 == 0 {
					mint = issuer.Ona
				}
				fresh, err := mint(t.Context(), p)
				if err != nil {
					t.Error(err)
					return
				}
				tokens = append(tokens, fresh)
				// The newest token, and one of the first keys'.
				for _, token := range []string{fresh, tokens[n/2]} {
					status, err := fetchWith(t.Context(), s.url+"/things/a", token)
					if err != nil || status != 200 {
						t.Errorf("%d %v after %d requests", status, err, answered.Load())
						return
					}
					answered.Add(1)
				}
			}
		})
	}
	rotate := func(args ...string) {
		before := answered.Load()
		h.want(0, append([]string{"token-key", "rotate", "--ahead", "0s"}, args...)...)
		issuer.KeysChanged()
		// Not before the new key has been used: the next one would hide it.
		eventually(t, func() error {
			if n := answered.Load(); n < before+100 && !t.Failed() {
				return fmt.Errorf("only %d requests since the rotation", n-before)
			}
			return nil
		})
	}
	for range 5 {
		rotate()
		rotate("--algorithm", "HS256")
	}
	rotate("--algorithm", "HS256", "--organization", "acme")
	rotated.Store(true)
	wg.Wait()
	t.Logf("%d requests were answered", answered.Load())
}

func TestThreat27_ATokenOfASessionThatAnotherProcessEndedIsRefusedWithinASecond(t *testing.T) {
	h, issuer := peopleHouse(t)
	p := must(issuer.SignIn(t.Context(), "acme", "role_analyst", 1))(t)[0]
	s := h.serve()
	token := must(issuer.Ona(t.Context(), p))(t)
	if status, err := fetchWith(t.Context(), s.url+"/things/a", token); err != nil || status != 200 {
		t.Fatal(status, err)
	}
	check(t, issuer.SignOut(t.Context(), p))
	eventually(t, func() error {
		if status, err := fetchWith(t.Context(), s.url+"/things/a", token); err != nil || status != 401 {
			return fmt.Errorf("%d %w", status, err)
		}
		return nil
	})
}

// sealingWorld is a state file of n signing keys, whose secrets are sealed.
func sealingWorld(n int) string {
	var b strings.Builder
	b.WriteString(world + "signing_keys:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {id: sig_%05d, organization: acme, algorithm: HS256, api_key: sig_%05d, secret: %040d}\n", i, i, i)
	}
	return b.String()
}

func TestKill9DuringARotationOfTheMasterKeyIsGoneOnWithByTheSameCommand(t *testing.T) {
	h := newHouse(t, echo(t), "")
	h.apply(0, sealingWorld(5000))
	s := h.serve()
	db := h.raw()
	sealingKeys := func() (n int, err error) {
		err = db.QueryRowContext(t.Context(), "SELECT count(DISTINCT substr(sealed_secret, 1, 5)) FROM signing_keys").Scan(&n)
		return n, err
	}
	next := filepath.Join(h.dir, "next.key")
	rotate := []string{"master-key", "rotate", "--to", "file:" + next, "-o", "json"}
	p := must(program.Start(t.Context(), program.Command{Argv: append([]string{binary}, append(rotate, "--config", h.config)...)}))(t)
	t.Cleanup(func() { check(t, p.Kill()) })
	check(t, p.Eventually(t.Context(), func() error {
		if n, err := sealingKeys(); err != nil || n < 2 {
			return fmt.Errorf("%d sealing keys are in use: %w", n, err)
		}
		return nil
	}))
	check(t, p.Kill())
	if n := must(sealingKeys())(t); n != 2 {
		t.Fatalf("it was killed too late: %d sealing keys are in use", n)
	}
	s.wants(200, "/things/a", goodKey)

	var done struct{ Resealed int64 }
	check(t, json.Unmarshal([]byte(h.want(0, rotate...).stdout), &done))
	if done.Resealed == 0 || done.Resealed >= 5000 {
		t.Errorf("the second run sealed %d values again", done.Resealed)
	}
	text := must(os.ReadFile(h.config))(t)
	check(t, os.WriteFile(h.config, bytes.Replace(text, []byte("file:master.key"), []byte("file:next.key"), 1), 0o600))
	check(t, s.Signal(syscall.SIGHUP))
	h.want(0, "sign", "--key", "sig_00001") // in the middle of it, with both keys
	h.want(0, "master-key", "retire", "--yes")
	check(t, os.Remove(filepath.Join(h.dir, "master.key")))
	s.wants(200, "/things/a", otherKey)
	s.stop()
	s = h.serve()
	s.wants(200, "/things/a", goodKey)
	if out := h.want(0, "master-key", "show", "-o", "json").stdout; !strings.Contains(out, `"sealed_before": {}`) {
		t.Errorf("values are left under the old sealing key: %s", out)
	}
}

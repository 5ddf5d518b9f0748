package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

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

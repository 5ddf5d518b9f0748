package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	flowClient   = "load-flow"
	flowCallback = "https://app.example.com/cb"
	// flowPeople is how many browsers are at it at a time.
	flowPeople = 8
)

// flowState is people with a password and a client that they sign in to.
func flowState() string {
	var people strings.Builder
	for i := range flowPeople {
		fmt.Fprintf(&people, "  - {username: %s, password: correct horse battery, organization: load, role_id: role_reader}\n", flowPerson(i))
	}
	return "roles: [{id: role_reader, scopes: [\"sites:*\"]}]\nusers:\n" + people.String() +
		"applications:\n  - {id: 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c, name: Roofs, kind: backend, environment: production, organization: load, review: approved, oauth: {client_id: " + flowClient +
		", client_secret: " + oauthSecret + ", redirect_uris: [\"" + flowCallback + "\"], grant_types: [authorization_code, refresh_token], scopes: [openid, profile, email, \"sites:read\"]}}\n"
}

func flowPerson(i int) string { return fmt.Sprintf("person%d@example.com", i) }

// codeFlows measures the authorization code flow with PKCE of people who are signed in
// and said yes before: from the request for a code to the answer with an access token, a
// refresh token and an ID token. No password is hashed meanwhile.
func (b *bench) codeFlows(ctx context.Context) error {
	worlds, err := b.engines(ctx, "flow")
	if err != nil {
		return err
	}
	for _, engine := range []string{"SQLite", "PostgreSQL"} {
		w := worlds[engine]
		if w == nil {
			continue
		}
		if err := b.makeWorld(ctx, w, nowhere); err != nil {
			return err
		}
		if err := b.applyState(ctx, w, flowState()); err != nil {
			return err
		}
		server, err := b.serve(ctx, w)
		if err != nil {
			return err
		}
		if err := b.codeFlowsOn(ctx, server, engine); err != nil {
			return err
		}
		if err := b.stopAll(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) codeFlowsOn(ctx context.Context, server *process, engine string) error {
	b.note("signing %d people in, %s", flowPeople, engine)
	browsers := make([]*browser, flowPeople)
	for i := range browsers {
		var err error
		if browsers[i], err = newBrowser(ctx, server.address, flowPerson(i)); err != nil {
			return err
		}
	}
	b.note("code flows of %d people at a time, %s", flowPeople, engine)
	if _, err := flowsOf(ctx, browsers, b.duration); err != nil { // connections, prepared statements
		return err
	}
	before, err := server.cpu()
	if err != nil {
		return err
	}
	times, err := flowsOf(ctx, browsers, time.Duration(b.rounds)*b.duration)
	if err != nil {
		return err
	}
	after, err := server.cpu()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("code flow, %d people at a time, %s", flowPeople, engine)
	b.report.figure(fmt.Sprintf("%s, median of %d", what, len(times)), median(times), "ms", "")
	b.report.figure(what+", p99", percentile(times, 0.99), "ms", "50")
	b.report.figure(what+", longest", slices.Max(times), "ms", "")
	b.report.figure(what+", CPU of the server each", float64(after-before)/float64(time.Microsecond)/float64(len(times)), "µs", "")
	return nil
}

// flowsOf has every browser go through flows, one after the other, for a while, and
// returns how long each took in milliseconds.
func flowsOf(ctx context.Context, browsers []*browser, d time.Duration) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute+d)
	defer cancel()
	times, errs := make([][]float64, len(browsers)), make([]error, len(browsers))
	var wg sync.WaitGroup
	for i, one := range browsers {
		wg.Go(func() {
			for began := time.Now(); time.Since(began) < d; {
				at := time.Now()
				if errs[i] = one.flow(ctx); errs[i] != nil {
					return
				}
				times[i] = append(times[i], milliseconds(time.Since(at)))
			}
		})
	}
	wg.Wait()
	return slices.Concat(times...), errors.Join(errs...)
}

// browser is somebody who is signed in, and the client's server that they are led to.
type browser struct {
	origin string
	http   *http.Client
}

// formToken is what Keystile's forms carry against other sites.
var formToken = regexp.MustCompile(`name="token" value="([^"]*)"`)

// newBrowser signs somebody in and has them say yes to the client.
func newBrowser(ctx context.Context, address, username string) (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	one := &browser{origin: "http://" + address, http: &http.Client{
		Jar: jar, Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	_, _, err = one.send(ctx, http.MethodPost, "/login", url.Values{"username": {username}, "password": {"correct horse battery"}})
	if err != nil {
		return nil, err
	}
	asked := authorization("any").Encode()
	page, _, err := one.send(ctx, http.MethodGet, "/oauth/authorize?"+asked, nil)
	if err != nil {
		return nil, err
	}
	found := formToken.FindSubmatch(page)
	if found == nil {
		return nil, fmt.Errorf("%s is not asked for consent: %s", username, page)
	}
	_, to, err := one.send(ctx, http.MethodPost, "/oauth/consent", url.Values{"token": {string(found[1])}, "request": {asked}, "decision": {"allow"}})
	if err != nil {
		return nil, err
	}
	_, err = codeOf(to)
	return one, err
}

// authorization is the request of the client, with PKCE's verifier.
func authorization(verifier string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	return url.Values{
		"response_type": {"code"}, "client_id": {flowClient}, "redirect_uri": {flowCallback}, "scope": {"openid email sites:read"}, "state": {"xyz"}, "nonce": {"n-1"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
}

func codeOf(location string) (string, error) {
	u, err := url.Parse(location)
	if err != nil {
		return "", err
	}
	code := u.Query().Get("code")
	if code == "" {
		return "", fmt.Errorf("no code came back: %s", location)
	}
	return code, nil
}

// flow asks for a code and redeems it.
func (one *browser) flow(ctx context.Context) error {
	verifier := rand.Text() + rand.Text()
	_, to, err := one.send(ctx, http.MethodGet, "/oauth/authorize?"+authorization(verifier).Encode(), nil)
	if err != nil {
		return err
	}
	code, err := codeOf(to)
	if err != nil {
		return err
	}
	body, _, err := one.send(ctx, http.MethodPost, "/oauth/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {flowCallback}, "code_verifier": {verifier}, "client_id": {flowClient}, "client_secret": {oauthSecret},
	})
	if err != nil {
		return err
	}
	var given struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		IDToken      string `json:"id_token"`
	}
	if err := json.Unmarshal(body, &given); err != nil {
		return err
	}
	if given.AccessToken == "" || given.RefreshToken == "" || given.IDToken == "" {
		return errors.New("a token is missing")
	}
	return nil
}

// send sends one request: its answer is a body, or leads on.
func (one *browser) send(ctx context.Context, method, path string, form url.Values) (body []byte, to string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, one.origin+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, "", err
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", one.origin)
	}
	answer, err := one.http.Do(r)
	if err != nil {
		return nil, "", err
	}
	body, err = io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, "", err
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return nil, "", fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, body)
	}
	return body, answer.Header.Get("Location"), nil
}

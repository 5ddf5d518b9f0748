package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// oauthSecret has 256 bits, in hexadecimal digits, as the platform's clients have them.
	oauthSecret = "7d6f1c2b3a4958677d6f1c2b3a4958677d6f1c2b3a4958677d6f1c2b3a495867"
	// oauthClients is how many clients the requests are spread over.
	oauthClients = 200
	// oauthTokens is how many tokens introspection is asked about.
	oauthTokens = 2000
	// The bare handler of the machine that the bounds were set on costs 7.9 µs: 120 and 250 µs
	// in multiples of it.
	goalSQLite, goalPostgres = 15.2, 31.6
)

// oauthState is clients, of which every one gets tokens of its own in a format.
func oauthState(format string) string {
	var clients strings.Builder
	for i := range oauthClients {
		fmt.Fprintf(&clients, "  - {id: 5c8b1f6e-0d0a-4c36-9a3c-%012d, name: Batch %d, kind: backend, environment: production, organization: load, review: approved, oauth: {client_id: load-%d, client_secret: %s, grant_types: [client_credentials], scopes: [\"sites:read\", \"telemetry:read\"], token_format: %s}}\n",
			i, i, i, oauthSecret, format)
	}
	return "applications:\n" + clients.String()
}

// formRequest is a POST of a form.
func formRequest(path string, form url.Values) []byte {
	body := form.Encode()
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		path, len(body), body)
}

// asClient is a request of one of the clients.
func asClient(path string, i int, form url.Values) []byte {
	form.Set("client_id", fmt.Sprintf("load-%d", i))
	form.Set("client_secret", oauthSecret)
	return formRequest(path, form)
}

// oauth compares client_credentials and introspection with a bare handler that receives
// the same bytes and answers the same, on SQLite and on PostgreSQL.
func (b *bench) oauth(ctx context.Context) error {
	worlds, err := b.engines(ctx, "oauth")
	if err != nil {
		return err
	}
	for _, engine := range []struct {
		name string
		goal float64
	}{{"SQLite", goalSQLite}, {"PostgreSQL", goalPostgres}} {
		w := worlds[engine.name]
		if w == nil {
			continue
		}
		if err := b.makeWorld(ctx, w, nowhere); err != nil {
			return err
		}
		for _, format := range []string{"opaque", "jwt"} {
			if err := b.applyState(ctx, w, oauthState(format)); err != nil {
				return err
			}
			if err := b.clientTokens(ctx, w, engine.name, format, engine.goal); err != nil {
				return err
			}
		}
	}
	return nil
}

// applyState applies a state to a world.
func (b *bench) applyState(ctx context.Context, w *world, text string) error {
	file := filepath.Join(w.dir, "state.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	_, err := b.keystile(ctx, "apply", "-f", file, "--config", w.config(), "--yes")
	return err
}

// clientTokens measures the server on a world whose clients get tokens in one format.
func (b *bench) clientTokens(ctx context.Context, w *world, engine, format string, goal float64) error {
	server, err := b.serve(ctx, w)
	if err != nil {
		return err
	}
	issues := make(requests, oauthClients)
	for i := range issues {
		issues[i] = asClient("/oauth/token", i, url.Values{"grant_type": {"client_credentials"}, "scope": {"sites:read"}})
	}
	var questions requests
	for i := range oauthTokens {
		_, body, err := onceWhole(server.address, issues[i%oauthClients])
		if err != nil {
			return err
		}
		var given struct {
			AccessToken string `json:"access_token"`
		}
		if err := json.Unmarshal(body, &given); err != nil {
			return err
		}
		questions = append(questions, asClient("/oauth/introspect", i%oauthClients, url.Values{"token": {given.AccessToken}}))
	}
	b.note("comparing introspection of %s tokens with a bare handler, %s", format, engine)
	if err := b.besideBare(ctx, server, fmt.Sprintf("introspection, warm %s token, %s", format, engine), questions, 2); err != nil {
		return err
	}
	if format == "jwt" {
		if err := b.issuing(ctx, server, engine, issues, goal); err != nil {
			return err
		}
	}
	return b.stopAll()
}

// issuing compares client_credentials with a bare handler. The audit events of tokens are
// written a moment later, mostly within the measurement; what is left of them when it ends
// is a figure of its own.
func (b *bench) issuing(ctx context.Context, server *process, engine string, all requests, goal float64) error {
	b.note("comparing client_credentials with a bare handler, %s", engine)
	what := "client_credentials, EdDSA at+jwt, " + engine
	if err := b.besideBare(ctx, server, what, all, goal); err != nil {
		return err
	}
	rounds := float64(b.rounds+1) * b.duration.Seconds()
	issued := rounds * b.report.Comparisons[len(b.report.Comparisons)-1].PerSecond
	before, err := server.cpu()
	if err != nil {
		return err
	}
	if err := b.settle(ctx, server); err != nil {
		return err
	}
	after, err := server.cpu()
	b.report.figure(what+": CPU of audit events that were left at the end, for each token", float64(after-before)/float64(time.Microsecond)/issued, "µs", "")
	return err
}

// besideBare compares requests with a bare handler that gives the first one's answer.
func (b *bench) besideBare(ctx context.Context, server *process, name string, all requests, goal float64) error {
	fields, body, err := onceWhole(server.address, all[0])
	if err != nil {
		return err
	}
	answer, err := copyable(fields)
	if err != nil {
		return err
	}
	bare, err := b.role(ctx, roleBare, answer, bodyVariable+"="+string(body))
	if err != nil {
		return err
	}
	if err := errors.Join(b.warm(ctx, server, all), b.settle(ctx, server)); err != nil {
		return err
	}
	err = b.compare(ctx, goal, subject{name: "bare handler", server: bare, requests: all}, subject{name: name, server: server, requests: all})
	return errors.Join(err, bare.stop())
}

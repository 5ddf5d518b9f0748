package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
)

// page is what is run.
const page = "../../docs/sign-in-with-keystile.md"

// sample is the blocks of one section of the page.
type sample struct {
	// create is the block that makes its client; empty: the client of the page's beginning.
	create string
	// run are the blocks of each language, one after the other.
	run map[string]string
}

var (
	section = regexp.MustCompile(`(?m)^## (.+)$`)
	block   = regexp.MustCompile("(?ms)^ *```(\\w+)\n(.*?)^ *```$")
)

// readPage divides the page into its sections.
func readPage(t *testing.T) map[string]sample {
	t.Helper()
	text := string(must(os.ReadFile(page))(t))
	heads := section.FindAllStringSubmatchIndex(text, -1)
	samples := map[string]sample{}
	for i, head := range heads {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		s := sample{run: map[string]string{}}
		for _, b := range block.FindAllStringSubmatch(text[head[1]:end], -1) {
			if strings.HasPrefix(b[2], "keystile client create ") {
				s.create = b[2]
				continue
			}
			if b[1] != "apache" && b[1] != "yaml" { // test/browser runs the one; the server is started with the other
				s.run[b[1]] += b[2]
			}
		}
		if s.create != "" || len(s.run) > 0 {
			samples[text[head[2]:head[3]]] = s
		}
	}
	return samples
}

// shell runs a block where the server's configuration is.
func (p *person) shell(t *testing.T, text string, variables ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", text)
	cmd.Dir, cmd.Env = house, environment(variables...)
	return p.converse(t, cmd)
}

// places puts this server where the page has an example's, and a client's credentials
// where a program has them.
func places(c registered) *strings.Replacer {
	return strings.NewReplacer("https://auth.example.com:8443", certified, "https://auth.example.com", origin, "https://api.example.com", apis, `"CLIENT_ID"`, `"`+c.ID+`"`, `"CLIENT_SECRET"`, `"`+c.Secret+`"`, "'CLIENT_ID'", "'"+c.ID+"'", "'CLIENT_SECRET'", "'"+c.Secret+"'")
}

// show are the words that a section has to bring about.
var show = map[string][]string{
	"The flow, with curl":                                 {`"token_type":"Bearer"`, `"id_token":"`, `"email":"ann@example.com"`, `"preferred_username":"ann@example.com"`, "Central Station", `"refresh_token":"or_`},
	"Without a user":                                      {`"token_type":"Bearer"`, `"scope":"sites:read"`},
	"Without a browser":                                   {`"token_type":"Bearer"`, `"id_token":"`},
	"A service that calls another one":                    {`"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"`},
	"Another provider's token":                            {`"access_token":"`, `"issued_token_type":"`},
	"A client with a certificate":                         {`"token_type":"Bearer"`, `"scope":"sites:read"`},
	"A user of your identity provider, without a browser": {`"token_type":"Bearer"`, `"scope":"sites:read"`},
	"Asking about tokens, and ending them":                {`"active":true`},
	"Python, Authlib":                                     {"Ann Archer", "Central Station"},
	"JavaScript, openid-client":                           {"Ann Archer", "Central Station"},
	"Go, golang.org/x/oauth2":                             {"ann@example.com", "Central Station"},
}

func TestEverySampleOfThePageWorksAsItStands(t *testing.T) {
	samples := readPage(t)
	p := newPerson(t)
	client := readClient(t, p.shell(t, samples["Register a client"].create))
	delete(samples, "Register a client")
	if len(client.ID) != 64 || len(client.Secret) != 64 {
		t.Errorf("the credentials are %d and %d characters", len(client.ID), len(client.Secret))
	}
	for name, s := range samples {
		t.Run(name, func(t *testing.T) {
			p, c := newPerson(t), client
			if s.create != "" {
				c = readClient(t, p.shell(t, s.create))
			}
			said := ""
			for language, text := range s.run {
				said += p.runSample(t, name, language, text, c)
			}
			if len(show[name]) == 0 {
				t.Error("nothing says what this section shows")
			}
			for _, words := range show[name] {
				if !strings.Contains(said, words) {
					t.Errorf("it does not show %s:\n%s", words, said)
				}
			}
		})
	}
	for name := range show {
		if _, ok := samples[name]; !ok {
			t.Errorf("the page has no section %q", name)
		}
	}
}

// runSample runs the blocks of one language in a section.
func (p *person) runSample(t *testing.T, name, language, text string, c registered) string {
	t.Helper()
	text = places(c).Replace(text)
	switch language {
	case "sh":
		return p.shell(t, text, "CLIENT_ID="+c.ID, "CLIENT_SECRET="+c.Secret, "ACCESS_TOKEN="+p.accessToken(t, name, c), "ID_TOKEN="+providersToken(t, "keystile"), "ASSERTION="+providersToken(t, origin))
	case "python":
		file := filepath.Join(t.TempDir(), "sample.py")
		check(t, os.WriteFile(file, []byte(text), 0o600))
		cmd := exec.CommandContext(t.Context(), python(t), file)
		cmd.Env = environment()
		return p.converse(t, cmd)
	case "js":
		return p.converse(t, node(t, "sample.mjs", text))
	case "go":
		dir := t.TempDir()
		check(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(text), 0o600))
		must(command(t.Context(), ".", "go", "build", "-o", filepath.Join(dir, "sample"), filepath.Join(dir, "main.go")))(t)
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "sample"))
		cmd.Env = environment()
		return p.converse(t, cmd)
	}
	t.Fatalf("nothing runs a block of %s", language)
	return ""
}

// accessToken is what a section presents that is not about how it was got.
func (p *person) accessToken(t *testing.T, section string, c registered) string {
	t.Helper()
	switch section {
	case "Asking about tokens, and ending them":
		return p.tokens(t, c).AccessToken
	case "A service that calls another one": // one that another client called it with
		caller := register(t, "--redirect-uri", callback, "--scope", "sites:read", "--audience", "https://reports.example.com")
		return p.tokens(t, caller, oauth2.SetAuthURLParam("resource", "https://reports.example.com")).AccessToken
	}
	return ""
}

// providersToken is what the identity provider says of Bob, to an audience.
func providersToken(t *testing.T, audience string) string {
	t.Helper()
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(providerSecret)}, nil))(t)
	now := time.Now()
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": "https://sso.example.com", "aud": audience, "sub": "bob-1", "email": "bob@example.com", "email_verified": true, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}).Serialize()
	return must(token, err)(t)
}

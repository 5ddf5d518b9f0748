package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"keystile.dev/keystile/test/e2e/program"
)

// demonstration is a running demo.
type demonstration struct {
	t       *testing.T
	process *program.Process
	url     string
	// commands are the printed ones by the heading above them.
	commands map[string][]string
	text     string
}

func startDemo(t *testing.T, dir string) *demonstration {
	t.Helper()
	listen := must(program.FreeAddress(t.Context()))(t)
	p := must(program.Start(t.Context(), program.Command{Dir: filepath.Dir(dir), Argv: []string{binary, "demo", "--listen", listen, "--data", dir}}))(t)
	t.Cleanup(func() { check(t, p.Kill()) })
	check(t, p.Eventually(t.Context(), func() error {
		if !strings.Contains(p.Stdout(), "Ctrl-C ends the demo") {
			return errors.New("the demo has not printed its commands")
		}
		return nil
	}))
	d := &demonstration{t: t, process: p, url: "http://" + listen, commands: map[string][]string{}, text: p.Stdout()}
	heading := ""
	for line := range strings.Lines(d.text) {
		line = strings.TrimSuffix(line, "\n")
		if title, ok := strings.CutPrefix(line, "# "); ok {
			heading = title
		}
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			d.commands[heading] = append(d.commands[heading], command)
		}
	}
	return d
}

// under returns the commands below the one heading that holds words.
func (d *demonstration) under(words string) []string {
	d.t.Helper()
	for heading, commands := range d.commands {
		if strings.Contains(heading, words) {
			return commands
		}
	}
	d.t.Fatalf("no heading holds %q:\n%s", words, d.text)
	return nil
}

// paste runs a command as a person does, in bash, in the directory of the demo.
func (d *demonstration) paste(command string) string {
	d.t.Helper()
	cmd := exec.CommandContext(d.t.Context(), "bash", "-c", command)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		d.t.Errorf("%s: %v\n%s%s", command, err, out, stderr.String())
	}
	return string(out)
}

func (d *demonstration) stop() {
	d.t.Helper()
	check(d.t, d.process.Signal(syscall.SIGINT))
	if status := must(d.process.Wait(d.t.Context()))(d.t); status != 0 {
		d.t.Errorf("Ctrl-C: status %d\n%s", status, d.process.Stderr())
	}
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return value
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// records decodes an answer of the telemetry API and counts its records.
func (d *demonstration) records(body string) int {
	d.t.Helper()
	var answer struct {
		Records []struct {
			Asset string `json:"asset_id"`
			Site  string `json:"site_id"`
		} `json:"records"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		d.t.Fatalf("no JSON records: %v\n%.500s", err, body)
	}
	for _, r := range answer.Records {
		if r.Asset != "INV-1000000054495190" || r.Site != "Sibaya" {
			d.t.Errorf("a record of %s at %s was not asked for", r.Asset, r.Site)
		}
	}
	return len(answer.Records)
}

func TestEveryCommandOfTheDemoShowsWhatItsHeadingSays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "world")
	d := startDemo(t, dir)
	// Half a day at five minutes, the last one in or out.
	if n := d.records(d.paste(d.under("through the gateway")[0])); n < 144 || n > 145 {
		t.Errorf("the first command shows %d records", n)
	}
	refused := d.under("401: no key, a wrong key, an expired key")
	if len(refused) != 3 {
		t.Errorf("%d commands below the heading of 401", len(refused))
	}
	for _, command := range refused {
		wantAnswer(t, command, d.paste(command), " 401 ", `{"error":"Unauthorized"}`)
	}
	for _, command := range d.under("403") {
		wantAnswer(t, command, d.paste(command), " 403 ", `{"error":"Access denied"}`)
	}
	for _, command := range d.under("429") {
		// The last two of 61: the 60th passed, the 61st did not.
		lines := regexp.MustCompile(`(?m) (\d{3})$`).FindAllStringSubmatch(d.paste(command), -1)
		if len(lines) != 2 || lines[0][1] != "200" || lines[1][1] != "429" {
			t.Errorf("%s: the last answers are %q", command, lines)
		}
		limited := d.paste(strings.Replace(regexp.MustCompile(`curl .*?data-period\?site_id=Sibaya"`).FindString(command), "curl -s", "curl -s -i", 1))
		wantAnswer(t, "the 62nd request", limited, " 429 ", "Retry-After: ", `{"error":"Too many requests"}`)
	}
	d.people()
	for _, command := range d.under("Why would a request be refused?") {
		wantAnswer(t, command, d.paste(command), "refused: resource_not_permitted (403)")
	}
	own := d.under("A key of your own")
	wantAnswer(t, own[0], d.paste(own[0]), "Secret, shown only now")
	wantAnswer(t, own[1], d.paste(own[1]), "mine", "key_sibaya", "key_expired", "expired")
	for _, command := range d.under("The management API") {
		wantAnswer(t, command, d.paste(command), `"key_sibaya"`)
	}
	pasted := 0
	for heading, commands := range d.commands {
		pasted += len(commands)
		for _, command := range commands {
			if strings.HasSuffix(command, `\`) || regexp.MustCompile(`[^%]\{[a-z_]+\}`).MatchString(command) {
				t.Errorf("below %q: %s", heading, command)
			}
		}
	}
	if pasted < 20 {
		t.Errorf("only %d commands were printed", pasted)
	}
	d.stop()
}

// people pastes what is printed about people who sign in.
func (d *demonstration) people() {
	d.t.Helper()
	for heading, words := range map[string][][]string{
		"A person signs in": {
			{`"message":"Login successful"`, `"user_id":"user_`, `"role_name":"Analyst"`},
			{`"customer_ids":["cust-1"]`, `"INV-1000000054495190"`, `"expires_in":`},
		},
		"After a logout":                        {{"Logout successful", " 401 ", `{"error":"Unauthorized"}`}},
		"A person with a second factor":         {{`"message":"Login successful"`, `"username":"mfa@example.com"`}},
		"A person who has to enrol":             {{`"mfa_required":true`, `"mfa_enrollment":true`, `otpauth://totp/`}},
		"The same over AWS Lambda Invoke":       {{`{"statusCode":200,`, `\"message\":\"Login successful\"`}},
		"What a key may do":                     {{`{"valid":true,"permitted_site_ids":["Sibaya"]}`}},
		"OAuth 2.0: a program with client cred": {{`"Central Station"`}},
		"The same without a browser: sign-in,":  {{`"email":"tracker@example.com"`, `"Central Station"`, `"active":true`}},
		"An MCP server stands behind the gatew": {{" 401 ", `resource_metadata="`, `"authorization_servers":["`, `"registration_endpoint":"`}},
		"Aurora: a partner's application":       {{`{"token":{"bearer_token":"tk_test_`, ` UTC"}}`}},
		"The temporary key reads that":          {{`"Hillside 12"`, " 404 ", `"code":"not_found"`}},
		"An embedded application":               {{`<h1>Roof Viewer</h1>`, `Hillside 12`, `0b9d1a52-5a8a-4b8e-9a55-7d3c2e1f0a01`}},
		"NAO: a session by password shows the":  {{`"auth_token":"`, `"jwt":"`}, {`"Central Station"`}, {`"Central Station"`, `"type":"user"`, " 401 ", `"errors"`}},
		"The partner's server is told": {
			{`"verified":"msg_`, `"type":"app_status_changed"`, `"status":"disabled"`, `"tenant_id":"0b9d1a52-5a8a-4b8e-9a55-7d3c2e1f0a01"`},
			{`"verified":"msg_`, `"type":"app_status_changed"`, `"status":"enabled"`, `"session_token":"…"`},
		},
	} {
		commands := d.under(heading)
		if len(commands) != len(words) {
			d.t.Errorf("%d commands below %q", len(commands), heading)
			continue
		}
		for i, command := range commands {
			wantAnswer(d.t, command, d.paste(command), words[i]...)
		}
	}
}

func wantAnswer(t *testing.T, command, got string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(strings.ToLower(got), strings.ToLower(word)) {
			t.Errorf("%s\nshows no %q:\n%s", command, word, got)
		}
	}
}

func TestADemoStartsAgainWhereItWasWithTheSameSecretsAndShowsItsTokenOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "world")
	first := startDemo(t, dir)
	command := first.under("through the gateway")[0]
	if !strings.Contains(first.text, "kadm_") {
		t.Error("the first start shows no admin token")
	}
	first.stop()

	second := startDemo(t, dir)
	again := second.under("through the gateway")[0]
	if strings.ReplaceAll(again, second.url, "") != strings.ReplaceAll(command, first.url, "") {
		t.Errorf("the second start shows other commands:\n%s\n%s", command, again)
	}
	if second.records(second.paste(again)) == 0 {
		t.Error("the second start shows no records")
	}
	if strings.Contains(second.text, "kadm_") {
		t.Error("the first admin token is shown again")
	}
	another := second.paste(second.under("Another one")[0])
	token := regexp.MustCompile(`kadm_\w+`).FindString(another)
	if token == "" {
		t.Fatalf("no token: %s", another)
	}
	wantAnswer(t, "the new token", second.paste(`curl -s -H "Authorization: Bearer `+token+`" `+second.url+"/v1/organizations"), "sibaya-power")
	second.stop()

	// Another directory is another world with secrets of its own.
	other := startDemo(t, filepath.Join(t.TempDir(), "world"))
	key := regexp.MustCompile(`opa_prod_\w+`)
	if k := key.FindString(other.under("through the gateway")[0]); k == "" || k == key.FindString(command) {
		t.Errorf("two data directories share the key %s", k)
	}
	other.stop()

	// serve never runs on a demo's store.
	p := must(program.Start(t.Context(), program.Command{Argv: []string{binary, "serve", "--config", filepath.Join(dir, "keystile.yaml")}}))(t)
	t.Cleanup(func() { check(t, p.Kill()) })
	if status := must(p.Wait(t.Context()))(t); status != 1 || !strings.Contains(p.Stderr(), "keystile demo") || !strings.Contains(p.Stderr(), "keystile init DIR") {
		t.Errorf("serve on a demo store: status %d\n%s", status, p.Stderr())
	}
}

func TestADemoIsForThisMachineAndItsOwnDirectory(t *testing.T) {
	house := filepath.Join(t.TempDir(), "house")
	if out, err := exec.CommandContext(t.Context(), binary, "init", house).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	fresh := filepath.Join(t.TempDir(), "fresh")
	for _, c := range []struct {
		args   []string
		status int
		words  string
	}{
		{[]string{"--listen", "0.0.0.0:0", "--data", fresh}, 2, "--expose"},
		{[]string{"--listen", "[::]:0", "--data", fresh}, 2, "--expose"},
		{[]string{"--listen", ":8080", "--data", fresh}, 2, "--expose"},
		{[]string{"--listen", "192.0.2.1:8080", "--data", fresh}, 2, "--expose"},
		{[]string{"--listen", "example.com:8080", "--data", fresh}, 2, "--expose"},
		{[]string{"--listen", "nonsense", "--data", fresh}, 2, "HOST:PORT"},
		{[]string{"--listen", "127.0.0.1:0", "--data", house}, 1, "the demo did not make"},
	} {
		p := must(program.Start(t.Context(), program.Command{Argv: append([]string{binary, "demo"}, c.args...)}))(t)
		t.Cleanup(func() { check(t, p.Kill()) })
		if status := must(p.Wait(t.Context()))(t); status != c.status || !strings.Contains(p.Stderr(), c.words) {
			t.Errorf("demo %q: status %d, want %d\n%s", c.args, status, c.status, p.Stderr())
		}
	}
	if _, err := os.Stat(fresh); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused demo left its directory: %v", err)
	}
}

func TestTheDemoMayBeExposedOnPurpose(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "world")
	address := must(program.FreeAddress(t.Context()))(t)
	listen := "0.0.0.0" + address[strings.LastIndexByte(address, ':'):]
	p := must(program.Start(t.Context(), program.Command{Argv: []string{binary, "demo", "--expose", "--listen", listen, "--data", dir}}))(t)
	t.Cleanup(func() { check(t, p.Kill()) })
	must(p.Listening(t.Context()))(t)
	for _, name := range []string{"demo-secrets.json", "master.key", "keystile.db"} {
		info := must(os.Stat(filepath.Join(dir, name)))(t)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

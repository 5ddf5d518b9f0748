package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"keystile.dev/keystile/test/e2e/program"
)

// guide is a page of docs whose commands lead through something.
type guide struct {
	// steps are its blocks of commands, in their order, each with what the page shows below it.
	steps []step
	// files are its blocks of programs, by name.
	files map[string]string
}

type step struct{ commands, shown string }

var fence = regexp.MustCompile("(?ms)^```(\\S+)(?: (\\S+))?\n(.*?)^```$")

func readGuide(t *testing.T, page string) guide {
	t.Helper()
	text := must(os.ReadFile(filepath.Join("../../docs", page)))(t)
	g := guide{files: map[string]string{}}
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		kind, name, body := m[1], m[2], m[3]
		switch {
		case kind == "sh" && name == "step":
			g.steps = append(g.steps, step{commands: body})
		case (kind == "json" || kind == "text") && len(g.steps) > 0:
			g.steps[len(g.steps)-1].shown = body
		case kind == "python":
			g.files[name] = body
		case kind == "sh" && name == "start" && strings.TrimSpace(body) == "keystile demo":
		default:
			t.Fatalf("%s: nothing runs the block %s %s", page, kind, name)
		}
	}
	if len(g.steps) == 0 {
		t.Fatalf("%s has no steps", page)
	}
	return g
}

// between divides the output of the steps.
const between = "=== next step ==="

// follow runs the steps of a page in one shell, in the directory of a demo, as a
// person does who pastes one after the other, and returns what each showed.
func (g guide) follow(t *testing.T, dir string, places *strings.Replacer) []string {
	t.Helper()
	for name, body := range g.files {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(places.Replace(body)), 0o600))
	}
	var script strings.Builder
	for _, s := range g.steps {
		script.WriteString(places.Replace(s.commands) + "\necho; echo '" + between + "'\n")
		if strings.Contains(s.commands, "& VIEWER=$!") { // a person reads on meanwhile
			script.WriteString(places.Replace("until curl -s -o /dev/null http://127.0.0.1:9100/; do sleep 0.1; done\n"))
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script.String())
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, stderr.String())
	}
	return strings.Split(string(out), between)
}

// changing is what is another one each time.
var changing = regexp.MustCompile(`tk_test_[0-9a-f]{24}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`)

func TestEveryCommandOfTheGuidesToPartnerApplicationsShowsWhatThePageSays(t *testing.T) {
	for _, page := range []string{"build-a-backend-app.md", "build-an-embedded-app.md"} {
		t.Run(page, func(t *testing.T) {
			g, dir := readGuide(t, page), t.TempDir()
			d := startDemo(t, filepath.Join(dir, "keystile-demo"))
			viewer := must(program.FreeAddress(t.Context()))(t)
			places := strings.NewReplacer("127.0.0.1:8080", strings.TrimPrefix(d.url, "http://"), "127.0.0.1:9100", viewer, `("127.0.0.1", 9100)`, `("127.0.0.1", `+viewer[strings.LastIndexByte(viewer, ':')+1:]+`)`)
			said := g.follow(t, dir, places)
			for i, s := range g.steps {
				for line := range strings.Lines(s.shown) {
					// JSON is shown in part: each of its members has to be there.
					line = changing.ReplaceAllString(strings.TrimSpace(line), "…")
					for _, part := range strings.Split(strings.Trim(line, "{}"), ",") {
						if !strings.Contains(changing.ReplaceAllString(said[i], "…"), part) {
							t.Errorf("%s\nshows no %s:\n%s", s.commands, part, said[i])
						}
					}
				}
			}
			if page == "build-a-backend-app.md" {
				wantAnswer(t, "the first steps", said[0]+said[1], "the application is ", "the key begins with ak_test_")
			}
			d.stop()
		})
	}
}

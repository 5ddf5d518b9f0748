package docs

import (
	"bufio"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// walk calls visit with the path of each file of the repository that ends in suffix.
func walk(t *testing.T, suffix string, visit func(name string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "bin" || entry.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !entry.IsDir() && strings.HasSuffix(path, suffix) {
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			visit(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

var (
	update   = flag.Bool("update", false, "rewrite the lists of tests in docs/security.md")
	declared = regexp.MustCompile(`(?m)^func (TestThreat0*(\d+)\w*)`)
	section  = regexp.MustCompile(`(?m)^## (\d+)\. .*$`)
	item     = regexp.MustCompile("(?m)^- `[^`]+` TestThreat.*\\n")
)

// threatTests are the lines of docs/security.md that name tests, by row.
func threatTests(t *testing.T) map[string][]string {
	tests := map[string][]string{}
	walk(t, "_test.go", func(name string) {
		for _, match := range declared.FindAllStringSubmatch(read(t, name), -1) {
			tests[match[2]] = append(tests[match[2]], "- `"+filepath.ToSlash(filepath.Dir(name))+"` "+match[1]+"\n")
		}
	})
	for row := range tests {
		slices.Sort(tests[row])
	}
	return tests
}

func TestEveryThreatTestIsListed(t *testing.T) {
	const page = "docs/security.md"
	have := read(t, page)
	tests := threatTests(t)
	var want strings.Builder
	at := 0
	starts := section.FindAllStringSubmatchIndex(have, -1)
	for i, start := range starts {
		end := len(have)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		} else if last := strings.Index(have[start[1]:], "\n## "); last >= 0 {
			end = start[1] + last + 1
		}
		row := have[start[2]:start[3]]
		want.WriteString(have[at:start[0]])
		want.WriteString(strings.TrimRight(item.ReplaceAllString(have[start[0]:end], ""), "\n") + "\n\n")
		if list := strings.Join(tests[row], ""); list != "" {
			want.WriteString(list + "\n")
		}
		delete(tests, row)
		at = end
	}
	want.WriteString(have[at:])
	for row, list := range tests {
		t.Errorf("%s has no section for row %s, which is tested: %q", page, row, list)
	}
	if *update {
		if err := os.WriteFile(filepath.Join(root, page), []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(have, want.String()); diff != "" {
		t.Errorf("go test ./test/docs -update (-page +code):\n%s", diff)
	}
}

func TestEveryDirectDependencyHasItsReason(t *testing.T) {
	page := read(t, "docs/decisions/dependencies.md")
	direct := 0
	for line := range strings.Lines(read(t, "go.mod")) {
		fields := strings.Fields(line)
		if len(fields) != 2 || !strings.HasPrefix(line, "\t") {
			continue // not a requirement, or an indirect one
		}
		direct++
		if module := fields[0]; !strings.Contains(page, "`"+module+"`") {
			t.Errorf("docs/decisions/dependencies.md says nothing of %s", module)
		}
	}
	if direct == 0 || direct > 30 {
		t.Errorf("%d direct dependencies; at most 30", direct)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]+)?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

func TestEveryLinkBetweenPagesLeadsSomewhere(t *testing.T) {
	walk(t, ".md", func(name string) {
		for _, match := range link.FindAllStringSubmatch(read(t, name), -1) {
			target, anchor := match[1], strings.TrimPrefix(match[2], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := filepath.Join(filepath.Dir(name), target)
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s: %s: %v", name, target, err)
			} else if anchor != "" && !slices.Contains(anchors(read(t, file)), anchor) {
				t.Errorf("%s: %s has no heading #%s", name, target, anchor)
			}
		}
	})
}

// anchors are the headings of a page as links name them.
func anchors(page string) []string {
	var all []string
	for _, match := range heading.FindAllStringSubmatch(page, -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ' || r == '-':
				return '-'
			case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_':
				return r
			}
			return -1
		}, strings.ToLower(match[1]))
		all = append(all, name)
	}
	return all
}

func TestNoPageNamesThePlaceItWasWrittenAt(t *testing.T) {
	places := regexp.MustCompile(`(^|[\s"'=(])/(work|root|home/[a-z]+)/`)
	walk(t, ".md", func(name string) {
		lines := bufio.NewScanner(strings.NewReader(read(t, name)))
		for n := 1; lines.Scan(); n++ {
			if places.MatchString(lines.Text()) {
				t.Errorf("%s:%d: %s", name, n, lines.Text())
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	})
}

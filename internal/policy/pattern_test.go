package policy

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustPattern(t interface {
	Helper()
	Fatalf(string, ...any)
}, text string,
) pattern {
	t.Helper()
	p, problem := parsePattern(text)
	if problem != nil {
		t.Fatalf("parsePattern(%q): %v", text, problem)
	}
	return p
}

func TestPatternsTakeWhatTheirTextSays(t *testing.T) {
	for pattern, paths := range map[string]struct{ yes, no string }{
		"/":                {"/", "/a /a/"},
		"/a":               {"/a", "/ /A /a/ /ab /a/b"},
		"/a/":              {"/a/", "/a /a/b"},
		"/**":              {"/ /a /a/ /a/b/c", ""},
		"/telemetry/**":    {"/telemetry /telemetry/ /telemetry/x/y", "/telemetryx /x/telemetry /"},
		"/a/*":             {"/a/b", "/a /a/ /a/b/ /a/b/c"},
		"/*/b":             {"/a/b", "/b /a/c /a/x/b"},
		"/a-*":             {"/a-x /a-x-y", "/a- /a /a-/ /a-x/y"},
		"/x.*":             {"/x.json", "/x. /x"},
		"/*.json":          {"/a.json /a.b.json", "/.json /a.jsonl"},
		"/a-*-*.json":      {"/a-b-c.json /a-b-c-d.json", "/a-b.json /a--.json /a-b-.json"},
		"/**/b":            {"/b /a/b /a/x/b /b/b", "/a /b/ /b/c"},
		"/**/b/**":         {"/b /a/b /a/b/c/d /b/", "/a /ab"},
		"/a/**/b/*/c":      {"/a/b/x/c /a/b/b/x/c /a/x/b/y/c /a/b/b/b/c", "/a/b/c /a/b/x/d"},
		"/**/x/**/y":       {"/x/y /a/x/b/y /x/x/y/y", "/y/x /x"},
		"/café/*":          {"/café/é", "/cafe/x"},
		"/v1/*/settings/*": {"/v1/a/settings/b", "/v1/a/settings/ /v1//settings/b"},
	} {
		p := mustPattern(t, pattern)
		for _, path := range strings.Fields(paths.yes) {
			if !p.match(path) {
				t.Errorf("%s does not take %s", pattern, path)
			}
		}
		for _, path := range strings.Fields(paths.no) {
			if p.match(path) {
				t.Errorf("%s takes %s", pattern, path)
			}
		}
	}
}

func TestWildcardsAreCapturedFromTheLeft(t *testing.T) {
	for _, tc := range []struct {
		pattern, path string
		want          []string
	}{
		{"/sites/*", "/sites/Sibaya", []string{"Sibaya"}},
		{"/sites/*/x/*", "/sites/A/x/B", []string{"A", "B"}},
		{"/**", "/", []string{""}},
		{"/**", "/a/b", []string{"a/b"}},
		{"/a/**", "/a", []string{""}},
		{"/a/**", "/a/", []string{""}},
		{"/a/**", "/a/b/c", []string{"b/c"}},
		{"/**/x/*", "/a/b/x/c", []string{"a/b", "c"}},
		{"/**/x/*", "/x/c", []string{"", "c"}},
		{"/**/x/**", "/a/x/x/b", []string{"a", "x/b"}},
		{"/f-*-*.json/**", "/f-a-b-c.json/d", []string{"a", "b-c", "d"}},
		{"/*/**/b", "/a/x/y/b", []string{"a", "x/y"}},
	} {
		p := mustPattern(t, tc.pattern)
		for i, want := range tc.want {
			if got, ok := p.capture(tc.path, i+1); got != want || !ok {
				t.Errorf("%s on %s: path.%d = %q, %v; want %q", tc.pattern, tc.path, i+1, got, ok, want)
			}
		}
		for _, n := range []int{0, -1, len(tc.want) + 1} {
			if got, ok := p.capture(tc.path, n); ok {
				t.Errorf("%s on %s: path.%d = %q, want none", tc.pattern, tc.path, n, got)
			}
		}
	}
}

func TestPatternsThatCannotBeMeantAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no path":                     "",
		"no leading slash":            "a/b",
		"an empty segment":            "/a//b",
		"a dot segment":               "/a/./b",
		"a parent segment":            "/a/../b",
		"a query":                     "/a?b=*",
		"a fragment":                  "/a#b",
		"a semicolon":                 "/a;b",
		"a backslash":                 `/a\b`,
		"a percent-encoding":          "/a%20b",
		"braces":                      "/sites/{id}",
		"** with text":                "/a**",
		"text before **":              "/**.json",
		"three stars":                 "/***",
		"** twice in a row":           "/**/**",
		"a control character":         "/a\nb",
		"text that is no UTF-8":       "/a\xff",
		"more wildcards than counted": strings.Repeat("/*", maxWildcards+1),
		"more segments than counted":  strings.Repeat("/a", maxSegments+1),
		"a pattern beyond its size":   "/" + strings.Repeat("a", maxPattern),
	} {
		if _, problem := parsePattern(text); problem == nil || problem.Remedy == "" {
			t.Errorf("%s: %.40q is accepted, or refused without a remedy", name, text)
		}
	}
}

// drawPattern makes small patterns over a small alphabet, so that two of them
// are often related.
func drawPattern(t *rapid.T, label string) string {
	segments := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "*", "**", "a*", "*b", "a*b", "*a*"}), 0, 4).Draw(t, label)
	var kept []string
	for i, s := range segments {
		if s != "**" || i == 0 || segments[i-1] != "**" {
			kept = append(kept, s)
		}
	}
	text := "/" + strings.Join(kept, "/")
	if text != "/" && rapid.IntRange(0, 9).Draw(t, label+" slash") == 0 {
		text += "/"
	}
	return text
}

func drawPlainPath(t *rapid.T) string {
	segments := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "aab", "abb", "ba", "c", "bab"}), 0, 5).Draw(t, "segments")
	path := "/" + strings.Join(segments, "/")
	if path != "/" && rapid.IntRange(0, 4).Draw(t, "slash") == 0 {
		path += "/"
	}
	return path
}

// asRegexp says the same as a pattern in another language.
func asRegexp(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`^`)
	for _, s := range strings.Split(pattern[1:], "/") {
		switch s {
		case "**":
			b.WriteString(`(?:/[^/]*)*`)
		case "*":
			b.WriteString(`/[^/]+`)
		default:
			b.WriteString(`/` + strings.ReplaceAll(regexp.QuoteMeta(s), `\*`, `[^/]+`))
		}
	}
	return regexp.MustCompile(b.String() + `$`)
}

func TestPatternsAgreeWithRegularExpressions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, path := drawPattern(t, "pattern"), drawPlainPath(t)
		p := mustPattern(t, text)
		if got, want := p.match(path), asRegexp(text).MatchString(path); got != want {
			t.Fatalf("%s takes %s: %v, the regular expression says %v", text, path, got, want)
		}
	})
}

func TestACaptureIsWhatStandsInThePath(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, path := drawPattern(t, "pattern"), drawPlainPath(t)
		p := mustPattern(t, text)
		if !p.match(path) {
			t.Skip("no match")
		}
		built, at := "", 0
		for _, s := range strings.Split(text[1:], "/") {
			parts := strings.Split(strings.ReplaceAll(s, "**", "*"), "*")
			piece := parts[0]
			for _, part := range parts[1:] {
				at++
				took, ok := p.capture(path, at)
				if !ok {
					t.Fatalf("%s on %s: no path.%d", text, path, at)
				}
				piece += took + part
			}
			if s != "**" || piece != "" {
				built += "/" + piece
			}
		}
		// A "**" that took nothing and one that took the final slash look alike.
		if built != path && built+"/" != path {
			t.Fatalf("%s on %s: the captures make %s", text, path, built)
		}
	})
}

func TestOverlapAndCoverAgreeWithMatching(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		textP, textQ, path := drawPattern(t, "p"), drawPattern(t, "q"), drawPlainPath(t)
		p, q := mustPattern(t, textP), mustPattern(t, textQ)
		inP, inQ := p.match(path), q.match(path)
		if inP && inQ && !p.overlaps(&q) {
			t.Fatalf("%s and %s both take %s but are said to be apart", textP, textQ, path)
		}
		if p.covers(&q) && inQ && !inP {
			t.Fatalf("%s is said to cover %s but does not take %s", textP, textQ, path)
		}
		if p.overlaps(&q) != q.overlaps(&p) {
			t.Fatalf("overlap of %s and %s is not symmetric", textP, textQ)
		}
		if p.covers(&q) && !p.overlaps(&q) {
			t.Fatalf("%s covers %s without overlapping it", textP, textQ)
		}
		if !p.covers(&p) {
			t.Fatalf("%s does not cover itself", textP)
		}
		r := mustPattern(t, drawPattern(t, "r"))
		if p.covers(&q) && q.covers(&r) && !p.covers(&r) {
			t.Fatalf("cover is not transitive")
		}
	})
}

func TestPatternRelations(t *testing.T) {
	for _, tc := range []struct {
		p, q                    string
		overlap, pOverQ, qOverP bool
	}{
		{"/a", "/a", true, true, true},
		{"/a", "/b", false, false, false},
		{"/a", "/a/", false, false, false},
		{"/**", "/a", true, true, false},
		{"/a/**", "/a", true, true, false},
		{"/a/**", "/a/*", true, true, false},
		{"/a/*", "/*/b", true, false, false},
		{"/api/**", "/**/admin", true, false, false},
		{"/api/**/admin", "/api/**", true, false, true},
		{"/api/**/admin", "/**/admin", true, false, true},
		{"/a-*", "/a-b*", true, true, false},
		{"/a*", "/*b", true, false, false},
		{"/a*", "/b*", false, false, false},
		{"/*", "/", false, false, false},
		{"/**", "/", true, true, false},
		{"/**/x/b", "/**/b", true, false, true},
		{"/*/**", "/**", true, false, true},
		{"/v1/**", "/v1", true, true, false},
	} {
		p, q := mustPattern(t, tc.p), mustPattern(t, tc.q)
		if got := p.overlaps(&q); got != tc.overlap {
			t.Errorf("%s overlaps %s: %v", tc.p, tc.q, got)
		}
		if got := p.covers(&q); got != tc.pOverQ {
			t.Errorf("%s covers %s: %v", tc.p, tc.q, got)
		}
		if got := q.covers(&p); got != tc.qOverP {
			t.Errorf("%s covers %s: %v", tc.q, tc.p, got)
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"/", "/**", "/a/*/b", "/a-*-b", "/**/a/**/b", "/a//", "/***", "/{x}"} {
		f.Add(s, "/a/b/c")
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		p, problem := parsePattern(text)
		if problem != nil {
			return
		}
		decoded, bad := checkPath(path)
		if bad != "" {
			return
		}
		if got, want := p.match(decoded), asRegexp(text).MatchString(decoded); got != want {
			t.Fatalf("%q takes %q: %v, the regular expression says %v", text, decoded, got, want)
		}
		for n := 1; n <= p.wildcards && p.match(decoded); n++ {
			if _, ok := p.capture(decoded, n); !ok {
				t.Fatalf("%q on %q: no path.%d", text, decoded, n)
			}
		}
	})
}

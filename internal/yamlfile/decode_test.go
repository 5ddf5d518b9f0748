package yamlfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	keystile "keystile.dev/keystile"
)

const good = `
# a comment
name: "on"
mode: off
count: 0o17
big: 0x10
on: true
wait: 90s
until: 2027-01-01T02:00:00+02:00
room: 64KiB
secret: 's: #1'
networks: [10.0.0.0/8, 192.0.2.7, "2001:db8::/32"]
words: [red]
one_or: alone
labels: {a: "1", b: yes, c: 017}
inner: {public_url: https://a}
maybe:
  public_url: 42
  depth: 010
items:
  public_url: x
free: {n: 1, t: true, s: "1", l: [~, no], d: 1.5}
rate: 60/m
`

func decodeGood(t *testing.T, text string) (sample, *Positions) {
	t.Helper()
	var s sample
	SetDefaults(&s)
	positions, err := Decode("good.yaml", []byte(text), &s)
	if err != nil {
		t.Fatal(err)
	}
	return s, positions
}

func TestAGoodFileIsReadByTheCoreSchemaOfYAML12(t *testing.T) {
	got, _ := decodeGood(t, good)
	if got.Rate.rate.String() != "60/1m" {
		t.Errorf("rate is %s", got.Rate.rate)
	}
	got.Rate = rateText{}
	want := sample{
		Name: "on", Mode: "off", Count: 15, Big: 16, On: true, Wait: 90 * time.Second,
		Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), Room: 64 << 10, Secret: "s: #1",
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/32")},
		Words:    []string{"red"}, OneOr: []string{"alone"},
		Labels: map[string]string{"a": "1", "b": "yes", "c": "017"},
		Inner:  inner{PublicURL: "https://a", Depth: 3},
		Maybe:  &inner{PublicURL: "42", Depth: 10},
		Items:  []inner{{PublicURL: "x", Depth: 3}},
		Free:   map[string]any{"n": int64(1), "t": true, "s": "1", "l": []any{nil, "no"}, "d": "1.5"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(rateText{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestQuotesMakeNoDifferenceToText(t *testing.T) {
	plain, _ := decodeGood(t, "name: off\nmode: off\nwait: 60s\nlabels: {a: no}")
	quoted, _ := decodeGood(t, "name: \"off\"\nmode: 'off'\nwait: \"60s\"\nlabels: {\"a\": 'no'}")
	if !reflect.DeepEqual(plain, quoted) {
		t.Errorf("%+v is not %+v", plain, quoted)
	}
}

func TestWhatAFileLeavesOutKeepsItsDefault(t *testing.T) {
	got, _ := decodeGood(t, "name: x")
	if got.Mode != "off" || got.Count != 7 || got.Wait != time.Minute || got.Inner.Depth != 3 || got.Maybe != nil {
		t.Errorf("defaults are missing: %+v", got)
	}
}

func TestAByteOrderMarkIsSkipped(t *testing.T) {
	if got, _ := decodeGood(t, "\ufeffname: x\n"); got.Name != "x" {
		t.Errorf("name is %q", got.Name)
	}
}

func TestPositionsNameTheLineOfEachValue(t *testing.T) {
	_, positions := decodeGood(t, "name: x\nitems:\n  - public_url: a\n    list:\n      - one\n      - two\n  - public_url: b\none_or: z\nlabels:\n  k: v\n")
	for path, line := range map[string]int{
		"name": 1, "items[0].public_url": 3, "items[0].list[1]": 6, "items[1].public_url": 7, "items[1]": 7,
		"one_or": 8, "one_or[0]": 8, "labels.k": 10, "": 1,
		"items[0].depth": 3, "items[7].depth": 2, "nothing": 1, "items[x]": 2,
	} {
		if got := positions.Line(path); got != line {
			t.Errorf("%s is on line %d, not %d", path, line, got)
		}
	}
	if !positions.Has("items[0].list") || positions.Has("items[0].depth") || (*Positions)(nil).Has("x") {
		t.Error("Has is wrong about what the file holds")
	}
}

func TestThreat33ProblemsNeverRepeatTheValueOfASecret(t *testing.T) {
	for _, text := range []string{
		"secret: [hunter2]", "secret: {hunter2: x, hunter2: y}", "secret: *hunter2", "secret: !hunter2", "secret: &a hunter2\nx: *a",
		"name: [*hunter2]", "secret: \"hunter2", "secret: hunter2: x", "items: {secret: hunter2}",
	} {
		var s sample
		_, err := Decode("f.yaml", []byte(text), &s)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestFilesThatAreNoTextAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"name: x\nmode: \x01":      "f:2: syntax: holds the control character U+0001",
		"name: \xff":               "f:1: syntax: is not UTF-8",
		"\xff\xfen\x00a\x00":       "f:1: syntax: is not UTF-8",
		strings.Repeat("[", 1<<15): "f:1: syntax: ",
	} {
		var s sample
		if _, err := Decode("f", []byte(text), &s); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestThreat37HostileFilesCauseBoundedWork(t *testing.T) {
	for text, want := range map[string]string{
		"free: " + strings.Repeat("[", 1000) + strings.Repeat("]", 1000): "is nested more than 32 levels deep",
		"count: 1\n" + strings.Repeat("? [\"x\"]\n: 1\n", 5000):          "there are more problems from here on",
	} {
		var s sample
		_, err := Decode("f", []byte(text), &s)
		problems, _ := ProblemsOf(err)
		if len(problems) > maxProblems+1 || !strings.Contains(err.Error(), want) {
			t.Errorf("%d problems: %.300v", len(problems), err)
		}
	}
}

func TestFilesOverTheLimitAreRefusedBeforeParsing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(file, []byte("name: "+strings.Repeat("x", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file, 106); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	var problems Problems
	if _, err := Read(file, 105); !errors.As(err, &problems) || problems[0].Line != 1 {
		t.Errorf("over the limit: %v", err)
	}
	if _, err := Read(file+".absent", 105); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
	var s sample
	if _, err := Decode("f", make([]byte, MaxState+1), &s); !errors.As(err, &problems) {
		t.Errorf("Decode over the limit: %v", err)
	}
}

func TestTextFromAVariableOrFlagSetsAFieldByItsPath(t *testing.T) {
	var s sample
	SetDefaults(&s)
	for path, text := range map[string]string{
		"name": "a: [b", "count": "9", "on": "true", "wait": "2h", "networks": "10.0.0.0/8, ::1", "words": "[red, green]",
		"one_or": ",/prod", "maybe.public_url": "x", "items": "[{public_url: q}]", "labels": "{a: b}", "secret": "!@#*", "rate": "1/s",
	} {
		if err := SetText("VAR", &s, path, text); err != nil {
			t.Error(err)
		}
	}
	if s.Name != "a: [b" || s.Count != 9 || !s.On || s.Wait != 2*time.Hour || len(s.Networks) != 2 || len(s.Words) != 2 ||
		!reflect.DeepEqual(s.OneOr, []string{"", "/prod"}) || s.Maybe.PublicURL != "x" || s.Maybe.Depth != 3 ||
		s.Items[0].Depth != 3 || s.Labels["a"] != "b" || s.Secret != keystile.Secret("!@#*") || s.Rate.rate.Requests != 1 {
		t.Errorf("%+v", s)
	}
	if err := SetText("VAR", &s, "items", ""); err != nil || len(s.Items) != 0 {
		t.Errorf("emptied list: %v %v", s.Items, err)
	}
	if err := SetText("VAR", &s, "words", ""); err != nil || len(s.Words) != 0 {
		t.Errorf("emptied list: %v %v", s.Words, err)
	}
	for path, text := range map[string]string{"count": "x", "items": "[{public: q}]", "nope": "1", "words": "red,blue", "items[0]": "x", "labels": "{"} {
		err := SetText("VAR", &s, path, text)
		if err == nil || !strings.HasPrefix(err.Error(), "VAR: "+path+": ") {
			t.Errorf("%s=%s: %v", path, text, err)
		}
	}
}

func TestSuggestionsFindTheNameThatWasMeant(t *testing.T) {
	known := []string{"listen", "admin_listen", "public_url", "trusted_proxies", "tls"}
	for name, want := range map[string]string{
		"lisen": "listen", "Listen": "listen", "publicUrl": "public_url", "public-url": "public_url", "TLS": "tls",
		"trustedProxies": "trusted_proxies", "adminlisten": "admin_listen", "sesame": "", "": "", strings.Repeat("x", 1000): "",
	} {
		if got := Suggest(name, known); got != want {
			t.Errorf("%.20s: suggested %q, not %q", name, got, want)
		}
	}
}

func TestTheSchemaIsValidJSONAndNamesEveryField(t *testing.T) {
	raw, err := Schema(reflect.TypeFor[sample](), SchemaInfo{ID: "https://example.com/s.json", Title: "S", Description: "D"})
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Schema     string                    `json:"$schema"`
		Properties map[string]map[string]any `json:"properties"`
		Required   []string                  `json:"required"`
		Closed     *bool                     `json:"additionalProperties"`
	}
	if err := json.Unmarshal(raw, &schema); err != nil {
		t.Fatal(err)
	}
	if schema.Schema != "https://json-schema.org/draft/2020-12/schema" || schema.Closed == nil || *schema.Closed {
		t.Errorf("head: %+v", schema)
	}
	if !reflect.DeepEqual(schema.Required, []string{"name"}) {
		t.Errorf("required: %v", schema.Required)
	}
	for _, f := range Fields(reflect.TypeFor[sample]()) {
		if _, ok := schema.Properties[f.Name]; !ok {
			t.Errorf("%s is not in the schema", f.Name)
		}
	}
	if got := schema.Properties["count"]["default"]; got != float64(7) {
		t.Errorf("default of count: %v", got)
	}
	if got := schema.Properties["one_or"]["anyOf"]; got == nil {
		t.Error("a field that may stand without brackets is only a list in the schema")
	}
}

func TestWalkNamesFieldsInsideLists(t *testing.T) {
	var paths []string
	Walk(reflect.TypeFor[sample](), func(path string, f Field) {
		paths = append(paths, fmt.Sprintf("%s %t %s", path, f.IsGroup(), f.Kind()))
	})
	got := strings.Join(paths, "\n")
	for _, want := range []string{"items[].public_url false text", "maybe.depth false whole number", "mode false `off`, `files`, `dev`", "on false true or false", "wait false duration, 1s to 24h", "inner true mapping"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

// Text that needs care in YAML comes through unchanged when it is quoted as JSON.
func TestAnyQuotedTextComesThroughUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, 40, -1).Draw(t, "text")
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var s sample
		if _, err := Decode("f", []byte("name: "+string(quoted)), &s); err != nil {
			if checkBytes(quoted) == nil {
				t.Fatalf("%s: %v", quoted, err)
			}
			return
		}
		var want string
		if err := json.Unmarshal(quoted, &want); err != nil {
			t.Fatal(err)
		}
		if s.Name != want {
			t.Fatalf("%q became %q", want, s.Name)
		}
	})
}

func TestProblemsOfFindsThemInsideOtherErrors(t *testing.T) {
	p := Problem{File: "f", Line: 2, Field: "x", Problem: "is bad", Remedy: "mend it"}
	for _, err := range []error{p, Problems{p}, fmt.Errorf("load: %w", Problems{p})} {
		if got, ok := ProblemsOf(err); !ok || len(got) != 1 || got[0] != p {
			t.Errorf("%v: %v", err, got)
		}
	}
	if got, ok := ProblemsOf(os.ErrNotExist); ok {
		t.Errorf("an unrelated error is taken for problems: %v", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(good))
	for _, text := range []string{"", "name: x\nname: y", "a: &a [*a]", "name: |\n x\n", "{a: 1}}", "? [a]\n: b", "\xff\xfe", "---\n...\n---\n", "name: !!binary x", "items: [{}, [], ~]", "free: {<<: {a: 1}}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > MaxConfig {
			return
		}
		var s sample
		SetDefaults(&s)
		positions, err := Decode("f", data, &s)
		if err == nil {
			if s.Name == "" {
				t.Error("a required field is missing and nothing was said")
			}
			return
		}
		problems, ok := ProblemsOf(err)
		if !ok {
			t.Fatalf("not problems: %v", err)
		}
		for _, p := range problems {
			if p.File != "f" || p.Line < 1 || p.Field == "" || p.Problem == "" || strings.ContainsAny(p.Error(), "\n\r") {
				t.Errorf("a poor problem: %#v", p)
			}
		}
		positions.Line("items[0].public_url")
	})
}

func BenchmarkDecodeAHundredThousandObjects(b *testing.B) {
	var text strings.Builder
	text.WriteString("name: x\nitems:\n")
	for i := range 100_000 {
		fmt.Fprintf(&text, "  - public_url: https://%d.example.com\n    depth: %d\n    list: [a, b, c]\n", i, i)
	}
	data := []byte(text.String())
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var s sample
		if _, err := Decode("f", data, &s); err != nil {
			b.Fatal(err)
		}
	}
}

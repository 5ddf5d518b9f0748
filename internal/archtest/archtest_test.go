package archtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// moduleRoot is the folder of the module this test lies in.
func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above this test")
		}
		dir = filepath.Dir(dir)
	}
}

func TestTheHouseKeepsItsRules(t *testing.T) {
	house, err := readTree(os.DirFS(moduleRoot(t)))
	if err != nil {
		t.Fatal(err)
	}
	if house.module != "keystile.dev/keystile" || len(house.packages) < 10 {
		t.Fatalf("read %d packages of %q", len(house.packages), house.module)
	}
	for name, check := range rules {
		t.Run(name, func(t *testing.T) {
			broken := check(house)
			slices.Sort(broken)
			for _, b := range broken {
				t.Error(b)
			}
		})
	}
}

// good is a small house that keeps every rule. Its rooms are real names.
func good() fstest.MapFS {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	return fstest.MapFS{
		"go.mod":                              file("module keystile.dev/keystile\n\ngo 1.26\n"),
		"doc.go":                              file("// Package keystile is.\npackage keystile\n\nimport _ \"net/http\"\n"),
		"bin/tool.go":                         file("not Go at all"),
		"tools/lint/go.mod":                   file("module lint\n"),
		"tools/lint/x.go":                     file("not Go at all"),
		"internal/gate/doc.go":                file("// Package gate is.\npackage gate\n\nimport _ \"keystile.dev/keystile/internal/limit\"\n"),
		"internal/limit/doc.go":               file("// Package limit is.\npackage limit\n\nimport _ \"keystile.dev/keystile\"\n"),
		"internal/limit/a_test.go":            file("package limit\n\nimport _ \"keystile.dev/keystile/internal/limit/limittest\"\n\nfunc init() {}\n"),
		"internal/limit/limittest/doc.go":     file("// Package limittest is.\npackage limittest\n\nimport _ \"keystile.dev/keystile/internal/limit\"\n"),
		"internal/limit/testdata/a/b/c/d.go":  file("not Go at all"),
		"internal/dialect/doc.go":             file("// Package dialect is.\npackage dialect\n\nimport _ \"keystile.dev/keystile/internal/dialect/ona\"\n"),
		"internal/dialect/ona/doc.go":         file("// Package ona is.\npackage ona\n"),
		"internal/store/doc.go":               file("// Package store is.\npackage store\n\nimport sql \"database/sql\"\n\n// T is.\ntype T struct{ db *sql.DB }\n\nfunc (t *T) own() *sql.DB { return t.db }\n"),
		"internal/store/gen/q.go":             file("package gen\n\nfunc init() {}\n"),
		"internal/store/migrations/sqlite/1":  file("CREATE"),
		"cmd/keystile/main.go":                file("// Command keystile is.\npackage main\n\nimport _ \"keystile.dev/keystile/internal/gate\"\n\nfunc main() {}\n"),
		"examples/telemetry/generate/main.go": file("// Command generate is.\npackage main\n\nfunc main() {}\n"),
	}
}

// brokenRules reads a house and names the rules it breaks.
func brokenRules(t *testing.T, house fstest.MapFS) (names, details []string) {
	t.Helper()
	read, err := readTree(house)
	if err != nil {
		t.Fatal(err)
	}
	for name, check := range rules {
		if broken := check(read); len(broken) > 0 {
			names, details = append(names, name), append(details, broken...)
		}
	}
	return names, details
}

func TestAGoodHouseBreaksNoRule(t *testing.T) {
	if names, details := brokenRules(t, good()); len(names) > 0 {
		t.Errorf("%q: %q", names, details)
	}
}

func TestEachRuleNoticesWhenItIsBroken(t *testing.T) {
	const doors, ours = "rooms meet only through the doors listed", "keystile.dev/keystile"
	imports := func(pkg, path string) string {
		return "// Package " + pkg + " is.\npackage " + pkg + "\n\nimport _ \"" + path + "\"\n"
	}
	long := strings.Repeat("\n", maxFileLines)
	for _, c := range []struct{ what, rule, file, text string }{
		{"the vocabulary imports a module", doors, "doc.go", imports("keystile", "example.com/x")},
		{"the vocabulary imports a room", doors, "doc.go", imports("keystile", ours+"/internal/limit")},
		{"limit imports gate", doors, "internal/limit/doc.go", imports("limit", ours+"/internal/gate")},
		{"a dialect imports its room", doors, "internal/dialect/ona/doc.go", imports("ona", ours+"/internal/dialect")},
		{"a dialect imports another", doors, "internal/dialect/ona/doc.go", imports("ona", ours+"/internal/dialect/nao")},
		{"a room without a row", doors, "internal/new/doc.go", "// Package new is.\npackage new\n"},
		{"a room imports the program", doors, "internal/api/doc.go", imports("api", ours+"/cmd/keystile")},
		{"a room imports a suite", doors, "internal/limit/doc.go", imports("limit", ours+"/internal/limit/limittest")},
		{"the program imports a suite", doors, "cmd/keystile/main.go", imports("main", ours+"/internal/limit/limittest")},
		{"a suite goes beyond its room", doors, "internal/limit/limittest/doc.go", imports("limittest", ours+"/internal/store")},
		{"an example uses the inside", doors, "examples/telemetry/generate/main.go", imports("main", ours+"/internal/limit")},
		{"an init function", "no init functions", "internal/limit/x.go", "package limit\n\nfunc init() {}\n"},
		{"a framework", "no dependency-injection framework", "cmd/keystile/main.go", imports("main", "go.uber.org/fx/fxevent")},
		{
			"a writer in the gate", "no http.ResponseWriter behind the enforcement points", "internal/gate/x.go",
			"package gate\n\nimport web \"net/http\"\n\nfunc f(w web.ResponseWriter) {}\n",
		},
		{
			"a writer in a kind", "no http.ResponseWriter behind the enforcement points", "internal/credential/apikey/doc.go",
			"// Package apikey is.\npackage apikey\n\nimport \"net/http\"\n\ntype t struct{ w http.ResponseWriter }\n",
		},
		{"SQL in the API", "database/sql and its drivers stay inside the store", "internal/api/doc.go", imports("api", "database/sql")},
		{"a driver in the program", "database/sql and its drivers stay inside the store", "cmd/keystile/main.go", imports("main", "github.com/jackc/pgx/v5/stdlib")},
		{
			"the store returns a connection", "no SQL type leaves the store", "internal/store/x.go",
			"package store\n\nimport \"database/sql\"\n\nfunc (t *T) DB() *sql.DB { return t.db }\n",
		},
		{
			"the store takes a transaction", "no SQL type leaves the store", "internal/store/x.go",
			"package store\n\nimport \"database/sql\"\n\nfunc Use(tx *sql.Tx) {}\n",
		},
		{
			"the store has an open field", "no SQL type leaves the store", "internal/store/x.go",
			"package store\n\nimport \"database/sql\"\n\ntype Row struct{ Name sql.NullString }\n",
		},
		{
			"the store names an engine's type", "no SQL type leaves the store", "internal/store/x.go",
			"package store\n\nimport \"database/sql\"\n\ntype Conn = *sql.Conn\n",
		},
		{
			"the store takes a driver's type", "no SQL type leaves the store", "internal/store/x.go",
			"package store\n\nimport \"github.com/jackc/pgx/v5\"\n\nfunc (*T) Conn() *pgx.Conn { return nil }\n",
		},
		{
			"the store shares a variable", "no SQL type leaves the store", "internal/store/x.go",
			"package store\n\nimport \"database/sql\"\n\nvar Shared *sql.DB\n",
		},
		{"a folder named util", "packages are named after what they hold", "client/util/readme.txt", ""},
		{"a package named helpers", "packages are named after what they hold", "internal/limit/x.go", "package helpers\n"},
		{"a deep folder", "nothing is deeper than internal/room/kind", "internal/limit/memory/ring/readme.txt", ""},
		{"no package comment", "every package says what it is for", "internal/limit/doc.go", "package limit\n"},
		{"a long file", "files and functions stay short", "internal/limit/x.go", "package limit\n" + long},
		{"a long function", "files and functions stay short", "internal/limit/x.go", "package limit\n\nfunc f() {" + long[:maxFunctionLines] + "}\n"},
	} {
		t.Run(c.what, func(t *testing.T) {
			house := good()
			house[c.file] = &fstest.MapFile{Data: []byte(c.text)}
			names, details := brokenRules(t, house)
			if !slices.Contains(names, c.rule) {
				t.Errorf("%q did not notice; broken: %q %q", c.rule, names, details)
			}
			if len(names) != 1 {
				t.Errorf("broken: %q %q", names, details)
			}
		})
	}
}

func TestUnreadableSourceIsAnError(t *testing.T) {
	for what, change := range map[string]func(fstest.MapFS){
		"no module": func(house fstest.MapFS) { delete(house, "go.mod") },
		"not Go":    func(house fstest.MapFS) { house["internal/gate/x.go"] = &fstest.MapFile{Data: []byte("func")} },
	} {
		house := good()
		change(house)
		if _, err := readTree(house); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

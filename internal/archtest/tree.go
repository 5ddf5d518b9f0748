package archtest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// tree is the source of a module.
type tree struct {
	module string // its path, such as keystile.dev/keystile
	set    *token.FileSet
	// folders that hold anything, slash-separated, the root as ".".
	folders  []string
	packages map[string]*folder // by folder
}

// folder is one package.
type folder struct {
	path  string // slash-separated, the root as "."
	files []*source
}

// source is one file of a package that is not a test.
type source struct {
	name string // with its folder
	ast  *ast.File
}

// unread are folders that are not ours to judge: other modules' code, what
// tools made, and what only anchors dependencies.
var unread = map[string]bool{"bin": true, "dist": true, "coverage": true, "internal/deps": true}

// readTree reads all Go files but tests, testdata and nested modules.
func readTree(root fs.FS) (*tree, error) {
	goMod, err := fs.ReadFile(root, "go.mod")
	if err != nil {
		return nil, fmt.Errorf("archtest: %w", err)
	}
	t := &tree{set: token.NewFileSet(), packages: map[string]*folder{}}
	for line := range strings.Lines(string(goMod)) {
		if name, ok := strings.CutPrefix(line, "module "); ok {
			t.module = strings.TrimSpace(name)
		}
	}
	err = fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return t.enter(root, name)
		}
		return t.read(root, name)
	})
	if err != nil {
		return nil, fmt.Errorf("archtest: read the source: %w", err)
	}
	return t, nil
}

// enter decides whether a folder is read.
func (t *tree) enter(root fs.FS, name string) error {
	if name == "." {
		return nil
	}
	base := path.Base(name)
	if unread[name] || base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	switch _, err := fs.Stat(root, name+"/go.mod"); {
	case err == nil:
		return fs.SkipDir
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look for a module: %w", err)
	}
	t.folders = append(t.folders, name)
	return nil
}

// read parses a file if it is Go and no test.
func (t *tree) read(root fs.FS, name string) error {
	if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
		return nil
	}
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	parsed, err := parser.ParseFile(t.set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	where := path.Dir(name)
	if t.packages[where] == nil {
		t.packages[where] = &folder{path: where}
	}
	t.packages[where].files = append(t.packages[where].files, &source{name: name, ast: parsed})
	return nil
}

// each calls do for every file of every package that is written by hand.
func (t *tree) each(do func(f *folder, s *source)) {
	for _, f := range t.packages {
		if f.generated() {
			continue
		}
		for _, s := range f.files {
			do(f, s)
		}
	}
}

// generated says whether a tool wrote the package.
func (f *folder) generated() bool { return f.path == "internal/store/gen" }

// within says whether the folder is room or below it.
func (f *folder) within(room string) bool {
	return f.path == room || strings.HasPrefix(f.path, room+"/")
}

// imported is one import of a file.
type imported struct {
	local string // the name the file knows it by
	path  string
}

// version is the last part of a module's path from its second major version on.
var version = regexp.MustCompile(`^v[0-9]+$`)

// imports are what a file imports.
func (s *source) imports() []imported {
	var out []imported
	for _, spec := range s.ast.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has refused it already
		}
		i := imported{path: name, local: path.Base(name)}
		if version.MatchString(i.local) {
			i.local = path.Base(path.Dir(name))
		}
		if spec.Name != nil {
			i.local = spec.Name.Name
		}
		out = append(out, i)
	}
	return out
}

// line is where a node stands, as file:line.
func (t *tree) line(n ast.Node) string {
	p := t.set.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

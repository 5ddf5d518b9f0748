package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// Limits on size, for what is not a test. The style asks for less; this is
// where it stops.
const (
	maxFileLines     = 600
	maxFunctionLines = 100
	maxDepth         = 3 // internal/room/kind
)

// rules are all house rules, each reporting where it is broken.
var rules = map[string]func(*tree) []string{
	"rooms meet only through the doors listed":             checkDoors,
	"no init functions":                                    checkInit,
	"no dependency-injection framework":                    checkInjection,
	"no http.ResponseWriter behind the enforcement points": checkResponseWriter,
	"database/sql and its drivers stay inside the store":   checkSQL,
	"no SQL type leaves the store":                         checkStoreSurface,
	"packages are named after what they hold":              checkNames,
	"nothing is deeper than internal/room/kind":            checkDepth,
	"every package says what it is for":                    checkComments,
	"files and functions stay short":                       checkSizes,
}

// checkInit reports init functions: wiring is one visible list.
func checkInit(t *tree) (broken []string) {
	t.each(func(_ *folder, s *source) {
		for _, d := range s.ast.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				broken = append(broken, t.line(f)+": an init function")
			}
		}
	})
	return broken
}

// frameworks wire programs out of sight.
var frameworks = []string{"go.uber.org/fx", "go.uber.org/dig", "github.com/google/wire", "github.com/samber/do", "github.com/facebookgo/inject"}

func checkInjection(t *tree) (broken []string) {
	t.each(func(_ *folder, s *source) {
		for _, i := range s.imports() {
			if slices.ContainsFunc(frameworks, func(f string) bool { return i.path == f || strings.HasPrefix(i.path, f+"/") }) {
				broken = append(broken, s.name+": imports "+i.path)
			}
		}
	})
	return broken
}

// unwired are the rooms that know nothing of answering HTTP.
var unwired = []string{
	root, "internal/gate", "internal/credential", "internal/policy", "internal/store", "internal/limit", "internal/replay",
}

func checkResponseWriter(t *tree) (broken []string) {
	t.each(func(f *folder, s *source) {
		if !slices.ContainsFunc(unwired, func(room string) bool { return f.path == room || room != root && f.within(room) }) {
			return
		}
		for _, i := range s.imports() {
			if i.path != "net/http" {
				continue
			}
			for _, at := range selectors(s.ast, i.local, "ResponseWriter") {
				broken = append(broken, t.line(at)+": http.ResponseWriter")
			}
		}
	})
	return broken
}

// engines are the packages that speak SQL.
var engines = []string{"database/sql", "modernc.org/sqlite", "github.com/jackc/pgx", "github.com/pressly/goose"}

func isEngine(name string) bool {
	return slices.ContainsFunc(engines, func(e string) bool { return name == e || strings.HasPrefix(name, e+"/") })
}

func checkSQL(t *tree) (broken []string) {
	t.each(func(f *folder, s *source) {
		if f.within("internal/store") {
			return
		}
		for _, i := range s.imports() {
			if isEngine(i.path) {
				broken = append(broken, s.name+": imports "+i.path)
			}
		}
	})
	return broken
}

// checkStoreSurface reports exported functions, methods, fields, variables and
// types of the store whose types are an engine's.
func checkStoreSurface(t *tree) (broken []string) {
	f := t.packages["internal/store"]
	if f == nil {
		return nil
	}
	for _, s := range f.files {
		for _, i := range s.imports() {
			if isEngine(i.path) {
				broken = append(broken, t.leaks(s, i)...)
			}
		}
	}
	return broken
}

// leaks reports where a file shows a type of one import to other packages.
func (t *tree) leaks(s *source, engine imported) (broken []string) {
	for _, d := range s.ast.Decls {
		for _, n := range surface(d) {
			if len(selectors(n, engine.local, "")) > 0 {
				broken = append(broken, t.line(n)+": a type of "+engine.path+" leaves the store")
			}
		}
	}
	return broken
}

// surface is the parts of a declaration that other packages see.
func surface(d ast.Decl) (seen []ast.Node) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || exportedReceiver(d.Recv)) {
			seen = append(seen, d.Type)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			seen = append(seen, surfaceOf(spec)...)
		}
	}
	return seen
}

func surfaceOf(spec ast.Spec) (seen []ast.Node) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		if spec.Type != nil && slices.ContainsFunc(spec.Names, (*ast.Ident).IsExported) {
			seen = append(seen, spec.Type)
		}
	case *ast.TypeSpec:
		if !spec.Name.IsExported() {
			return nil
		}
		fields, ok := spec.Type.(*ast.StructType)
		if !ok {
			return append(seen, spec.Type)
		}
		for _, field := range fields.Fields.List {
			if len(field.Names) == 0 || slices.ContainsFunc(field.Names, (*ast.Ident).IsExported) {
				seen = append(seen, field.Type)
			}
		}
	}
	return seen
}

// exportedReceiver says whether a method belongs to an exported type.
func exportedReceiver(receiver *ast.FieldList) (exported bool) {
	ast.Inspect(receiver, func(n ast.Node) bool {
		if field, ok := n.(*ast.Field); ok {
			ast.Inspect(field.Type, func(n ast.Node) bool {
				if name, ok := n.(*ast.Ident); ok && name.IsExported() {
					exported = true
				}
				return true
			})
			return false
		}
		return true
	})
	return exported
}

// selectors finds pkg.name in a node, or pkg.anything if name is empty.
func selectors(in ast.Node, pkg, name string) (found []ast.Node) {
	ast.Inspect(in, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg && (name == "" || s.Sel.Name == name) {
			found = append(found, s)
		}
		return true
	})
	return found
}

// empty names say nothing about what a package holds.
var emptyNames = []string{
	"util", "utils", "common", "helper", "helpers", "misc", "type", "types", "model", "models", "manager", "managers",
	"service", "services", "handler", "handlers", "pkg", "lib", "base", "shared",
}

func checkNames(t *tree) (broken []string) {
	for _, folder := range t.folders {
		// "types" is where a JavaScript package keeps its declarations.
		if slices.Contains(emptyNames, path.Base(folder)) && !strings.HasPrefix(folder, "sdk/javascript/") {
			broken = append(broken, folder+": the name says nothing about what is in it")
		}
	}
	t.each(func(_ *folder, s *source) {
		if slices.Contains(emptyNames, s.ast.Name.Name) {
			broken = append(broken, s.name+": package "+s.ast.Name.Name+" says nothing about what is in it")
		}
	})
	return broken
}

func checkDepth(t *tree) (broken []string) {
	for _, folder := range t.folders {
		if !strings.HasPrefix(folder, "internal/") || strings.HasPrefix(folder, "internal/store/migrations/") {
			continue
		}
		if strings.Count(folder, "/")+1 > maxDepth {
			broken = append(broken, folder+": deeper than internal/room/kind")
		}
	}
	return broken
}

// checkComments wants a package comment in one of a package's files.
func checkComments(t *tree) (broken []string) {
	for _, f := range t.packages {
		if f.generated() {
			continue
		}
		documented := slices.ContainsFunc(f.files, func(s *source) bool {
			return s.ast.Doc != nil && strings.TrimSpace(s.ast.Doc.Text()) != ""
		})
		if !documented {
			broken = append(broken, f.path+": no package comment")
		}
	}
	return broken
}

func checkSizes(t *tree) (broken []string) {
	t.each(func(_ *folder, s *source) {
		if n := t.lines(s.ast.FileStart, s.ast.FileEnd); n > maxFileLines {
			broken = append(broken, fmt.Sprintf("%s: %d lines, at most %d", s.name, n, maxFileLines))
		}
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := t.lines(f.Pos(), f.End()); n > maxFunctionLines {
				broken = append(broken, fmt.Sprintf("%s: %s has %d lines, at most %d", t.line(f), f.Name.Name, n, maxFunctionLines))
			}
		}
	})
	return broken
}

// lines is how many lines lie between two positions of one file.
func (t *tree) lines(from, to token.Pos) int {
	return t.set.Position(to).Line - t.set.Position(from).Line + 1
}

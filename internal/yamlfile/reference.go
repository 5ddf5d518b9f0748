package yamlfile

import (
	"fmt"
	"reflect"
	"strings"
)

// Walk calls fn for every field of a struct type and of the structs in it, in
// the order of declaration. Fields of list items have "[]" in their path:
// "routes[].match.path".
func Walk(t reflect.Type, fn func(path string, f Field)) { walk(t, "", fn) }

func walk(t reflect.Type, prefix string, fn func(string, Field)) {
	for _, f := range Fields(t) {
		path := prefix + f.Name
		fn(path, f)
		inner := f.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Slice {
			inner, path = inner.Elem(), path+"[]"
		}
		if isStructure(inner) {
			walk(inner, path+".", fn)
		}
	}
}

// IsGroup says whether a field only groups others: it is a struct, or a list of
// structs.
func (f Field) IsGroup() bool {
	t := f.Type
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return isStructure(t)
}

// Kind says in words what may be written for the field, for a reference page.
func (f Field) Kind() string {
	t := f.Type
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice {
		item := Field{Type: t.Elem(), Enum: f.Enum, Min: f.Min, Max: f.Max}.Kind()
		if f.Single {
			return item + ", or a list of them"
		}
		return "list: " + item
	}
	switch {
	case len(f.Enum) > 0:
		return "`" + strings.Join(f.Enum, "`, `") + "`"
	case isScalar(t):
		return strings.TrimPrefix(wanted(t), "a ") + bounds(f)
	}
	return "mapping"
}

func bounds(f Field) string {
	switch {
	case f.Min != "" && f.Max != "":
		return fmt.Sprintf(", %s to %s", f.Min, f.Max)
	case f.Min != "":
		return ", at least " + f.Min
	case f.Max != "":
		return ", at most " + f.Max
	}
	return ""
}

// Tables describes a struct type in Markdown: one table for its own fields
// under the title, and one for every group of fields in it.
func Tables(t reflect.Type, title string) string {
	groups := map[string]*strings.Builder{}
	order := []string{""}
	groups[""] = newTable(title)
	Walk(t, func(path string, f Field) {
		parent, name := "", path
		if i := strings.LastIndexByte(path, '.'); i >= 0 {
			parent, name = path[:i], path[i+1:]
		}
		row(groups[parent], name, f)
		if !f.IsGroup() {
			return
		}
		key, what := path, "`"+path+"`"
		if f.Type.Kind() == reflect.Slice {
			key += "[]"
			what += ", each"
		}
		groups[key] = newTable(what)
		order = append(order, key)
	})
	var b strings.Builder
	for _, key := range order {
		b.WriteString(groups[key].String())
	}
	return b.String()
}

func newTable(title string) *strings.Builder {
	b := &strings.Builder{}
	fmt.Fprintf(b, "\n## %s\n\n| key | value | default | |\n|---|---|---|---|\n", title)
	return b
}

func row(b *strings.Builder, name string, f Field) {
	value, doc := f.Kind(), f.Doc
	if f.IsGroup() {
		value = "see below"
	}
	standard := ""
	switch {
	case f.Required:
		standard = "required"
	case f.HasDefault && f.Default != "":
		standard = "`" + f.Default + "`"
	}
	if f.Example != "" {
		doc = strings.TrimSpace(doc + " Example: `" + f.Example + "`")
	}
	cell := strings.NewReplacer("|", "\\|", "\n", " ")
	fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, cell.Replace(value), cell.Replace(standard), cell.Replace(doc))
}

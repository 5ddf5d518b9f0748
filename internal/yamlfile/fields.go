package yamlfile

import (
	"fmt"
	"reflect"
	"strings"
)

// Field is one key of a struct, as its tags describe it.
type Field struct {
	// Name is the key in the file.
	Name string
	// Doc is one or more sentences for the reference page.
	Doc string
	// Default and Example are values as they would be written; "" for none.
	Default, Example string
	// HasDefault tells an empty default from none.
	HasDefault bool
	// Enum lists the only values; nil: any.
	Enum []string
	// Min and Max are bounds as they would be written; "": none.
	Min, Max string
	// Required keys must be present, and not empty if they are text.
	Required bool
	// Single lists of one may stand without brackets.
	Single bool
	// Type is the Go type.
	Type reflect.Type

	index int
}

// Fields lists the keys of a struct type in the order of its declaration.
// Fields without a yaml tag, or tagged "-", are not keys. It panics on a tag
// that cannot be read, which is a mistake in the program.
func Fields(t reflect.Type) []Field {
	var fields []Field
	for i := range t.NumField() {
		sf := t.Field(i)
		tag := sf.Tag.Get("yaml")
		if tag == "" || tag == "-" {
			continue
		}
		options := strings.Split(tag, ",")
		f := Field{
			Name: options[0], Doc: sf.Tag.Get("doc"), Example: sf.Tag.Get("example"),
			Min: sf.Tag.Get("min"), Max: sf.Tag.Get("max"), Type: sf.Type, index: i,
		}
		f.Default, f.HasDefault = sf.Tag.Lookup("default")
		if enum, ok := sf.Tag.Lookup("enum"); ok {
			f.Enum = strings.Fields(enum)
		}
		for _, option := range options[1:] {
			switch option {
			case "required":
				f.Required = true
			case "single":
				f.Single = true
			default:
				panic(fmt.Sprintf("yamlfile: %s.%s: %q is not an option of the yaml tag", t, sf.Name, option))
			}
		}
		fields = append(fields, f)
	}
	return fields
}

// structFields caches Fields for one decoding: files hold many values of few types.
type structFields map[reflect.Type]*fieldSet

type fieldSet struct {
	fields []Field
	byName map[string]int
	names  []string
}

func (s structFields) of(t reflect.Type) *fieldSet {
	if set, ok := s[t]; ok {
		return set
	}
	set := &fieldSet{fields: Fields(t), byName: map[string]int{}}
	for i := range set.fields {
		set.byName[set.fields[i].Name] = i
		set.names = append(set.names, set.fields[i].Name)
	}
	s[t] = set
	return set
}

// SetDefaults puts the defaults of its tags into a struct and the structs
// directly inside it. Pointers, list items and map values get theirs when the
// file holds them. It panics on a default that its own type refuses, which is a
// mistake in the program.
func SetDefaults(into any) {
	setDefaults(reflect.ValueOf(into).Elem(), structFields{})
}

func setDefaults(v reflect.Value, known structFields) {
	set := known.of(v.Type())
	for i := range set.fields {
		f := &set.fields[i]
		target := v.Field(f.index)
		if f.HasDefault {
			if err := setText(target, f, f.Default); err != nil {
				panic(fmt.Sprintf("yamlfile: default of %s.%s: %s", v.Type(), f.Name, err))
			}
			continue
		}
		if isStructure(target.Type()) {
			setDefaults(target, known)
		}
	}
}

// isStructure says whether a type is a struct with keys of its own, rather
// than a single value such as time.Time.
func isStructure(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !isScalar(t)
}

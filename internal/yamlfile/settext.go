package yamlfile

import (
	"fmt"
	"reflect"
	"strings"
)

// SetText sets the field at a path such as "tls.mode" from text, as an
// environment variable or a flag gives it: one value as it is, a list as values
// separated by commas or as YAML, anything else as YAML. Structs behind nil
// pointers on the way are made with their defaults. source is the name of the
// variable or flag; the error is Problems.
func SetText(source string, into any, path, text string) error {
	d := &decoder{file: source, positions: &Positions{}, known: structFields{}}
	v := reflect.ValueOf(into).Elem()
	f := &Field{}
	for _, name := range strings.Split(path, ".") {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
				setDefaults(v.Elem(), d.known)
			}
			v = v.Elem()
		}
		set := d.known.of(v.Type())
		index, ok := set.byName[name]
		if !ok {
			return Problems{{File: source, Field: path, Problem: fmt.Sprintf("there is no option %s", path)}}
		}
		f = &set.fields[index]
		v = v.Field(f.index)
	}
	if err := d.text(v, f, path, text); err != nil {
		return err
	}
	return nil
}

func (d *decoder) text(v reflect.Value, f *Field, path, text string) error {
	flaw := setText(v, f, text)
	if flaw == nil {
		return nil
	}
	return Problems{{File: d.file, Field: path, Problem: flaw.Problem, Remedy: flaw.Remedy}}
}

// setText sets a value from its text alone.
func setText(v reflect.Value, f *Field, text string) *fault {
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		v.Set(reflect.New(t.Elem()))
		return setText(v.Elem(), f, text)
	}
	if isScalar(t) {
		return parseScalar(v, f, text)
	}
	if t.Kind() == reflect.Slice && isScalar(t.Elem()) && !strings.HasPrefix(strings.TrimSpace(text), "[") {
		return setList(v, f, text)
	}
	root, problem := parse([]byte(text))
	if problem != nil {
		return faultf("write it as in the file, as YAML", "%s", problem.Problem)
	}
	if root == nil {
		v.SetZero()
		return nil
	}
	d := &decoder{positions: &Positions{}, known: structFields{}}
	d.decode(root, v, f, nil)
	if len(d.problems) > 0 {
		first := d.problems[0]
		return faultf(first.Remedy, "%s: %s", first.Field, first.Problem)
	}
	return nil
}

func setList(v reflect.Value, f *Field, text string) *fault {
	var items []string
	if text != "" {
		items = strings.Split(text, ",")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	item := &Field{Enum: f.Enum, Min: f.Min, Max: f.Max}
	for i, text := range items {
		if flaw := parseScalar(v.Index(i), item, strings.TrimSpace(text)); flaw != nil {
			return flaw
		}
	}
	return nil
}

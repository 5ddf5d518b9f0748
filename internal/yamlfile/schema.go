package yamlfile

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

// SchemaInfo heads a JSON Schema.
type SchemaInfo struct {
	// ID is the schema's $id, an absolute URI.
	ID          string
	Title       string
	Description string
}

// Describer is implemented by types read from text that have more to say about
// themselves in a JSON Schema than {"type": "string"}.
type Describer interface {
	// DescribeSchema returns the members of the type's schema.
	DescribeSchema() map[string]any
}

// Schema is the JSON Schema (draft 2020-12) of files that Decode reads into a
// struct of the given type: indented, its members sorted.
func Schema(t reflect.Type, info SchemaInfo) ([]byte, error) {
	root := schemaOf(t, &Field{})
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = info.ID
	root["title"] = info.Title
	root["description"] = info.Description
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema of %s: %w", t, err)
	}
	return append(out, '\n'), nil
}

func schemaOf(t reflect.Type, f *Field) map[string]any {
	switch {
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem(), f)
	case isScalar(t):
		return scalarSchema(t, f)
	case t.Kind() == reflect.Struct:
		return structSchema(t)
	case t.Kind() == reflect.Slice:
		item := schemaOf(t.Elem(), &Field{Enum: f.Enum, Min: f.Min, Max: f.Max})
		list := map[string]any{"type": "array", "items": item}
		if f.Single {
			return map[string]any{"anyOf": []any{item, list}}
		}
		return list
	case t.Kind() == reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem(), &Field{Enum: f.Enum, Min: f.Min, Max: f.Max})}
	}
	return map[string]any{}
}

func structSchema(t reflect.Type) map[string]any {
	properties := map[string]any{}
	var required []string
	for _, f := range Fields(t) {
		property := schemaOf(f.Type, &f)
		if f.Doc != "" {
			property["description"] = f.Doc
		}
		if f.HasDefault {
			property["default"] = schemaValue(f.Type, f.Default)
		}
		if f.Example != "" {
			property["examples"] = []any{schemaValue(f.Type, f.Example)}
		}
		properties[f.Name] = property
		if f.Required {
			required = append(required, f.Name)
		}
	}
	schema := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		schema["required"] = required
	}
	return schema
}

func scalarSchema(t reflect.Type, f *Field) map[string]any {
	if t == typeSize {
		return map[string]any{"type": []any{"string", "integer"}, "pattern": `^[0-9]+ ?(KiB|MiB|GiB|kB|MB|GB|B)?$`}
	}
	schema := typeSchema(t, f)
	if f.Required && schema["type"] == "string" {
		schema["minLength"] = 1
	}
	if len(f.Enum) > 0 {
		schema["enum"] = f.Enum
	}
	return schema
}

func typeSchema(t reflect.Type, f *Field) map[string]any {
	schema := map[string]any{"type": "string"}
	switch {
	case t == typeDuration:
		schema["pattern"] = `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$|^0$`
	case t == typeTime:
		schema["format"] = "date-time"
	case t == typePrefix:
	case t == typeSecret:
		schema["writeOnly"] = true
	case unmarshalsText(t):
		if d, ok := reflect.New(t).Interface().(Describer); ok {
			schema = d.DescribeSchema()
		}
	case t.Kind() == reflect.Bool:
		schema["type"] = "boolean"
	case t.Kind() != reflect.String:
		integerSchema(schema, f)
	}
	return schema
}

func integerSchema(schema map[string]any, f *Field) {
	schema["type"] = "integer"
	if n, err := strconv.ParseInt(f.Min, 10, 64); err == nil {
		schema["minimum"] = n
	}
	if n, err := strconv.ParseInt(f.Max, 10, 64); err == nil {
		schema["maximum"] = n
	}
}

// schemaValue is a default or example as JSON would hold it.
func schemaValue(t reflect.Type, text string) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.String || isScalar(t) && isText(t) {
		return text
	}
	var value any
	f := &Field{}
	holder := reflect.ValueOf(&value).Elem()
	if t.Kind() == reflect.Slice && isScalar(t.Elem()) && (text == "" || text[0] != '[') {
		list := reflect.New(t).Elem()
		if setList(list, f, text) == nil {
			return list.Interface()
		}
	}
	root, problem := parse([]byte(text))
	if problem != nil || root == nil {
		return text
	}
	d := &decoder{positions: &Positions{}, known: structFields{}}
	d.anything(root, holder, nil)
	return value
}

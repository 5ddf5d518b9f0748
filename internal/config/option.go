package config

import (
	"reflect"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/yamlfile"
)

// Option is one option as a variable or a flag may give it.
type Option struct {
	// Path is the option in the file: "tls.mode".
	Path string
	// Flag is its name on the command line without hyphens: "tls-mode".
	Flag string
	// Env is its environment variable: "KEYSTILE_TLS_MODE".
	Env string
	// Doc, Default and Kind are for help texts.
	Doc, Default, Kind string
	// Secret options may be given as @FILE on the command line.
	Secret bool
	// Bool options may stand without a value on the command line.
	Bool bool
}

// envPrefix begins every environment variable of an option.
const envPrefix = "KEYSTILE_"

// otherVariables are read by the command line itself and are no options.
var otherVariables = []string{"KEYSTILE_TOKEN", "KEYSTILE_SERVER", "KEYSTILE_CONFIG"}

// Options lists every option in the order of the reference page. Lists of
// mappings (routes) are one option, given as YAML.
func Options() []Option {
	var options []Option
	yamlfile.Walk(reflect.TypeFor[Config](), func(path string, f yamlfile.Field) {
		isList := f.Type.Kind() == reflect.Slice
		if strings.Contains(path, "[]") || f.IsGroup() && !isList {
			return
		}
		flat := strings.ReplaceAll(path, ".", "_")
		kind := f.Kind()
		if f.IsGroup() {
			kind = "YAML"
		}
		options = append(options, Option{
			Path: path, Flag: strings.ReplaceAll(flat, "_", "-"), Env: envPrefix + strings.ToUpper(flat),
			Doc: f.Doc, Default: f.Default, Kind: kind,
			Secret: f.Type == reflect.TypeFor[keystile.Secret](), Bool: f.Type.Kind() == reflect.Bool,
		})
	})
	return options
}

package config

import (
	"fmt"
	"reflect"
	"strings"

	"keystile.dev/keystile/internal/yamlfile"
)

// Schema is the JSON Schema (draft 2020-12) of keystile.yaml.
func Schema() ([]byte, error) {
	return yamlfile.Schema(reflect.TypeFor[Config](), yamlfile.SchemaInfo{
		ID:          "https://keystile.dev/schema/config.json",
		Title:       "keystile.yaml",
		Description: "Configuration of the Keystile credential server.",
	})
}

const referenceHead = `# keystile.yaml

<!-- Generated from internal/config; renew with: go test ./internal/config -update -->

Every option of the server. Each may also be given as an environment variable or a flag of ` + "`keystile serve`" + `; a flag
wins over a variable, a variable over the file, the file over the default.

- The file is YAML 1.2: ` + "`off`" + ` and ` + "`\"off\"`" + ` are the same text, durations have units (` + "`500ms`, `60s`, `24h`" + `), times are
  RFC 3339, sizes are bytes or have units (` + "`64KiB`, `10MiB`" + `).
- Unknown and repeated keys, keys without a value, anchors, aliases, merge keys, tags and a second document are refused.
  All problems are reported at once, as ` + "`FILE:LINE: field: what is wrong; remedy`" + `.
- Relative paths in the file are relative to its directory; in variables and flags, to the working directory.
- Lists of words are separated by commas in variables and flags; ` + "`routes`" + ` is given as YAML.
- A variable that is set but empty counts as given: an empty secret is refused, not taken for none. Variables that begin
  with ` + "`KEYSTILE_`" + ` and name no option are warned about.
- Secrets may be given by file: the option with ` + "`_file`" + ` at its end, or ` + "`@FILE`" + ` as the value of the flag.
`

// Reference is the reference page docs/reference/config.md.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString(yamlfile.Tables(reflect.TypeFor[Config](), "Options"))
	b.WriteString("\n## Variables and flags\n\n| option | variable | flag |\n|---|---|---|\n")
	for _, o := range Options() {
		fmt.Fprintf(&b, "| `%s` | `%s` | `--%s` |\n", o.Path, o.Env, o.Flag)
	}
	return []byte(b.String())
}

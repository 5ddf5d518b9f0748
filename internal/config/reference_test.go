package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated pages and expected messages anew")

func TestTheReferencePagesAreUpToDate(t *testing.T) {
	schema, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]byte{
		"../../docs/reference/config.md":          Reference(),
		"../../docs/reference/config.schema.json": schema,
	} {
		if *update {
			if err := os.WriteFile(file, want, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale: run go test ./internal/config -update", file)
		}
	}
}

func TestEveryOptionIsDescribedAndHasItsOwnVariableAndFlag(t *testing.T) {
	seen := map[string]string{}
	for _, o := range Options() {
		for _, name := range []string{o.Env, o.Flag} {
			if other, ok := seen[name]; ok {
				t.Errorf("%s stands for %s and %s", name, other, o.Path)
			}
			seen[name] = o.Path
		}
		if o.Doc == "" || !strings.HasSuffix(o.Doc, ".") {
			t.Errorf("%s is not described in sentences: %q", o.Path, o.Doc)
		}
		if strings.HasSuffix(o.Path, "secret") && !o.Secret {
			t.Errorf("%s is a secret that prints", o.Path)
		}
	}
	for _, name := range otherVariables {
		if path, ok := seen[name]; ok {
			t.Errorf("%s means something else to the command line than %s", name, path)
		}
	}
}

func TestTheSchemaKnowsTheSectionsOfTheFile(t *testing.T) {
	raw, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties map[string]any `json:"properties"`
	}
	if err := json.Unmarshal(raw, &schema); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"listen", "admin_listen", "public_url", "tls", "store", "shared", "master_key", "trusted_proxies", "dialects",
		"forward_auth", "ext_authz_listen", "routes", "log", "otlp_endpoint", "drain_timeout", "limits",
	} {
		if schema.Properties[name] == nil {
			t.Errorf("%s is not in the schema", name)
		}
	}
}

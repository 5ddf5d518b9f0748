package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzReadWanted(f *testing.F) {
	f.Add([]byte(`{"organization":"acme","scopes":["things:read"]}`+"\n\n{}\n"), false)
	f.Add([]byte("organization,scopes,expires_at\nacme,a:b;c:d,2027-01-01T00:00:00Z\n\"x\ny\",,\n"), true)
	f.Add([]byte("\ufeffid\n\"\n"), true)
	f.Fuzz(func(t *testing.T, text []byte, csv bool) {
		name := filepath.Join(t.TempDir(), "keys.jsonl")
		if csv {
			name = filepath.Join(filepath.Dir(name), "keys.csv")
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		wanted, err := readWanted(name)
		if err == nil && len(wanted) == 0 {
			t.Error("no key and no problem")
		}
		for _, one := range wanted {
			if one.line < 1 {
				t.Errorf("line %d", one.line)
			}
			if _, err := json.Marshal(one.key); err != nil && !strings.Contains(err.Error(), "year outside of range") {
				t.Error(err)
			}
		}
	})
}

func TestAColumnThatIsThereTwiceIsRefused(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys.csv")
	if err := os.WriteFile(name, []byte("organization,scopes,organization\nacme,a:b,other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if wanted, err := readWanted(name); err == nil || !strings.Contains(err.Error(), "keys.csv:1: organization is there twice") {
		t.Errorf("%v, %v", wanted, err)
	}
}

package main

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"keystile.dev/keystile/client"
	"keystile.dev/keystile/internal/state"
)

func TestStateFilesThatAreSentKeepTheirLines(t *testing.T) {
	sent := joinStates([]state.File{
		{Name: "a.yaml", Data: []byte("# comment\n---\nsites: []")},
		{Name: "b.yaml", Data: nil},
		{Name: "c.yaml", Data: []byte("roles:\n  - {id: x}\n")},
	})
	files, err := splitStates(sent.data)
	if err != nil || len(files) != 2 { // nothing stands in b.yaml
		t.Fatalf("%q, %v", files, err)
	}
	if at := bytes.Count(files[1].Data[:bytes.Index(files[1].Data, []byte("- {id"))], []byte("\n")); at+1 != sent.lines[2]+2 {
		t.Errorf("the role stands in line %d of %q", at+1, files[1].Data)
	}
	for line, want := range map[int]string{1: "a.yaml:1: ", 3: "a.yaml:3: ", sent.lines[2] + 2: "c.yaml:2: "} {
		err := sent.problems(&client.Error{Fields: []client.FieldError{{Field: strings.Join([]string{strconv.Itoa(line), "roles[0].id"}, ": "), Problem: "is wrong"}}})
		if err.Error() != want+"roles[0].id: is wrong" {
			t.Errorf("line %d: %v", line, err)
		}
		if got := sent.named("state:" + strconv.Itoa(line) + ": weak"); got != want+"weak" {
			t.Errorf("line %d: %q", line, got)
		}
	}
}

func TestATextOfManyDocumentsDoesNotGrow(t *testing.T) {
	if _, err := splitStates([]byte(strings.Repeat("a\n---\n", 50_000))); err == nil {
		t.Error("taken")
	}
	one := []byte("%YAML 1.2\n---\nsites: []\n")
	if files, err := splitStates(one); err != nil || len(files) != 1 || !bytes.Equal(files[0].Data, one) {
		t.Errorf("%q, %v", files, err)
	}
}

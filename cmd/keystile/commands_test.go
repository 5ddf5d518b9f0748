package main

import (
	"io"
	"slices"
	"testing"

	"github.com/spf13/cobra"
)

// Scripts give --config and -o json to whatever they call.
func TestEveryCommandTakesConfigAndJSON(t *testing.T) {
	noConfig := []string{"keystile demo", "keystile init"} // they write one
	noJSON := []string{                                    // what these print has a form of its own
		"keystile demo", "keystile serve", "keystile export", "keystile schema", "keystile sign", "keystile token totp",
		"keystile audit export", "keystile audit seal",
	}
	leaves := 0
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.HasSubCommands() {
			for _, sub := range cmd.Commands() {
				if sub.Name() != "completion" && sub.Name() != "help" {
					walk(sub)
				}
			}
			return
		}
		leaves++
		path := cmd.CommandPath()
		if has := cmd.Flag("config") != nil; has == slices.Contains(noConfig, path) {
			t.Errorf("%s: takes --config: %v", path, has)
		}
		if output := cmd.Flag("output"); (output != nil && output.Shorthand == "o") == slices.Contains(noJSON, path) {
			t.Errorf("%s: takes -o: %v", path, output != nil)
		}
		if cmd.Example == "" {
			t.Errorf("%s has no example", path)
		}
	}
	walk(newRoot(environment{stdin: nil, stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }}))
	if leaves < 80 {
		t.Errorf("only %d commands were looked at", leaves)
	}
}

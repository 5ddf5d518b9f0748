package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and commit are set at build time (-ldflags -X).
var (
	version = "dev"
	commit  = ""
)

func newVersion(a *app) *cobra.Command {
	var f format
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print what this binary is",
		Example: "  keystile version -o json",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			facts := buildFacts()
			if f == formatJSON {
				return printJSON(a.stdout, facts)
			}
			_, err := fmt.Fprintf(a.stdout, "keystile %s (%s, %s/%s)\n", facts["version"], facts["go"], facts["os"], facts["arch"])
			return err
		},
	}
	addUnreadConfig(cmd)
	addFormat(cmd, &f)
	return cmd
}

func buildFacts() map[string]string {
	facts := map[string]string{
		"version": version, "commit": commit, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "module": "",
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		facts["module"] = info.Main.Path
	}
	return facts
}

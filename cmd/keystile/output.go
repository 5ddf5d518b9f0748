package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// format is how a command prints: table for people, json for machines.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
)

// addFormat adds -o to a command.
func addFormat(cmd *cobra.Command, f *format) {
	*f = formatTable
	cmd.Flags().StringVarP((*string)(f), "output", "o", string(formatTable), "output format: table or json")
	cmd.PreRunE = chain(cmd.PreRunE, func(*cobra.Command, []string) error {
		if *f != formatTable && *f != formatJSON {
			return usagef("-o %q: use table or json", *f)
		}
		return nil
	})
}

func chain(first, second func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	if first == nil {
		return second
	}
	return func(cmd *cobra.Command, args []string) error {
		if err := first(cmd, args); err != nil {
			return err
		}
		return second(cmd, args)
	}
}

// printJSON writes v indented, as one value.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// table writes aligned columns.
type table struct {
	w   *tabwriter.Writer
	err error
}

func newTable(w io.Writer, columns ...string) *table {
	t := &table{w: tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	t.row(columns...)
	return t
}

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = visible(cell)
	}
	if _, err := fmt.Fprintln(t.w, strings.Join(cells, "\t")); err != nil && t.err == nil {
		t.err = err
	}
}

func (t *table) flush() error {
	if err := t.w.Flush(); err != nil && t.err == nil {
		t.err = err
	}
	if t.err != nil {
		return fmt.Errorf("write the table: %w", t.err)
	}
	return nil
}

// visible makes text safe for a terminal: what could move the cursor or end a
// line is shown as \uXXXX, an empty cell as "-".
func visible(s string) string {
	if s == "" {
		return "-"
	}
	var b strings.Builder
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x200e && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// printFields writes "name  value" lines, aligned.
func printFields(w io.Writer, pairs ...string) error {
	t := &table{w: tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	for i := 0; i+1 < len(pairs); i += 2 {
		t.row(pairs[i], pairs[i+1])
	}
	return t.flush()
}

// isTerminal says whether a stream is one.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// confirm asks before something is destroyed. Without --yes it asks on a
// terminal, and fails with exit status 2 anywhere else.
func (a *app) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if !isTerminal(a.stdin) {
		return usagef("%s: standard input is not a terminal, so nothing was asked and nothing was done; say --yes", question)
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	var answer string
	if _, err := fmt.Fscanln(a.stdin, &answer); err != nil || !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
		return fmt.Errorf("%s: not confirmed, nothing was done", question)
	}
	return nil
}

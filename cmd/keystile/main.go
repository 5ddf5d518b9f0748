// Command keystile is the credential server: it issues, verifies and enforces
// API credentials, and manages them from the command line.
//
// Exit status: 0 done, 1 refused or failed, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, environment{
		args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		getenv: os.Getenv, environ: os.Environ(),
	})
	stop()
	os.Exit(status)
}

// environment is everything a command takes from outside.
type environment struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        []string
}

// outputWriter remembers the first failure to write the result, so that printing
// need not be checked line by line and a full disk is still exit status 1.
type outputWriter struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (o *outputWriter) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

// usageError is a wrong call of the command: exit status 2.
type usageError struct{ err error }

func (u usageError) Error() string { return u.err.Error() }
func (u usageError) Unwrap() error { return u.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errReported is a failure whose text was already written.
var errReported = errors.New("already reported")

func run(ctx context.Context, env environment) int {
	out := &outputWriter{w: env.stdout}
	env.stdout = out
	root := newRoot(env)
	root.SetArgs(env.args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil && out.err != nil {
		err = fmt.Errorf("write the result: %w", out.err)
	}
	if err == nil {
		return 0
	}
	var usage usageError
	switch {
	case errors.Is(err, errReported):
		return 1
	case errors.As(err, &usage):
		fmt.Fprintf(env.stderr, "keystile: %v\nRun '%s --help' for usage.\n", err, cmd.CommandPath())
		return 2
	}
	for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
		if hasPosition(err) {
			fmt.Fprintln(env.stderr, line)
		} else {
			fmt.Fprintf(env.stderr, "keystile: %s\n", line)
		}
	}
	return 1
}

func newRoot(env environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "keystile",
		Short: "Issue, verify and enforce every kind of API credential",
		Long: `Keystile turns any API credential into one principal and one decision, and owns
the whole life of every credential it can verify.

Start here:   keystile demo
Your own API: keystile init DIR, then keystile serve --config DIR/keystile.yaml`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("keystile has no command %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	a := &app{environment: env}
	root.AddCommand(
		newDemo(a), newInit(a), newServe(a),
		newApply(a), newExport(a),
		newKey(a), newSigningKey(a), newSign(a), newApplication(a), newClient(a), newOrganization(a), newSite(a), newRole(a), newUser(a), newProvider(a), newSession(a),
		newTokenKey(a), newToken(a), newAdminToken(a),
		newAudit(a), newBackup(a), newRestore(a), newMasterKey(a), newPepper(a), newExplain(a), newDoctor(a), newObserved(a), newMigrate(a), newVersion(a), newSchema(a),
	)
	for _, cmd := range root.Commands() {
		requireSubcommand(cmd)
	}
	return root
}

// app is what the commands share.
type app struct{ environment }

// noArguments refuses positional arguments with exit status 2.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// oneArgument wants exactly one positional argument, named for the message.
func oneArgument(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("%s needs exactly one argument, %s", cmd.CommandPath(), name)
		}
		return nil
	}
}

// requireSubcommand makes "keystile key" and "keystile key nonsense" usage errors.
func requireSubcommand(cmd *cobra.Command) {
	if !cmd.HasSubCommands() || cmd.RunE != nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("%s has no command %q", cmd.CommandPath(), args[0])
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return usagef("%s needs a command", cmd.CommandPath())
	}
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/client"
)

func newAudit(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Read, export and verify the audit log",
		Long: `Every change writes an event in the transaction that makes it. The events of an
organization form a chain of hashes, and so do those that belong to none, and the
recorded decisions. Checkpoints signed by the server vouch for each chain.`,
		Example: "  keystile audit verify --checkpoints /var/log/keystile/checkpoints.jsonl",
	}
	cmd.AddCommand(newAuditList(a), newAuditTail(a), newAuditDecisions(a), newAuditExport(a), newAuditVerify(a), newAuditSeal(a))
	return cmd
}

// auditSearch is what the commands that read events are asked for.
type auditSearch struct {
	client.EventSearch

	since, until string
}

func (s *auditSearch) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.Organization, "organization", "", "only this organization's chain; default: every chain")
	flags.StringVar(&s.Actor, "actor", "", "only what this actor did: cli, system, admin:ID, user:ID")
	flags.StringVar(&s.Action, "action", "", "only this action: api_key.revoke, or api_key.* for all of a noun")
	flags.StringVar(&s.Target, "target", "", "only what was done to this: api_key:ID")
	addTimes(cmd, &s.since, &s.until)
}

func addTimes(cmd *cobra.Command, since, until *string) {
	cmd.Flags().StringVar(since, "since", "", "at or after: a time (RFC 3339), or how long ago (24h)")
	cmd.Flags().StringVar(until, "until", "", "before: a time (RFC 3339), or how long ago (24h)")
}

func (s *auditSearch) search() (client.EventSearch, error) {
	s.All = s.Organization == ""
	s.Limit = maxPage
	var err error
	s.Since, s.Until, err = bounds(s.since, s.until)
	return s.EventSearch, err
}

// maxPage is the largest page of a list.
const maxPage = 200

func bounds(since, until string) (from, to time.Time, err error) {
	if from, err = moment("--since", since); err != nil {
		return from, to, err
	}
	to, err = moment("--until", until)
	return from, to, err
}

// moment reads a time, or how long ago it was.
func moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usagef("%s %q: write a time such as 2026-11-28T00:00:00Z, or how long ago, such as 24h", flag, text)
	}
	return at, nil
}

var eventColumns = []string{"TIME", "ORGANIZATION", "SEQ", "ACTOR", "ACTION", "TARGET"}

func eventCells(e *client.Event) []string {
	return []string{e.At.UTC().Format(time.RFC3339), e.Organization, strconv.FormatInt(e.Seq, 10), e.Actor, e.Action, e.Target}
}

func newAuditList(a *app) *cobra.Command {
	var (
		t    target
		f    format
		s    auditSearch
		most int
	)
	cmd := &cobra.Command{
		Use: "list", Short: "List audit events", Args: noArguments,
		Example: "  keystile audit list --organization sibaya-power --action 'api_key.*' --since 24h",
		RunE: func(cmd *cobra.Command, _ []string) error {
			search, err := s.search()
			if err != nil {
				return err
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				events := []client.Event{}
				for e, err := range m.FindEvents(ctx, search) {
					if err != nil {
						return err
					}
					if events = append(events, e); len(events) == most {
						break
					}
				}
				if f == formatJSON {
					return printJSON(a.stdout, events)
				}
				out := newTable(a.stdout, eventColumns...)
				for i := range events {
					out.row(eventCells(&events[i])...)
				}
				return out.flush()
			})
		},
	}
	s.add(cmd)
	cmd.Flags().BoolVar(&s.NewestFirst, "newest-first", false, "the other way round")
	cmd.Flags().IntVar(&most, "limit", 0, "how many at most; 0: all")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func newAuditTail(a *app) *cobra.Command {
	var (
		t      target
		f      format
		s      auditSearch
		lines  int
		follow bool
	)
	cmd := &cobra.Command{
		Use: "tail", Short: "Print the newest audit events, and with --follow those that come", Args: noArguments,
		Example: "  keystile audit tail --follow",
		RunE: func(cmd *cobra.Command, _ []string) error {
			search, err := s.search()
			if err != nil {
				return err
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				return (&tail{app: a, management: m, search: search, format: f, seen: map[string]time.Time{}}).run(ctx, lines, follow)
			})
		},
	}
	s.add(cmd)
	cmd.Flags().IntVarP(&lines, "lines", "n", 20, "how many of those that are there")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

const (
	// tailInterval is how often tail asks for more.
	tailInterval = time.Second
	// tailOverlap is how long a transaction may take whose event carries the time
	// of its beginning.
	tailOverlap = time.Minute
)

// tail prints events as they come. One that was printed is not printed again.
type tail struct {
	app        *app
	management *management
	search     client.EventSearch
	format     format
	newest     time.Time
	seen       map[string]time.Time
}

func (t *tail) run(ctx context.Context, lines int, follow bool) error {
	begun := time.Now()
	if err := t.there(ctx, lines); err != nil || !follow {
		return err
	}
	if t.newest.Before(begun.Add(-tailOverlap)) {
		t.newest = begun
	}
	tick := time.NewTicker(tailInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := t.more(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// there prints the last of what is there.
func (t *tail) there(ctx context.Context, lines int) error {
	last := t.search
	last.NewestFirst = true
	var events []client.Event
	for e, err := range t.management.FindEvents(ctx, last) {
		if err != nil {
			return err
		}
		if len(events) == lines {
			break
		}
		events = append(events, e)
	}
	slices.Reverse(events)
	return t.print(slices.Values(events))
}

func (t *tail) more(ctx context.Context) error {
	search := t.search
	search.Since = t.newest.Add(-tailOverlap)
	for key, at := range t.seen {
		if at.Before(search.Since) {
			delete(t.seen, key)
		}
	}
	var events []client.Event
	for e, err := range t.management.FindEvents(ctx, search) {
		if err != nil {
			return err
		}
		events = append(events, e)
	}
	return t.print(slices.Values(events))
}

func (t *tail) print(events iter.Seq[client.Event]) error {
	for e := range events {
		key := e.Organization + "/" + strconv.FormatInt(e.Seq, 10)
		if _, printed := t.seen[key]; printed {
			continue
		}
		t.seen[key] = e.At
		if e.At.After(t.newest) {
			t.newest = e.At
		}
		if t.format == formatJSON {
			if err := json.NewEncoder(t.app.stdout).Encode(e); err != nil {
				return fmt.Errorf("write the result: %w", err)
			}
			continue
		}
		cells := eventCells(&e)
		for i := range cells {
			cells[i] = visible(cells[i])
		}
		if _, err := fmt.Fprintf(t.app.stdout, "%s  %-20s %6s  %-24s %-24s %s\n", cells[0], cells[1], cells[2], cells[3], cells[4], cells[5]); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
	}
	return nil
}

func newAuditDecisions(a *app) *cobra.Command {
	var (
		t            target
		f            format
		s            client.DecisionSearch
		since, until string
		most         int
	)
	cmd := &cobra.Command{
		Use: "decisions", Short: "List recorded decisions of the gate, the newest first", Args: noArguments,
		Long: `Decisions are recorded by a rule: the first of each credential and reason in a
minute, one allowed request in a hundred, refusals up to 100 a second for each organization.`,
		Example: "  keystile audit decisions --reason scope_missing --since 1h",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if s.Since, s.Until, err = bounds(since, until); err != nil {
				return err
			}
			s.Limit = maxPage
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				decisions := []client.Decision{}
				for d, err := range m.FindDecisions(ctx, s) {
					if err != nil {
						return err
					}
					if decisions = append(decisions, d); len(decisions) == most {
						break
					}
				}
				return a.printDecisions(f, decisions)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.Organization, "organization", "", "only of this organization's credentials")
	flags.StringVar(&s.Credential, "credential", "", "only of this credential")
	flags.StringVar(&s.Reason, "reason", "", "only refusals for this reason")
	flags.StringVar(&s.RequestID, "request", "", "only of the request with this id")
	flags.IntVar(&most, "limit", 100, "how many at most; 0: all")
	addTimes(cmd, &since, &until)
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

func (a *app) printDecisions(f format, decisions []client.Decision) error {
	if f == formatJSON {
		return printJSON(a.stdout, decisions)
	}
	out := newTable(a.stdout, "TIME", "ORGANIZATION", "CREDENTIAL", "POINT", "REQUEST", "REASON", "CAUSE")
	for i := range decisions {
		d := &decisions[i]
		reason := d.Reason
		if d.Allowed {
			reason = "allowed"
		}
		out.row(d.At.UTC().Format(time.RFC3339), d.Organization, d.Credential, d.Point, d.Method+" "+d.Path, reason, d.Cause)
	}
	return out.flush()
}

func newAuditExport(a *app) *cobra.Command {
	var (
		t         target
		s         auditSearch
		file      string
		decisions bool
	)
	cmd := &cobra.Command{
		Use: "export", Short: "Write audit events as JSON Lines, oldest first", Args: noArguments,
		Long: `Writes one JSON object a line, each with its hash and that of the event before, to
standard output or to a new file that its owner alone may read.`,
		Example: "  keystile audit export --since 2026-11-01T00:00:00Z --until 2026-12-01T00:00:00Z --file november.jsonl",
		RunE: func(cmd *cobra.Command, _ []string) error {
			search, err := s.search()
			if err != nil {
				return err
			}
			return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
				if decisions {
					return a.writeLines(file, "decisions", anyOf(m.FindDecisions(ctx, client.DecisionSearch{
						Organization: search.Organization, Since: search.Since, Until: search.Until, OldestFirst: true, Limit: maxPage,
					})))
				}
				return a.writeLines(file, "events", anyOf(m.FindEvents(ctx, search)))
			})
		},
	}
	s.add(cmd)
	cmd.Flags().StringVar(&file, "file", "", "a new file to write to; default: standard output")
	cmd.Flags().BoolVar(&decisions, "decisions", false, "recorded decisions in place of events")
	t.add(cmd)
	return cmd
}

// anyOf is a sequence whose items may be anything.
func anyOf[T any](items iter.Seq2[T, error]) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for item, err := range items {
			if !yield(item, err) {
				return
			}
		}
	}
}

// writeLines writes items as JSON Lines to a new file, or to standard output.
func (a *app) writeLines(file, noun string, items iter.Seq2[any, error]) (err error) {
	to := a.stdout
	if file != "" {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the operator names the file
		if err != nil {
			return fmt.Errorf("make the file: %w", err)
		}
		defer func() { err = errors.Join(err, f.Sync(), f.Close()) }()
		to = f
	}
	lines := bufio.NewWriter(to)
	enc := json.NewEncoder(lines)
	p := a.newProgress(noun)
	defer p.end()
	for item, err := range items {
		if err != nil {
			return errors.Join(err, lines.Flush())
		}
		if err := enc.Encode(item); err != nil {
			return fmt.Errorf("write the %s: %w", noun, err)
		}
		p.add(1)
	}
	if err := lines.Flush(); err != nil {
		return fmt.Errorf("write the %s: %w", noun, err)
	}
	return nil
}

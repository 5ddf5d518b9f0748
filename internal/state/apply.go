package state

import (
	"context"
	"errors"
	"fmt"
	"slices"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/yamlfile"
)

// Options say how a world is applied.
type Options struct {
	// DryRun finds out what would change and changes nothing.
	DryRun bool
	// Prune deletes what the files do not name, of the kinds they do name.
	Prune bool
}

// maxProblems bounds what one apply reports.
const maxProblems = 1000

// errDryRun undoes the transaction of a dry run.
var errDryRun = errors.New("dry run")

// errProblems undoes the transaction of an apply that found problems.
var errProblems = errors.New("the files do not fit the store")

// Apply makes the store of the service match the world, in one transaction: all
// of it or, with any error, nothing. Its error is yamlfile.Problems where the
// files do not fit the store (a reference that leads nowhere, an id that another
// organisation has, digests of another store), each with its line; any other
// error is a failure to do it. The service must not be narrowed to a token:
// whoever may apply may do anything.
func Apply(ctx context.Context, service *manage.Service, actor store.Actor, w *World, o Options) (Summary, error) {
	if err := w.users.prepare(ctx, service); err != nil {
		return Summary{}, fmt.Errorf("apply: %w", err)
	}
	var r *run
	err := service.Store.Mutate(ctx, actor, func(ctx context.Context, tx *store.Tx) error {
		// Made anew each time: the store may ask for a second attempt.
		r = &run{service: service, world: w, options: o}
		r.summary.Warnings = slices.Clone(w.Warnings)
		if err := r.all(ctx, tx); err != nil {
			return err
		}
		if len(r.problems) > 0 {
			return errProblems
		}
		if o.DryRun {
			return errDryRun
		}
		return nil
	})
	switch {
	case errors.Is(err, errDryRun):
		r.summary.Secrets = nil
	case errors.Is(err, errProblems):
		return Summary{}, r.problems.Err()
	case err != nil:
		return Summary{}, fmt.Errorf("apply: %w", err)
	}
	r.summary.Warnings.Sort()
	return r.summary, nil
}

// run is one attempt at an apply.
type run struct {
	service  *manage.Service
	world    *World
	options  Options
	summary  Summary
	problems yamlfile.Problems
}

// all runs the steps of every collection. References that lead nowhere end it
// before anything is written.
func (r *run) all(ctx context.Context, tx *store.Tx) error {
	kinds := r.world.collections()
	for _, kind := range kinds {
		if err := kind.look(ctx, tx, r); err != nil {
			return err
		}
	}
	if len(r.problems) > 0 {
		return nil
	}
	backwards := slices.Clone(kinds)
	slices.Reverse(backwards)
	for _, kind := range backwards {
		if err := kind.before(ctx, tx, r); err != nil {
			return err
		}
	}
	for _, kind := range kinds {
		if err := kind.write(ctx, tx, r); err != nil {
			return err
		}
	}
	if len(r.problems) > 0 {
		return nil
	}
	for _, kind := range backwards {
		if err := kind.after(ctx, tx, r); err != nil {
			return err
		}
	}
	return nil
}

// prunes says whether things of a kind are deleted that the files do not name.
func (r *run) prunes(named bool) bool { return r.options.Prune && named }

func (r *run) created(kind, id string) {
	r.summary.Changes = append(r.summary.Changes, Change{Action: Create, Kind: kind, ID: id})
}

func (r *run) updated(kind, id string, fields diff) {
	r.summary.Changes = append(r.summary.Changes, Change{Action: Update, Kind: kind, ID: id, Fields: fields})
}

func (r *run) deleted(kind, id string) {
	r.summary.Changes = append(r.summary.Changes, Change{Action: Delete, Kind: kind, ID: id})
}

// report adds a problem at a member of an entry.
func report[T any](r *run, e *entry[T], flaw *keystile.Invalid) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, e.from.problem(e.path(flaw.Field), flaw.Remedy, flaw.Problem))
	}
}

func warn[T any](r *run, e *entry[T], flaw *keystile.Invalid) {
	r.summary.Warnings = append(r.summary.Warnings, e.from.problem(e.path(flaw.Field), flaw.Remedy, flaw.Problem))
}

// answer turns the refusal of one entry into problems, so that the others are
// looked at as well; any other error is returned.
func answer[T any](r *run, e *entry[T], err error) error { return answerAt(r, e, "id", err) }

// answerAt is answer for things that are known by another member than their id.
func answerAt[T any](r *run, e *entry[T], member string, err error) error {
	if err == nil {
		return nil
	}
	invalids, ok := invalidsOf(err)
	for _, i := range invalids {
		report(r, e, i)
	}
	switch {
	case ok:
		return nil
	case errors.Is(err, keystile.ErrConflict):
		report(r, e, keystile.Invalidf(member, "change it here or there", "contradicts what the store holds: %s", err))
		return nil
	}
	return fmt.Errorf("%s: %w", e.where(), err)
}

// pruneAnswer turns the refusal of a deletion into a problem without a line.
func (r *run) pruneAnswer(kind, id string, err error) error {
	if !errors.Is(err, keystile.ErrConflict) {
		return err
	}
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, yamlfile.Problem{
			File: "prune", Field: kind + " " + id, Problem: err.Error(), Remedy: "name it in the files, or remove what holds it",
		})
	}
	return nil
}

// lister lists things of one kind whose ids are greater than after.
type lister[T any] func(ctx context.Context, after string, limit int) ([]T, error)

const pageSize = 1000

// every calls fn for all things of a kind, in the order of their ids.
func every[T any](ctx context.Context, list lister[T], idOf func(*T) string, fn func(*T) error) error {
	after := ""
	for {
		page, err := list(ctx, after, pageSize)
		if err != nil {
			return err
		}
		for i := range page {
			if err := fn(&page[i]); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
		after = idOf(&page[len(page)-1])
	}
}

// fetch reads the things of the given ids that exist. It walks the ordered list
// beside the ordered ids, skipping where they are far apart, so that it costs
// little for a few of ten million and for a hundred thousand of as many.
func fetch[T any](ctx context.Context, list lister[T], idOf func(*T) string, ids []string) (map[string]T, error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	found := make(map[string]T, len(ids))
	last := ""
	for len(ids) > 0 {
		page, err := list(ctx, max(justBefore(ids[0]), last), min(pageSize, len(ids)+8))
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return found, nil
		}
		last = idOf(&page[len(page)-1])
		for i := range page {
			id := idOf(&page[i])
			for len(ids) > 0 && ids[0] < id {
				ids = ids[1:]
			}
			if len(ids) > 0 && ids[0] == id {
				found[id] = page[i]
				ids = ids[1:]
			}
		}
	}
	return found, nil
}

// justBefore is a text less than id with few valid ids between them: its last
// character lowered by one, and characters above any that an id may hold.
func justBefore(id string) string {
	last := len(id) - 1
	return id[:last] + string(id[last]-1) + "~~~~"
}

// namesOf is the set of ids that entries name.
func namesOf[T any](entries []entry[T], idOf func(*T) string) map[string]*entry[T] {
	names := make(map[string]*entry[T], len(entries))
	for i := range entries {
		names[idOf(entries[i].value)] = &entries[i]
	}
	return names
}

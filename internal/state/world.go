package state

import (
	"context"
	"errors"
	"fmt"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/yamlfile"
)

// File is a state file: its name for messages and its contents.
type File struct {
	Name string
	Data []byte
}

// World is what state files say the store should hold, checked as far as that
// is possible without the store. It belongs to one goroutine.
type World struct {
	// Warnings are things to know that prevent nothing.
	Warnings yamlfile.Problems

	organizations organizations
	sites         sites
	roles         roles
	users         users
	keys          apiKeys
	signing       signingKeys
	applications  applications
	// authorizations refer to applications and to organisations.
	authorizations authorizations
	providers      identityProviders
}

// collection is one kind of thing in the world. Its methods after check run
// inside the transaction of an apply and may run again if the store asks.
type collection interface {
	// check reports what is wrong without looking at the store.
	check(*checker)
	// look reads from the store what the files name and what they refer to, and
	// reports references that lead nowhere.
	look(context.Context, *store.Tx, *run) error
	// before deletes what later writes could collide with.
	before(context.Context, *store.Tx, *run) error
	// write creates and updates.
	write(context.Context, *store.Tx, *run) error
	// after does what must wait for everybody's write.
	after(context.Context, *store.Tx, *run) error
}

// collections lists the world in the order of dependence: what comes later
// refers to what came before.
func (w *World) collections() []collection {
	return []collection{&w.organizations, &w.sites, &w.roles, &w.users, &w.keys, &w.signing, &w.providers, &w.applications, &w.authorizations}
}

// source is a decoded file.
type source struct {
	name      string
	document  document
	positions *yamlfile.Positions
}

// problem makes a problem at a field of the file.
func (s *source) problem(field, remedy, text string) yamlfile.Problem {
	return yamlfile.Problem{File: s.name, Line: max(1, s.positions.Line(field)), Field: field, Problem: text, Remedy: remedy}
}

// entry is one thing as a file names it.
type entry[T any] struct {
	value *T
	from  *source
	// section and index are its place in the file: "api_keys[3]".
	section string
	index   int
}

func (e *entry[T]) path(member string) string {
	place := fmt.Sprintf("%s[%d]", e.section, e.index)
	if member != "" {
		place += "." + member
	}
	return place
}

// where is the entry's place for people: "keystile-state.yaml:12".
func (e *entry[T]) where() string {
	return fmt.Sprintf("%s:%d", e.from.name, e.from.positions.Line(e.path("")))
}

func entriesOf[T any](from *source, section string, items []T) []entry[T] {
	entries := make([]entry[T], len(items))
	for i := range items {
		entries[i] = entry[T]{value: &items[i], from: from, section: section, index: i}
	}
	return entries
}

// Parse reads state files of at most yamlfile.MaxState bytes each as one world.
// Its error is yamlfile.Problems: everything that is wrong with them.
func Parse(files ...File) (*World, error) {
	w, c := &World{}, &checker{seen: map[string]string{}}
	c.warnings = &w.Warnings
	for _, file := range files {
		s := &source{name: file.Name}
		positions, err := yamlfile.Decode(file.Name, file.Data, &s.document)
		s.positions = positions
		if err != nil {
			problems, ok := yamlfile.ProblemsOf(err)
			if !ok {
				return nil, fmt.Errorf("read %s: %w", file.Name, err)
			}
			c.problems = append(c.problems, problems...)
		}
		w.organizations.take(s)
		w.sites.take(s)
		w.roles.take(s)
		w.users.take(s)
		w.keys.take(s)
		w.signing.take(s)
		w.applications.take(s)
		w.authorizations.take(s)
		w.providers.take(s)
	}
	for _, kind := range w.collections() {
		kind.check(c)
	}
	if err := c.problems.Err(); err != nil {
		return nil, err
	}
	w.Warnings.Sort()
	return w, nil
}

// Read reads state files by their paths.
func Read(paths ...string) (*World, error) {
	var problems yamlfile.Problems
	files := make([]File, 0, len(paths))
	for _, name := range paths {
		data, err := yamlfile.Read(name, yamlfile.MaxState)
		if too, ok := yamlfile.ProblemsOf(err); ok {
			problems = append(problems, too...)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read a state file: %w", err)
		}
		files = append(files, File{Name: name, Data: data})
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return Parse(files...)
}

// checker gathers what is wrong with files.
type checker struct {
	problems yamlfile.Problems
	warnings *yamlfile.Problems
	// seen holds where each "kind id" was first named.
	seen map[string]string
}

func (c *checker) add(s *source, field, remedy, format string, args ...any) {
	c.problems = append(c.problems, s.problem(field, remedy, fmt.Sprintf(format, args...)))
}

// adopt takes over the findings of another package about the thing at a path:
// one *keystile.Invalid or several joined. It says whether err was nothing else.
func (c *checker) adopt(s *source, path string, err error) bool {
	invalid, ok := invalidsOf(err)
	for _, i := range invalid {
		field := path
		if i.Field != "" {
			field = strings.TrimPrefix(path+"."+i.Field, ".")
		}
		c.add(s, field, i.Remedy, "%s", i.Problem)
	}
	return ok
}

// invalidsOf lists the *keystile.Invalid that err is made of; false if it is
// made of something else, too.
func invalidsOf(err error) ([]*keystile.Invalid, bool) {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var all []*keystile.Invalid
		for _, one := range joined.Unwrap() {
			found, ok := invalidsOf(one)
			if !ok {
				return nil, false
			}
			all = append(all, found...)
		}
		return all, len(all) > 0
	}
	var invalid *keystile.Invalid
	if errors.As(err, &invalid) {
		return []*keystile.Invalid{invalid}, true
	}
	return nil, false
}

package policy

import "fmt"

// Problem is one thing that is wrong with a route, or, in Table.Warnings, one
// thing its author should know.
type Problem struct {
	// Source is where the route was declared, "keystile.yaml:12".
	Source string
	// Field is the member of the route in the words of the configuration:
	// "match.path", "resource.id", "limit".
	Field string
	// Problem says what is wrong.
	Problem string
	// Remedy says what would be right.
	Remedy string
}

// Error implements error: "SOURCE: field: problem; remedy".
func (p Problem) Error() string {
	s := p.Problem
	if p.Field != "" {
		s = p.Field + ": " + s
	}
	if p.Source != "" {
		s = p.Source + ": " + s
	}
	if p.Remedy != "" {
		s += "; " + p.Remedy
	}
	return s
}

// report gathers the problems of one route.
type report struct {
	source string
	found  []Problem
}

// add appends a problem whose text is formatted.
func (r *report) add(field, remedy, format string, args ...any) {
	r.found = append(r.found, Problem{
		Source: r.source, Field: field, Problem: fmt.Sprintf(format, args...), Remedy: remedy,
	})
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// report is what was measured.
type report struct {
	// Machine says what the figures hold for.
	Machine string `json:"machine"`
	// Comparisons are CPU for each request, the first of each against itself.
	Comparisons []comparison `json:"comparisons"`
	Figures     []figure     `json:"figures"`
}

// comparison is a subject and what it is measured against.
type comparison struct {
	Subject string `json:"subject"`
	// Against is what the ratio is to.
	Against string `json:"against"`
	// MicrosecondsCPU is the median of user and system time a request.
	MicrosecondsCPU float64 `json:"microseconds_cpu"`
	// AgainstCPU is the same of what it is compared with.
	AgainstCPU float64 `json:"against_microseconds_cpu"`
	// Ratio is the median of the rounds' ratios.
	Ratio float64 `json:"ratio"`
	// Goal is the ratio that must not be exceeded.
	Goal float64 `json:"goal"`
	// PerSecond is how many requests a second were answered, for interest.
	PerSecond float64 `json:"requests_per_second"`
}

// figure is a single number.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Goal  string  `json:"goal"`
}

func (r *report) figure(name string, value float64, unit, goal string) {
	r.Figures = append(r.Figures, figure{name, value, unit, goal})
}

func (r *report) write(w io.Writer, format string) error {
	if format == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	if _, err := fmt.Fprintf(w, "%s\n\n", r.Machine); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(format string, args ...any) error {
		_, err := fmt.Fprintf(t, format, args...)
		return err
	}
	if err := row("subject\tCPU µs\tagainst\tCPU µs\tratio\tgoal\trequests/s\t\n"); err != nil {
		return err
	}
	for _, c := range r.Comparisons {
		if err := row("%s\t%.2f\t%s\t%.2f\t%.2f\t%.2f\t%.0f\t\n",
			c.Subject, c.MicrosecondsCPU, c.Against, c.AgainstCPU, c.Ratio, c.Goal, c.PerSecond); err != nil {
			return err
		}
	}
	if err := row("\nfigure\tvalue\t\tgoal\t\n"); err != nil {
		return err
	}
	for _, f := range r.Figures {
		if err := row("%s\t%.2f\t%s\t%s\t\n", f.Name, f.Value, f.Unit, f.Goal); err != nil {
			return err
		}
	}
	return t.Flush()
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

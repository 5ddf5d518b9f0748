package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
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
	// Goal is the ratio that must not be exceeded; zero if it is not a ratio that is promised.
	Goal float64 `json:"goal"`
	// More is the median of the rounds' differences in microseconds.
	More float64 `json:"more_microseconds_cpu"`
	// MoreGoal is the difference that must not be exceeded; zero if none is promised.
	MoreGoal float64 `json:"more_goal"`
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

// costs are a subject's microseconds of CPU for a request, and its requests a
// second, round by round.
type costs struct{ cpu, rate []float64 }

// ratio reports what a subject costs in multiples of another.
func (r *report) ratio(subject, against string, its, others costs, goal float64) {
	c := its.beside(others)
	c.Subject, c.Against, c.Goal = subject, against, goal
	r.Comparisons = append(r.Comparisons, c)
}

// difference reports what a subject costs more than another.
func (r *report) difference(subject, against string, its, others costs, goal float64) {
	c := its.beside(others)
	c.Subject, c.Against, c.MoreGoal = subject, against, goal
	r.Comparisons = append(r.Comparisons, c)
}

// beside compares round by round.
func (c costs) beside(other costs) comparison {
	ratios, more := make([]float64, len(c.cpu)), make([]float64, len(c.cpu))
	for i, cpu := range c.cpu {
		ratios[i], more[i] = cpu/other.cpu[i], cpu-other.cpu[i]
	}
	return comparison{
		MicrosecondsCPU: median(c.cpu), AgainstCPU: median(other.cpu), Ratio: median(ratios), More: median(more), PerSecond: median(c.rate),
	}
}

// promised is a goal as the table shows it.
func promised(goal float64) string {
	if goal == 0 {
		return "-"
	}
	return strconv.FormatFloat(goal, 'f', 2, 64)
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
	if err := row("subject\tCPU µs\tagainst\tCPU µs\tratio\tgoal\tmore µs\tgoal\trequests/s\t\n"); err != nil {
		return err
	}
	for _, c := range r.Comparisons {
		if err := row("%s\t%.2f\t%s\t%.2f\t%.2f\t%s\t%.2f\t%s\t%.0f\t\n",
			c.Subject, c.MicrosecondsCPU, c.Against, c.AgainstCPU, c.Ratio, promised(c.Goal), c.More, promised(c.MoreGoal), c.PerSecond); err != nil {
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

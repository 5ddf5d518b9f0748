package keystile

import (
	"strconv"
	"strings"
	"time"
)

// LimitPer says what a rate limit counts by.
type LimitPer string

// What limits count by (routes[].limit.per).
const (
	PerCredential   LimitPer = "credential"
	PerAddress      LimitPer = "address"
	PerOrganization LimitPer = "organization"
)

// Algorithm is how a limit counts.
type Algorithm string

// The algorithms. AlgorithmWindow never allows more than N in any rolling
// window, exactly; AlgorithmGCRA paces requests smoothly.
const (
	AlgorithmWindow Algorithm = "window"
	AlgorithmGCRA   Algorithm = "gcra"
)

// MaxWindowRequests is the largest quota an exact rolling window takes
// (rulings R6: at most 40 KiB a key).
const MaxWindowRequests = 10_000

// Rate is "requests per window".
type Rate struct {
	Requests  int
	Window    time.Duration
	Algorithm Algorithm
}

// ParseRate reads "60/1m": a whole number of requests, a slash, and a Go
// duration between 1ms and 24h; a bare unit as in "60/m" means one of it.
// The algorithm is AlgorithmWindow, or gcra if that is given.
func ParseRate(text string, algorithm Algorithm) (*Rate, error) {
	n, w, ok := strings.Cut(text, "/")
	if !ok {
		return nil, Invalidf("", "write REQUESTS/WINDOW, for example 60/1m", "%q is not a rate", text)
	}
	requests, err := strconv.Atoi(n)
	if err != nil || requests < 1 || requests > 1_000_000_000 {
		return nil, Invalidf("", "use a whole number from 1 to 1000000000", "%q is not a number of requests", n)
	}
	window, ok := parseWindow(w)
	if !ok {
		return nil, Invalidf("", "use a duration from 1ms to 24h, such as 1m", "%q is not a window", w)
	}
	if algorithm == "" {
		algorithm = AlgorithmWindow
	}
	if algorithm != AlgorithmWindow && algorithm != AlgorithmGCRA {
		return nil, Invalidf("", "use window or gcra", "%q is not an algorithm", algorithm)
	}
	if algorithm == AlgorithmWindow && requests > MaxWindowRequests {
		return nil, Invalidf("", "set algorithm: gcra, or at most 10000 requests a window",
			"%d requests a window is more than an exact window can count", requests)
	}
	return &Rate{Requests: requests, Window: window, Algorithm: algorithm}, nil
}

// parseWindow reads "1m", or "m" for one of it.
func parseWindow(text string) (time.Duration, bool) {
	if text != "" && (text[0] < '0' || text[0] > '9') {
		text = "1" + text
	}
	window, err := time.ParseDuration(text)
	return window, err == nil && window >= time.Millisecond && window <= 24*time.Hour
}

// String is the form ParseRate reads.
func (r Rate) String() string {
	return strconv.Itoa(r.Requests) + "/" + shortDuration(r.Window)
}

// shortDuration writes 1m0s as 1m and 24h0m0s as 24h.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

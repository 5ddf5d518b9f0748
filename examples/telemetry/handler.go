package telemetry

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// Handler serves
//
//	GET /telemetry/inverter     asset_id, site_id, start, end, resolution, limit, cursor
//	GET /telemetry/site         site_id, start, end, resolution, limit, cursor
//	GET /telemetry/data-period  site_id, asset_id (optional)
//
// with {"records":[…]}. start is included and end is not, at most 31 days lie
// between them, and a time without an offset is UTC. resolution is 5min
// (default) or daily (by UTC days), limit 1 to 1000 records (default 1000). If
// more follow, the answer has next_cursor, to be sent as cursor with the same
// request. An unknown site or asset has no records. Errors are
// {"error":"…"} with 400 for a request that cannot be read, and for an unknown path.
//
// It is safe for concurrent use and keeps the records in memory, half a
// megabyte, from the first request on.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/telemetry/inverter", get(func(t *table, raw string) (answer, error) {
		q, err := parseQuery(raw, true)
		if err != nil {
			return answer{}, err
		}
		if a := t.asset(q.site, q.asset); a != nil {
			return page([]*asset{a}, q), nil
		}
		return answer{Records: []record{}}, nil
	}))
	mux.HandleFunc("/telemetry/site", get(func(t *table, raw string) (answer, error) {
		q, err := parseQuery(raw, false)
		if err != nil {
			return answer{}, err
		}
		return page(t.sites[q.site], q), nil
	}))
	mux.HandleFunc("/telemetry/data-period", get(periods))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fail(w, http.StatusBadRequest, "Invalid request") })
	return mux
}

// answer is the body of every reply but an error.
type answer struct {
	Records    any    `json:"records"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// get makes a handler of a function from a query string to an answer.
func get(reply func(*table, string) (answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			fail(w, http.StatusMethodNotAllowed, "Invalid request")
			return
		}
		t, err := records()
		if err != nil {
			fail(w, http.StatusServiceUnavailable, "Service unavailable")
			return
		}
		body, err := reply(t, r.URL.RawQuery)
		if err != nil {
			fail(w, http.StatusBadRequest, "Invalid request")
			return
		}
		send(w, http.StatusOK, body)
	}
}

// periods answers /telemetry/data-period.
func periods(t *table, raw string) (answer, error) {
	p := parseParameters(raw)
	site, id := p.id("site_id", true), p.id("asset_id", false)
	if p.err != nil {
		return answer{}, p.err
	}
	list := []period{}
	for _, a := range t.sites[site] {
		if id == "" || id == a.id {
			list = append(list, period{
				AssetID: a.id, SiteID: a.site, Start: stamp(a.first), End: stamp(a.at(len(a.samples))), Records: len(a.samples),
			})
		}
	}
	return answer{Records: list}, nil
}

// page collects records in order of time, then of asset, from where the cursor
// says on.
func page(assets []*asset, q query) answer {
	list := []record{}
	interval := step
	if q.daily {
		interval = 24 * time.Hour
	}
	at, skip := q.start.Truncate(interval), 0
	if q.after.interval.After(at) {
		at = q.after.interval.Truncate(interval)
	}
	if q.after.interval.Equal(at) {
		skip = q.after.asset
	}
	for ; at.Before(q.end); at = at.Add(interval) {
		for i, a := range assets {
			from, to := a.within(later(at, q.start), earlier(at.Add(interval), q.end))
			if i < skip || from == to {
				continue
			}
			if len(list) == q.limit {
				return answer{Records: list, NextCursor: position{interval: at, asset: i}.cursor()}
			}
			list = append(list, summarize(a, from, to))
		}
		skip = 0
	}
	return answer{Records: list}
}

// within is the range of samples that begin at start or later and before end.
func (a *asset) within(start, end time.Time) (from, to int) {
	index := func(t time.Time) int {
		d := t.Sub(a.first)
		i := int(d / step)
		if d > 0 && d%step != 0 {
			i++
		}
		return min(max(i, 0), len(a.samples))
	}
	return index(start), index(end)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// fail answers an error in the shape Ona's clients read.
func fail(w http.ResponseWriter, status int, text string) {
	send(w, status, map[string]string{"error": text})
}

// send writes a body as JSON.
func send(w http.ResponseWriter, status int, body any) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(body); err != nil {
		http.Error(w, `{"error":"Service unavailable"}`, http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if _, err := w.Write(b.Bytes()); err != nil {
		return // the client has gone; nobody is left to tell
	}
}

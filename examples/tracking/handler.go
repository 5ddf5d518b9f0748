// Package tracking is a small stand-in for an indoor-tracking API behind the
// gateway: sites as JSON:API documents, from memory. It never looks at
// credentials: that is the gateway's work. It is for the demo and tests.
package tracking

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// site is the attributes of one site.
type site struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
	City string `json:"city"`
	// Trackables is how many things are followed there.
	Trackables int `json:"trackables_count"`
}

// sites are what every caller sees.
var sites = []site{
	{ID: 101, Name: "Central Station", City: "Toulouse", Trackables: 42},
	{ID: 102, Name: "University Hospital", City: "Paris", Trackables: 318},
	{ID: 103, Name: "Harbour Warehouse", City: "Marseille", Trackables: 1250},
}

// resource is a JSON:API resource object: its id is text, the attribute a number.
type resource struct {
	ID         string `json:"id"`
	Type       string `json:"type"`
	Attributes site   `json:"attributes"`
}

func describe(s site) resource { return resource{ID: strconv.Itoa(s.ID), Type: "site", Attributes: s} }

// Handler serves
//
//	GET /api/v2/sites        {"data":[…],"links":{"self":…}}
//	GET /api/v2/sites/{id}   {"data":{…},"links":{"self":…}}
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v2/sites", func(w http.ResponseWriter, r *http.Request) {
		list := make([]resource, len(sites))
		for i, s := range sites {
			list[i] = describe(s)
		}
		send(w, http.StatusOK, document(list, r))
	})
	mux.HandleFunc("GET /api/v2/sites/{id}", func(w http.ResponseWriter, r *http.Request) {
		for _, s := range sites {
			if one := describe(s); one.ID == r.PathValue("id") {
				send(w, http.StatusOK, document(one, r))
				return
			}
		}
		notFound(w)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { notFound(w) })
	return mux
}

func document(data any, r *http.Request) map[string]any {
	return map[string]any{"data": data, "links": map[string]string{"self": r.URL.Path}}
}

func notFound(w http.ResponseWriter) {
	send(w, http.StatusNotFound, map[string]any{"errors": []map[string]string{
		{"status": "404", "code": "not_found", "title": "Not Found", "detail": "The resource was not found."},
	}})
}

func send(w http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		status, raw = http.StatusInternalServerError, []byte(`{"errors":[{"status":"500"}]}`)
	}
	w.Header().Set("Content-Type", "application/vnd.api+json")
	w.WriteHeader(status)
	if _, err := w.Write(append(raw, '\n')); err != nil {
		return // the caller is gone
	}
}

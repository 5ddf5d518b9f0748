// Package roofs is a small stand-in for a solar design API behind the gateway:
// designs of a tenant, from memory. It never looks at credentials: that is the
// gateway's work. It is for the demo and tests.
package roofs

import (
	"encoding/json"
	"net/http"
)

// design is one roof with its panels.
type design struct {
	ID     string  `json:"id"`
	Name   string  `json:"name"`
	Panels int     `json:"panels"`
	SizeKW float64 `json:"system_size_kw"`
}

// designs are what every tenant sees.
var designs = []design{
	{ID: "d-1", Name: "Hillside 12", Panels: 24, SizeKW: 9.6},
	{ID: "d-2", Name: "Harbour Road 3", Panels: 40, SizeKW: 16},
}

// Handler serves GET /tenants/{tenant}/designs: {"tenant_id":…,"designs":[…]}.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tenants/{tenant}/designs", func(w http.ResponseWriter, r *http.Request) {
		body, err := json.Marshal(map[string]any{"tenant_id": r.PathValue("tenant"), "designs": designs})
		if err != nil {
			http.Error(w, "not available", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write(body); err != nil {
			return // the caller went away
		}
	})
	return mux
}

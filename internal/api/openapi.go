package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// registerOpenAPI renders the OpenAPI 3.1 document once, after every other
// operation is in it, and serves it. It says nothing about the server's data.
func registerOpenAPI(a *API) error {
	const id = "get-openapi"
	op, ok := a.pending[id]
	if !ok {
		return fmt.Errorf("operation %s is not in the table", id)
	}
	delete(a.pending, id)
	described := describe(op)
	described.Tags = []string{"openapi"}
	described.Responses = map[string]*huma.Response{"200": {
		Description: "The document",
		Content:     map[string]*huma.MediaType{"application/openapi+json": {Schema: &huma.Schema{Type: huma.TypeObject}}},
	}}
	a.huma.OpenAPI().AddOperation(&described)
	tellNull(a.huma.OpenAPI())
	document, err := json.Marshal(a.huma.OpenAPI())
	if err != nil {
		return fmt.Errorf("render the OpenAPI document: %w", err)
	}
	a.openapi = document
	a.mux.HandleFunc(op.Pattern(), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json;version=3.1")
		if _, err := w.Write(a.openapi); err != nil {
			a.options.Logger.DebugContext(r.Context(), "could not answer", "request_id", requestID(r.Context()), "error", err)
		}
	})
	return nil
}

// OpenAPI is the OpenAPI 3.1 document of the API, as served.
func (a *API) OpenAPI() []byte { return append([]byte(nil), a.openapi...) }

// tellNull lets the document say what is so: in the body of a POST an optional
// member may be null, which is as good as absent.
func tellNull(doc *huma.OpenAPI) {
	for _, item := range doc.Paths {
		if item.Post == nil || item.Post.RequestBody == nil {
			continue
		}
		for _, content := range item.Post.RequestBody.Content {
			allowNull(doc, content.Schema)
		}
	}
}

func allowNull(doc *huma.OpenAPI, schema *huma.Schema) {
	if schema == nil {
		return
	}
	if name := refName(schema); name != "" {
		schema = doc.Components.Schemas.Map()[name]
	}
	for name, member := range schema.Properties {
		if slices.Contains(schema.Required, name) || member.Ref != "" || member.Nullable {
			continue
		}
		member.Nullable = true
		if len(member.Enum) > 0 {
			member.Enum = append(member.Enum, nil)
		}
		if member.Items != nil {
			allowNull(doc, member.Items)
		}
	}
}

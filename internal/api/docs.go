package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

var (
	//go:embed docs.html
	docsPage string
	//go:embed docs.css
	docsStyle string
)

// docs is what the page shows.
type docs struct {
	Title, Version string
	Style          template.CSS
	About          []string
	Groups         []docsGroup
	Schemas        []docsSchema
}

type docsGroup struct {
	Name       string
	Operations []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary, Description, Access, Refusals string
	Parameters                                               []docsParameter
	Bodies                                                   []docsBody
}

type docsParameter struct{ Name, In, Type, Description string }

type docsBody struct {
	Label, Media string
	Schemas      []string
	Example      string
}

type docsSchema struct {
	Name    string
	Members []docsMember
}

type docsMember struct {
	Name, Type, Schema, Description string
	Required                        bool
}

// registerDocs renders the OpenAPI document as a page, once. The page is complete:
// it has no script and fetches nothing.
func registerDocs(a *API) error {
	const id = "get-docs"
	op, ok := a.pending[id]
	if !ok {
		return fmt.Errorf("operation %s is not in the table", id)
	}
	delete(a.pending, id)
	described := describe(op)
	described.Responses = map[string]*huma.Response{"200": {
		Description: "The page",
		Content:     map[string]*huma.MediaType{"text/html": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
	a.huma.OpenAPI().AddOperation(&described)
	page, err := renderDocs(a.huma.OpenAPI())
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(docsStyle))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
	a.mux.HandleFunc(op.Pattern(), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		if _, err := w.Write(page); err != nil {
			a.options.Logger.DebugContext(r.Context(), "could not answer", "request_id", requestID(r.Context()), "error", err)
		}
	})
	return nil
}

func renderDocs(doc *huma.OpenAPI) ([]byte, error) {
	parsed, err := template.New("docs").Parse(docsPage)
	if err != nil {
		return nil, fmt.Errorf("read the page of the API: %w", err)
	}
	d := docs{
		Title: doc.Info.Title, Version: doc.Info.Version, About: strings.Split(doc.Info.Description, "\n\n"),
		Style: template.CSS(docsStyle), //nolint:gosec // G203: it is our own, embedded
	}
	groups := map[string][]docsOperation{}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		item := doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil && len(op.Tags) > 0 {
				groups[op.Tags[0]] = append(groups[op.Tags[0]], docsOf(doc, op))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		d.Groups = append(d.Groups, docsGroup{name, groups[name]})
	}
	schemas := doc.Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		d.Schemas = append(d.Schemas, docsSchema{name, membersOf(schemas[name])})
	}
	var page bytes.Buffer
	if err := parsed.Execute(&page, d); err != nil {
		return nil, fmt.Errorf("render the page of the API: %w", err)
	}
	return page.Bytes(), nil
}

func docsOf(doc *huma.OpenAPI, op *huma.Operation) docsOperation {
	out := docsOperation{ID: op.OperationID, Method: op.Method, Path: op.Path, Summary: op.Summary, Description: op.Description, Access: "Open to everybody."}
	for _, need := range op.Security {
		out.Access = "Takes an admin token: Authorization: Bearer kadm_…"
		if _, key := need[schemeKey]; key {
			out.Access = "Takes an API key: x-api-key, or Authorization: Bearer."
		}
	}
	for _, p := range op.Parameters {
		out.Parameters = append(out.Parameters, docsParameter{p.Name, p.In, typeText(p.Schema), p.Description})
	}
	if op.RequestBody != nil {
		for media, content := range op.RequestBody.Content {
			out.Bodies = append(out.Bodies, bodyOf(doc, "Body:", media, content))
		}
	}
	var refusals []string
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		if code, err := strconv.Atoi(status); err != nil || code >= http.StatusBadRequest {
			refusals = append(refusals, status)
			continue
		}
		for media, content := range op.Responses[status].Content {
			out.Bodies = append(out.Bodies, bodyOf(doc, "Answer "+status+":", media, content))
		}
	}
	out.Refusals = strings.Join(refusals, ", ")
	return out
}

func bodyOf(doc *huma.OpenAPI, label, media string, content *huma.MediaType) docsBody {
	out := docsBody{Label: label, Media: media}
	if content == nil || content.Schema == nil {
		return out
	}
	for _, s := range append([]*huma.Schema{content.Schema, content.Schema.Items}, content.Schema.OneOf...) {
		if s == nil {
			continue
		}
		if s.Items != nil && s.Ref == "" {
			s = s.Items
		}
		if name := refName(s); name != "" && !slices.Contains(out.Schemas, name) {
			out.Schemas = append(out.Schemas, name)
		}
	}
	if example := exampleOf(doc, content.Schema, 0); example != nil {
		if text, err := json.MarshalIndent(example, "", "  "); err == nil {
			out.Example = string(text)
		}
	}
	return out
}

// maxExampleDepth bounds an example that refers to itself.
const maxExampleDepth = 5

// exampleOf is a value of a schema made of the examples of its members; nil if it
// has none.
func exampleOf(doc *huma.OpenAPI, s *huma.Schema, depth int) any {
	if s == nil || depth > maxExampleDepth {
		return nil
	}
	if name := refName(s); name != "" {
		return exampleOf(doc, doc.Components.Schemas.Map()[name], depth+1)
	}
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case len(s.OneOf) > 0:
		return exampleOf(doc, s.OneOf[0], depth+1)
	case s.Type == huma.TypeArray:
		if one := exampleOf(doc, s.Items, depth+1); one != nil {
			return []any{one}
		}
	case s.Type == huma.TypeObject:
		object := map[string]any{}
		for name, member := range s.Properties {
			if value := exampleOf(doc, member, depth+1); value != nil {
				object[name] = value
			}
		}
		if len(object) > 0 {
			return object
		}
	}
	return nil
}

func membersOf(s *huma.Schema) (members []docsMember) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		schema := refName(p)
		if schema == "" && p.Items != nil {
			schema = refName(p.Items)
		}
		members = append(members, docsMember{
			Name: name, Type: typeText(p), Schema: schema, Description: p.Description, Required: slices.Contains(s.Required, name),
		})
	}
	return members
}

// typeText is a schema's type in a few words.
func typeText(s *huma.Schema) string {
	if s == nil {
		return ""
	}
	text := s.Type
	if s.Format != "" {
		text += " (" + s.Format + ")"
	}
	if s.Type == huma.TypeArray && s.Items != nil {
		text = "array of " + typeText(s.Items)
	}
	if len(s.Enum) > 0 {
		words := make([]string, len(s.Enum))
		for i, word := range s.Enum {
			words[i] = fmt.Sprint(word)
			if word == nil {
				words[i] = "null"
			}
		}
		text += ": " + strings.Join(words, ", ")
	}
	if s.Nullable {
		text += ", or null"
	}
	return text
}

// refName is the name of the schema that another refers to, or "".
func refName(s *huma.Schema) string {
	_, name, _ := strings.Cut(s.Ref, "#/components/schemas/")
	return name
}

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"keystile.dev/keystile/internal/problem"
)

// Security schemes of the OpenAPI document.
const (
	schemeToken = "admin_token"
	schemeKey   = "api_key"
)

// humaConfig sets huma up so that it serves nothing by itself: no pages with
// foreign scripts, no link built from the Host header, no second format, and no
// query parameter that is quietly ignored.
func humaConfig(version string) huma.Config {
	config := huma.DefaultConfig("Keystile management API", version)
	config.Info.Description = "Organizations, sites, roles, API keys, signing keys, admin tokens, routes, audit events and state of a Keystile server.\n\n" +
		"Lists answer `{\"items\": [...], \"next_cursor\": \"...\"}`; an empty `next_cursor` is the end. Errors are problem details (RFC 9457) with a stable `code`. " +
		"A secret is in the answer that made it and nowhere else."
	config.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil
	config.RejectUnknownQueryParameters = true
	config.Formats = map[string]huma.Format{"application/json": strictJSON, "json": strictJSON}
	config.Transformers = []huma.Transformer{rewrite}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		schemeToken: {Type: "http", Scheme: "bearer", Description: "An admin token, kadm_…"},
		schemeKey:   {Type: "apiKey", In: "header", Name: "x-api-key", Description: "An API key; also as Authorization: Bearer"},
	}
	// The document shows the errors that are really sent.
	config.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[huma.ErrorModel](), reflect.TypeFor[problem.Problem]())
	return config
}

// handler is what an operation does for a caller that may do it.
type handler[I, O any] func(ctx context.Context, c *caller, in *I) (*O, error)

// handle registers the handler of an operation of the table.
func handle[I, O any](a *API, id string, fn handler[I, O], more ...func(*huma.Operation)) error {
	op, ok := a.pending[id]
	if !ok {
		return fmt.Errorf("operation %s is not in the table or has a handler already", id)
	}
	delete(a.pending, id)
	described := describe(op)
	for _, change := range more {
		change(&described)
	}
	huma.Register(a.huma, described, func(ctx context.Context, in *I) (*O, error) {
		c, ok := callerOf(ctx)
		if !ok && op.Access != AccessKey && op.Access != AccessOpen {
			// Unreachable while ServeHTTP is the only way here; if it ever is
			// reachable, nobody is let in.
			return nil, a.refuse(ctx, id, errNoToken)
		}
		out, err := fn(ctx, c, in)
		if err != nil {
			return nil, a.refuse(ctx, id, err)
		}
		return out, nil
	})
	return nil
}

// describe is an operation of the table as huma and the document have it.
func describe(op Operation) huma.Operation {
	described := huma.Operation{
		OperationID: op.ID, Method: op.Method, Path: op.Path, Summary: op.Summary,
		DefaultStatus: op.Status, MaxBodyBytes: MaxBody + 1, BodyReadTimeout: 10 * time.Second,
		Tags:   []string{strings.SplitN(strings.TrimPrefix(op.Path, "/v1/"), "/", 2)[0]},
		Errors: []int{http.StatusBadRequest, http.StatusUnauthorized},
	}
	switch op.Access {
	case AccessToken, AccessGlobal:
		described.Security = []map[string][]string{{schemeToken: {string(op.Scope)}}}
		described.Description = "Needs scope `" + string(op.Scope) + "`."
		if op.Access == AccessGlobal {
			described.Description += " Not for tokens bound to an organization."
		}
		described.Errors = append(described.Errors, http.StatusForbidden)
	case AccessKey:
		described.Security = []map[string][]string{{schemeKey: {}}}
		described.Errors = append(described.Errors, http.StatusForbidden)
	case AccessOpen:
		described.Errors = nil
	}
	if op.Access != AccessOpen {
		described.Errors = append(described.Errors, http.StatusNotFound)
	}
	if op.Method == http.MethodPost && (op.Access == AccessToken || op.Access == AccessGlobal) {
		longest := maxIdempotencyKey
		described.Parameters = []*huma.Param{{
			Name: headerIdempotency, In: "header", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: &longest, Pattern: "^[!-~]+$"},
			Description: "Makes the request have its effect once within 24 h, however often it is sent; 10 minutes after it, answers omit secrets. Another request with the same key is refused.",
		}}
	}
	if op.Method != http.MethodGet {
		described.Errors = append(described.Errors, http.StatusConflict)
	}
	if op.Conditional {
		described.Errors = append(described.Errors, http.StatusPreconditionFailed)
	}
	described.Errors = append(described.Errors, http.StatusTooManyRequests, http.StatusServiceUnavailable)
	slices.Sort(described.Errors)
	return described
}

// registerAll joins the errors of registering several operations.
func registerAll(errs ...error) error { return errors.Join(errs...) }

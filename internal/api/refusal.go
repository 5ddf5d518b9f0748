package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/problem"
)

// Codes of the management API that package problem does not know.
const (
	// CodeInsufficientScope: the admin token is good but may not do this
	// (RFC 6750, section 3.1, has the name).
	CodeInsufficientScope = "insufficient_scope"
	// CodeStaleVersion: If-Match names another version than the present one.
	CodeStaleVersion = "stale_version"
	// CodeUnsupportedMediaType: the body is not JSON.
	CodeUnsupportedMediaType = "unsupported_media_type"
)

// refusal is a Problem on its way through huma: an error with a status, headers
// and a media type.
type refusal struct {
	*problem.Problem
	header http.Header
}

var (
	_ huma.StatusError       = (*refusal)(nil)
	_ huma.HeadersError      = (*refusal)(nil)
	_ huma.ContentTypeFilter = (*refusal)(nil)
)

// ContentType implements huma.ContentTypeFilter.
func (*refusal) ContentType(string) string { return problem.ContentType }

// GetHeaders implements huma.HeadersError.
func (r *refusal) GetHeaders() http.Header { return r.header }

// MarshalJSON writes the problem alone.
func (r *refusal) MarshalJSON() ([]byte, error) { return r.JSON(), nil }

// errStale is an If-Match that names another version (RFC 9110, section 13.1.1).
var errStale = problem.New(http.StatusPreconditionFailed, CodeStaleVersion, "it was changed since; read it again")

// refuse is an error as the caller may see it.
func (a *API) refuse(ctx context.Context, operation string, err error) *refusal {
	var already *refusal
	if errors.As(err, &already) {
		return already
	}
	var p *problem.Problem
	switch {
	case errors.Is(err, manage.ErrNotPermitted):
		p = problem.New(http.StatusForbidden, CodeInsufficientScope, "this admin token may not do that")
	default:
		p = problem.From(err)
	}
	if p.Status >= http.StatusInternalServerError {
		a.options.Logger.ErrorContext(ctx, "management operation failed",
			"operation", operation, "request_id", requestID(ctx), "error", err)
	} else if p.Status == http.StatusConflict {
		// The cause may speak of what the caller may not see: it is for the log.
		a.options.Logger.InfoContext(ctx, "management operation refused",
			"operation", operation, "request_id", requestID(ctx), "error", err)
	}
	if c, ok := callerOf(ctx); ok && c.operator && p.Detail == "" && (p.Status == http.StatusConflict || p.Status >= http.StatusInternalServerError) {
		// Who runs commands beside the store owns its files: the cause and its
		// remedy ("the disk is full") are no secret, and all there is to act on.
		p = problem.New(p.Status, p.Code, err.Error())
	}
	return withRequestID(ctx, p)
}

// withRequestID is a copy of p that names the request.
func withRequestID(ctx context.Context, p *problem.Problem) *refusal {
	named := *p
	named.RequestID = requestID(ctx)
	return &refusal{Problem: &named}
}

// rewrite is the huma transformer that turns huma's own errors into problems.
// Those quote the offending value, which may be a secret in the wrong member:
// nothing of a value is kept, and of names only what looks like one of ours.
func rewrite(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := problem.ForStatus(model.Status)
	switch model.Status {
	case http.StatusUnsupportedMediaType:
		p.Code, p.Detail = CodeUnsupportedMediaType, "send application/json"
	case http.StatusBadRequest:
		p.Code = problem.CodeMalformed
	case http.StatusRequestEntityTooLarge:
		p.Detail = "the body is over the limit of this operation"
	}
	if model.Status == http.StatusBadRequest || model.Status == http.StatusUnprocessableEntity {
		p.Errors = faults(model.Errors)
		switch {
		case len(p.Errors) == 0:
			p.Detail = "a body is required"
		case len(p.Errors) == 1 && p.Errors[0].Field == "":
			p.Detail, p.Errors = p.Errors[0].Problem, nil // about the body as a whole
		}
	}
	return withRequestID(ctx.Context(), p), nil
}

// maxFaults bounds how many faults one answer lists.
const maxFaults = 100

func faults(details []*huma.ErrorDetail) []problem.FieldError {
	var list []problem.FieldError
	for _, d := range details {
		if d == nil || len(list) == maxFaults {
			continue
		}
		list = append(list, problem.FieldError{Field: place(d.Location), Problem: d.Message})
	}
	return list
}

// place is huma's location without its first part ("body.", "query.") and
// without names that the caller made up.
func place(location string) string {
	_, path, ok := strings.Cut(location, ".")
	if !ok {
		return ""
	}
	if plainName(strings.NewReplacer("[", "", "]", "").Replace(path)) == "" {
		return ""
	}
	return path
}

// writeRefusal answers outside huma.
func (a *API) writeRefusal(w http.ResponseWriter, r *http.Request, p *problem.Problem, challenge string) {
	if challenge != "" {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	problem.Write(w, withRequestID(r.Context(), p).Problem)
}

// reasonOf is the reason a credential was refused for; empty if it was not told.
func reasonOf(err error) keystile.Reason {
	var no *keystile.Rejection
	if errors.As(err, &no) {
		return no.Reason
	}
	return keystile.ReasonNone
}

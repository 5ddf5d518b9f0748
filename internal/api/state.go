package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/problem"
)

// State is the declarative side of management, which package state implements.
// It is safe for concurrent use.
type State interface {
	// Apply makes the world match a state file, all of it or nothing. What is
	// wrong with the file is told at once: the error wraps one
	// *keystile.Invalid each, whose Field begins with the line.
	Apply(ctx context.Context, a manage.Actor, file []byte, o StateOptions) (StateResult, error)
	// Export is the present world as a file that Apply takes back.
	Export(ctx context.Context) ([]byte, error)
}

// StateOptions says how a state file is applied.
type StateOptions struct {
	// DryRun only tells what would change.
	DryRun bool
	// Prune deletes what the file does not name, of the kinds it does name.
	Prune bool
}

// StateResult is what applying a state file did, or would do.
type StateResult struct {
	DryRun   bool          `json:"dry_run" doc:"Nothing was changed"`
	Changes  []StateChange `json:"changes" nullable:"false" doc:"None: the world already matched"`
	Secrets  []StateSecret `json:"secrets" nullable:"false" doc:"Secrets that were generated; shown here and never again"`
	Warnings []string      `json:"warnings" nullable:"false"`
}

// StateChange is one thing that changed.
type StateChange struct {
	Action string `json:"action" enum:"create,update,delete"`
	Kind   string `json:"kind" example:"api_key"`
	ID     string `json:"id" example:"key_sibaya"`
	// Members that changed, for an update.
	Members []string `json:"members,omitempty"`
}

// StateSecret is a generated secret.
type StateSecret struct {
	Kind   string `json:"kind" example:"api_key"`
	ID     string `json:"id" example:"key_sibaya"`
	Secret string `json:"secret"`
}

// yamlType is the media type of state files (RFC 9512).
const yamlType = "application/yaml"

type applyInput struct {
	DryRun  bool   `query:"dry_run" doc:"Only tell what would change"`
	Prune   bool   `query:"prune" doc:"Delete what the file does not name, of the kinds it does name"`
	RawBody []byte `contentType:"application/yaml"`
}

type applyOutput struct{ Body StateResult }

type exportOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func registerState(a *API) error {
	large := func(op *huma.Operation) {
		op.MaxBodyBytes = MaxState + 1
		op.BodyReadTimeout = 5 * time.Minute
		op.Errors = append(op.Errors, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity)
	}
	asFile := func(op *huma.Operation) {
		op.Responses = map[string]*huma.Response{"200": {
			Description: "The state file", Content: map[string]*huma.MediaType{yamlType: {Schema: &huma.Schema{Type: huma.TypeObject, Description: "YAML, as docs/reference/state.md describes it"}}},
		}}
	}
	return registerAll(
		handle(a, "apply-state", func(ctx context.Context, c *caller, in *applyInput) (*applyOutput, error) {
			if len(in.RawBody) == 0 {
				return nil, problem.New(http.StatusBadRequest, problem.CodeMalformed, "a body is required")
			}
			result, err := a.options.State.Apply(ctx, c.actor, in.RawBody, StateOptions{DryRun: in.DryRun, Prune: in.Prune})
			if err != nil {
				return nil, err
			}
			result.Changes, result.Secrets, result.Warnings = list(result.Changes), list(result.Secrets), list(result.Warnings)
			return &applyOutput{result}, nil
		}, large),
		handle(a, "get-state", func(ctx context.Context, _ *caller, _ *struct{}) (*exportOutput, error) {
			file, err := a.options.State.Export(ctx)
			if err != nil {
				return nil, err
			}
			return &exportOutput{ContentType: yamlType, Body: file}, nil
		}, asFile),
	)
}

package client

import (
	"context"
	"iter"
	"net/url"
)

// ApplyOptions says how a state file is applied.
type ApplyOptions struct {
	// DryRun only tells what would change.
	DryRun bool
	// Prune deletes what the file does not name, of the kinds it does name.
	Prune bool
}

// StateResult is what applying a state file did, or would do.
type StateResult struct {
	DryRun   bool          `json:"dry_run"`
	Changes  []StateChange `json:"changes"`
	Secrets  []StateSecret `json:"secrets"`
	Warnings []string      `json:"warnings"`
}

// StateChange is one thing that changed.
type StateChange struct {
	// Action is "create", "update" or "delete".
	Action  string   `json:"action"`
	Kind    string   `json:"kind"`
	ID      string   `json:"id"`
	Members []string `json:"members,omitempty"`
}

// StateSecret is a generated secret, shown once.
type StateSecret struct {
	Kind   string `json:"kind"`
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// ApplyState makes the world match a state file (YAML), all of it or nothing.
func (c *Client) ApplyState(ctx context.Context, file []byte, o ApplyOptions) (StateResult, error) {
	query := url.Values{}
	if o.DryRun {
		query.Set("dry_run", "true")
	}
	if o.Prune {
		query.Set("prune", "true")
	}
	var result StateResult
	err := c.send(ctx, call{
		method: "POST", path: []string{"state", "apply"}, query: query, raw: file, media: "application/yaml",
	}, &result)
	return result, err
}

// ExportState returns the present world as a file that ApplyState takes back.
func (c *Client) ExportState(ctx context.Context) ([]byte, error) {
	var file []byte
	err := c.send(ctx, call{method: "GET", path: []string{"state"}}, &file)
	return file, err
}

// Route is one route of the policy.
type Route struct {
	ID        string   `json:"id"`
	Source    string   `json:"source"`
	Host      string   `json:"host"`
	Path      string   `json:"path"`
	Methods   []string `json:"methods"`
	Upstreams []string `json:"upstreams"`
	Accept    []string `json:"accept"`
	Scopes    []string `json:"scopes"`
}

// AllRoutes goes through the routes that are enforced.
func (c *Client) AllRoutes(ctx context.Context, o ListOptions) iter.Seq2[Route, error] {
	return all[Route](ctx, c, "routes", o)
}

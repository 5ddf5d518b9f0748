package api

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// KeyUsage is how an API key was used, on the wire.
type KeyUsage struct {
	Key      string        `json:"key" example:"key_sibaya"`
	By       string        `json:"by" enum:"hour,day"`
	Since    time.Time     `json:"since"`
	Until    time.Time     `json:"until"`
	Requests []KeyRequests `json:"requests" nullable:"false" doc:"Hours or days (UTC) in which there were any, oldest first"`
	LastUsed *KeyPlace     `json:"last_used" doc:"The last request that was counted; null: none within 90 days"`
	Scopes   []KeyAspect   `json:"scopes_used" nullable:"false" doc:"What routes asked for and the key had"`
	Sites    []KeyAspect   `json:"sites_used" nullable:"false"`
	Routes   []KeyAspect   `json:"routes_used" nullable:"false"`
	Unused   KeyRights     `json:"unused" doc:"Granted and never used"`
	Proposal *KeyRights    `json:"proposal" doc:"A narrower key that would have been enough; null: none. A condition of a route that reads scopes or sites is not seen"`
}

// KeyRequests counts the requests of an hour or a day.
type KeyRequests struct {
	Start   time.Time `json:"start"`
	Allowed int64     `json:"allowed"`
	Refused int64     `json:"refused"`
}

// KeyPlace is where a request came from and what took it.
type KeyPlace struct {
	At      time.Time `json:"at"`
	Address string    `json:"address" example:"198.51.100.7"`
	Route   string    `json:"route" example:"GET api.example.com/telemetry/**" doc:"Empty: none took it"`
}

// KeyAspect is one thing that a key used.
type KeyAspect struct {
	Name        string    `json:"name" example:"telemetry:read"`
	FirstUsedAt time.Time `json:"first_used_at"`
	LastUsedAt  time.Time `json:"last_used_at" doc:"May lag by an hour"`
}

// KeyRights is what a key may do.
type KeyRights struct {
	Scopes           []string `json:"scopes" nullable:"false" example:"[\"telemetry:read\"]"`
	PermittedSiteIDs []string `json:"permitted_site_ids" nullable:"false" example:"[\"Sibaya\"]"`
}

type usageInput struct {
	ByID
	By    string    `query:"by" enum:"hour,day" default:"day"`
	Since time.Time `query:"since" doc:"Absent: 30 days before until"`
	Until time.Time `query:"until" doc:"Absent: now"`
}

type usageOutput struct{ Body KeyUsage }

// usageSpan is how much of a key's usage is shown unless more is asked for.
const usageSpan = 30 * 24 * time.Hour

func (a *API) keyUsage(ctx context.Context, c *caller, in *usageInput) (*usageOutput, error) {
	until := in.Until.UTC()
	if in.Until.IsZero() {
		until = a.options.Service.Now().UTC()
	}
	since := in.Since.UTC()
	if in.Since.IsZero() {
		since = until.Add(-usageSpan).Truncate(time.Hour)
	}
	u, err := c.service.KeyUsage(ctx, in.ID, since, until)
	if err != nil {
		return nil, err
	}
	body := wireUsage(u, in.By)
	body.Since, body.Until = since, until
	return &usageOutput{body}, nil
}

func wireUsage(u manage.KeyUsage, by string) KeyUsage {
	out := KeyUsage{
		Key: u.Key.ID, By: by, Requests: []KeyRequests{}, Scopes: []KeyAspect{}, Sites: []KeyAspect{}, Routes: []KeyAspect{},
		Unused: wireRights(manage.KeyRights{Scopes: u.UnusedScopes, PermittedSiteIDs: u.UnusedSites}),
	}
	for _, hour := range u.Hours {
		start := hour.Hour
		if by == "day" {
			start = start.Truncate(24 * time.Hour)
		}
		if n := len(out.Requests); n == 0 || !out.Requests[n-1].Start.Equal(start) {
			out.Requests = append(out.Requests, KeyRequests{Start: start})
		}
		last := &out.Requests[len(out.Requests)-1]
		last.Allowed, last.Refused = last.Allowed+hour.Allowed, last.Refused+hour.Refused
	}
	if !u.Last.LastAt.IsZero() {
		out.LastUsed = &KeyPlace{At: u.Last.LastAt, Address: u.Last.LastAddr, Route: u.Last.LastRoute}
	}
	for _, aspect := range u.Used {
		one := KeyAspect{Name: aspect.Name, FirstUsedAt: aspect.FirstAt, LastUsedAt: aspect.LastAt}
		switch aspect.Aspect {
		case keystile.AspectScope:
			out.Scopes = append(out.Scopes, one)
		case keystile.AspectSite:
			out.Sites = append(out.Sites, one)
		case keystile.AspectRoute:
			out.Routes = append(out.Routes, one)
		}
	}
	if u.Narrower != nil {
		rights := wireRights(*u.Narrower)
		out.Proposal = &rights
	}
	return out
}

func wireRights(r manage.KeyRights) KeyRights {
	return KeyRights{Scopes: words(r.Scopes), PermittedSiteIDs: list(r.PermittedSiteIDs)}
}

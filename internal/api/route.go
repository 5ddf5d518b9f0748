package api

import (
	"context"
	"strconv"
	"time"

	keystile "keystile.dev/keystile"
)

// Route is one route of the policy on the wire. It is read from configuration
// and cannot be changed here.
type Route struct {
	ID                 string         `json:"id" example:"GET api.example.com/telemetry/**"`
	Source             string         `json:"source" example:"keystile.yaml:12"`
	Host               string         `json:"host" doc:"Empty: any"`
	Path               string         `json:"path" example:"/telemetry/**"`
	Methods            []string       `json:"methods" nullable:"false" doc:"None: all"`
	Upstreams          []string       `json:"upstreams" nullable:"false"`
	Accept             []string       `json:"accept" nullable:"false"`
	Resource           *RouteResource `json:"resource,omitempty"`
	NotPermittedStatus int            `json:"not_permitted_status"`
	Environment        string         `json:"environment" doc:"Empty: any"`
	Scopes             []string       `json:"scopes" nullable:"false"`
	Auth               *RouteAuth     `json:"auth,omitempty"`
	When               string         `json:"when" doc:"Cedar condition; empty: none"`
	Policies           []string       `json:"policies" nullable:"false"`
	Limits             []RouteLimit   `json:"limits" nullable:"false"`
	Errors             string         `json:"errors"`
	ObserveUntil       *time.Time     `json:"observe_until" doc:"Until then the route enforces nothing"`
}

// RouteResource says what a request is about and where its id stands.
type RouteResource struct {
	Type string `json:"type" example:"site"`
	From string `json:"id" example:"query.site_id"`
}

// RouteAuth is what a route asks of how a person signed in.
type RouteAuth struct {
	Methods []string `json:"methods" nullable:"false" example:"[\"otp\"]" doc:"One of these; none: any"`
	MaxAge  int64    `json:"max_age_seconds" doc:"0: any"`
}

// RouteLimit is a rate and what it counts by.
type RouteLimit struct {
	Rate      string `json:"rate" example:"60/1m"`
	Per       string `json:"per" example:"credential"`
	Algorithm string `json:"algorithm" example:"window"`
}

func wireRoute(r keystile.Route) Route {
	out := Route{
		ID: r.ID, Source: r.Source, Host: r.Match.Host, Path: r.Match.Path, Methods: list(r.Match.Methods),
		Upstreams: list(r.Upstreams), Accept: []string{}, NotPermittedStatus: r.NotPermittedStatus,
		Environment: string(r.Environment), Scopes: words(r.Scopes), When: r.When, Policies: list(r.Policies),
		Limits: []RouteLimit{}, Errors: r.Errors, ObserveUntil: moment(r.ObserveUntil),
	}
	for _, kind := range r.Accept {
		out.Accept = append(out.Accept, string(kind))
	}
	if r.Auth != nil {
		out.Auth = &RouteAuth{Methods: []string{}, MaxAge: int64(r.Auth.MaxAge / time.Second)}
		for _, m := range r.Auth.Methods {
			out.Auth.Methods = append(out.Auth.Methods, string(m))
		}
	}
	if r.Resource != nil {
		out.Resource = &RouteResource{Type: r.Resource.Type, From: r.Resource.From}
	}
	for _, l := range r.Limits {
		out.Limits = append(out.Limits, RouteLimit{Rate: l.Rate.String(), Per: string(l.Per), Algorithm: string(l.Rate.Algorithm)})
	}
	return out
}

func registerRoutes(a *API) error {
	return handle(a, "list-routes", func(_ context.Context, c *caller, in *Paging) (*listOutput[Route], error) {
		routes := a.options.Routes()
		type placed struct {
			index int
			route keystile.Route
		}
		return listPage(a, c, *in, listing[placed, Route]{
			binding: []string{"routes"},
			// Routes have an order of their own: the place is the index.
			read: func(after string, limit int) ([]placed, error) {
				start := 0
				if after != "" {
					last, err := strconv.Atoi(after)
					if err != nil {
						return nil, err
					}
					start = last + 1
				}
				var out []placed
				for i := start; i < len(routes) && len(out) < limit; i++ {
					out = append(out, placed{i, routes[i]})
				}
				return out, nil
			},
			place: func(p placed) string { return strconv.Itoa(p.index) },
			wire:  func(p placed) Route { return wireRoute(p.route) },
		})
	})
}

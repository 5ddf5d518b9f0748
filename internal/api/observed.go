package api

import (
	"context"
	"time"
)

// ObservedRefusal is what a route that only observes would have refused, on the wire.
type ObservedRefusal struct {
	Route        string    `json:"route" example:"GET api.example.com/telemetry/**"`
	Reason       string    `json:"reason" example:"scope_missing"`
	Organization string    `json:"organization" doc:"Empty where the credential was not proven"`
	Credential   string    `json:"credential" example:"key_sibaya" doc:"Empty where it was not proven"`
	Recorded     int64     `json:"recorded" doc:"Requests that were recorded: all up to 100 a second of an organization"`
	FirstAt      time.Time `json:"first_at"`
	LastAt       time.Time `json:"last_at"`
}

// ObservedRefusals is a report of what would have been refused.
type ObservedRefusals struct {
	Since time.Time         `json:"since"`
	Items []ObservedRefusal `json:"items" nullable:"false" doc:"At most 1000, by route, reason and credential"`
}

type observedInput struct {
	Since time.Time `query:"since" doc:"Absent: 24 hours ago"`
}

type observedOutput struct{ Body ObservedRefusals }

// observedSpan is what a report covers unless more is asked for.
const observedSpan = 24 * time.Hour

func registerObserved(a *API) error {
	return handle(a, "list-observed", func(ctx context.Context, c *caller, in *observedInput) (*observedOutput, error) {
		since := in.Since.UTC()
		if in.Since.IsZero() {
			since = a.options.Service.Now().UTC().Add(-observedSpan)
		}
		refusals, err := c.service.ObservedRefusals(ctx, since)
		if err != nil {
			return nil, err
		}
		out := &observedOutput{ObservedRefusals{Since: since, Items: []ObservedRefusal{}}}
		for _, r := range refusals {
			out.Body.Items = append(out.Body.Items, ObservedRefusal{
				Route: r.RouteID, Reason: string(r.Reason), Organization: r.OrganizationID, Credential: r.CredentialID,
				Recorded: r.Recorded, FirstAt: r.FirstAt, LastAt: r.LastAt,
			})
		}
		return out, nil
	})
}

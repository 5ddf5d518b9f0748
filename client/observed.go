package client

import (
	"context"
	"net/url"
	"time"
)

// ObservedRefusal is what a route that only observes would have refused, of one
// credential for one reason.
type ObservedRefusal struct {
	Route        string    `json:"route"`
	Reason       string    `json:"reason"`
	Organization string    `json:"organization"`
	Credential   string    `json:"credential"`
	Recorded     int64     `json:"recorded"`
	FirstAt      time.Time `json:"first_at"`
	LastAt       time.Time `json:"last_at"`
}

// ObservedRefusals tells what would have been refused since a time; zero: within 24 hours.
func (c *Client) ObservedRefusals(ctx context.Context, since time.Time) ([]ObservedRefusal, error) {
	q := url.Values{}
	if !since.IsZero() {
		q.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	var report struct {
		Items []ObservedRefusal `json:"items"`
	}
	err := c.send(ctx, call{method: "GET", path: []string{"routes", "observed"}, query: q}, &report)
	return report.Items, err
}

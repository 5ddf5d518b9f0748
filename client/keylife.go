package client

import (
	"context"
	"iter"
	"net/url"
	"time"
)

// KeyFilter chooses keys; empty members ask for nothing.
type KeyFilter struct {
	ListOptions
	// User is who owns the keys.
	User string
	// State is "active", "expired" or "revoked".
	State string
	// Site is one that the keys permit, Scope one that they grant.
	Site, Scope string
	// Prefix is how the newest secret begins; never a whole key.
	Prefix string
	// IdleSince: keys that were not used from then on.
	IdleSince time.Time
	// ExpiresBefore: keys that end before then.
	ExpiresBefore time.Time
}

func (f KeyFilter) query() url.Values {
	q := f.ListOptions.query()
	for name, value := range map[string]string{"user": f.User, "state": f.State, "site": f.Site, "scope": f.Scope, "prefix": f.Prefix} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"idle_since": f.IdleSince, "expires_before": f.ExpiresBefore} {
		if !at.IsZero() {
			q.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	return q
}

// FilteredKeys goes through all keys that a filter asks for.
func (c *Client) FilteredKeys(ctx context.Context, f KeyFilter) iter.Seq2[Key, error] {
	return pages(f.Cursor, func(cursor string) (List[Key], error) {
		f.Cursor = cursor
		return c.KeysPage(ctx, f)
	})
}

// KeysPage reads one page of the keys that a filter asks for. It may hold fewer
// than asked for, or none, before the end: how long one page looks is bounded. What
// few keys have is found at once: how a secret begins, a user, revocation, an end.
func (c *Client) KeysPage(ctx context.Context, f KeyFilter) (List[Key], error) {
	var page List[Key]
	err := c.send(ctx, call{method: "GET", path: []string{keys}, query: f.query()}, &page)
	return page, err
}

// CreateKeys makes up to 1000 keys, all of them or none.
func (c *Client) CreateKeys(ctx context.Context, in []KeyCreate) ([]KeySecret, error) {
	var made struct {
		Items []KeySecret `json:"items"`
	}
	err := c.send(ctx, call{method: "POST", path: []string{keys, "bulk"}, body: map[string]any{"keys": in}}, &made)
	return made.Items, err
}

// RevokeKeys ends up to 1000 keys, all of them or none.
func (c *Client) RevokeKeys(ctx context.Context, ids []string) ([]Key, error) {
	var revoked List[Key]
	err := c.send(ctx, call{method: "POST", path: []string{keys, "bulk-revoke"}, body: map[string]any{"ids": ids}}, &revoked)
	return revoked.Items, err
}

// KeyUsage is how a key was used.
type KeyUsage struct {
	Key   string    `json:"key"`
	By    string    `json:"by"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// Requests counts those of each hour or day in which there were any.
	Requests []KeyRequests `json:"requests"`
	// LastUsed is nil for a key that was not used within 90 days.
	LastUsed *KeyPlace   `json:"last_used"`
	Scopes   []KeyAspect `json:"scopes_used"`
	Sites    []KeyAspect `json:"sites_used"`
	Routes   []KeyAspect `json:"routes_used"`
	// Unused was granted and never used.
	Unused KeyRights `json:"unused"`
	// Proposal is a narrower key that would have been enough; nil: none.
	Proposal *KeyRights `json:"proposal"`
}

// KeyRequests counts requests of an hour or a day.
type KeyRequests struct {
	Start   time.Time `json:"start"`
	Allowed int64     `json:"allowed"`
	Refused int64     `json:"refused"`
}

// KeyPlace is where a request came from and which route took it.
type KeyPlace struct {
	At      time.Time `json:"at"`
	Address string    `json:"address"`
	Route   string    `json:"route"`
}

// KeyAspect is a scope, site or route that a key used.
type KeyAspect struct {
	Name        string    `json:"name"`
	FirstUsedAt time.Time `json:"first_used_at"`
	LastUsedAt  time.Time `json:"last_used_at"`
}

// KeyRights is what a key may do.
type KeyRights struct {
	Scopes           []string `json:"scopes"`
	PermittedSiteIDs []string `json:"permitted_site_ids"`
}

// KeyUsage tells how a key was used, by "hour" or "day", from since on and before
// until; zero times are the last 30 days.
func (c *Client) KeyUsage(ctx context.Context, id, by string, since, until time.Time) (KeyUsage, error) {
	q := url.Values{"by": {by}}
	for name, at := range map[string]time.Time{"since": since, "until": until} {
		if !at.IsZero() {
			q.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	var usage KeyUsage
	err := c.send(ctx, call{method: "GET", path: []string{keys, id, "usage"}, query: q}, &usage)
	return usage, err
}

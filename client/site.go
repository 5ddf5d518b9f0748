package client

import (
	"context"
	"iter"
	"time"
)

// Site is a place that an organization's data belongs to.
type Site struct {
	Version
	ID           string    `json:"id"`
	Organization string    `json:"organization"`
	Name         string    `json:"name"`
	CreatedAt    time.Time `json:"created_at"`
	UpdatedAt    time.Time `json:"updated_at"`
}

// SiteCreate says what a site is to be. ID is required.
type SiteCreate struct {
	ID           string `json:"id"`
	Organization string `json:"organization,omitempty"`
	Name         string `json:"name,omitempty"`
}

// SiteUpdate says what changes; nil stays as it is.
type SiteUpdate struct {
	Name *string `json:"name,omitempty"`
}

const sites = "sites"

// Sites lists one page.
func (c *Client) Sites(ctx context.Context, o ListOptions) (List[Site], error) {
	return list[Site](ctx, c, sites, o)
}

// AllSites goes through all pages.
func (c *Client) AllSites(ctx context.Context, o ListOptions) iter.Seq2[Site, error] {
	return all[Site](ctx, c, sites, o)
}

// Site reads one.
func (c *Client) Site(ctx context.Context, id string) (Site, error) {
	return get[Site](ctx, c, sites, id)
}

// CreateSite makes one.
func (c *Client) CreateSite(ctx context.Context, in SiteCreate) (Site, error) {
	return create[Site](ctx, c, sites, in)
}

// UpdateSite changes one.
func (c *Client) UpdateSite(ctx context.Context, id string, v Version, in SiteUpdate) (Site, error) {
	return update[Site](ctx, c, call{path: []string{sites, id}, match: v.ETag, body: in})
}

// DeleteSite deletes one that no key names.
func (c *Client) DeleteSite(ctx context.Context, id string) error { return remove(ctx, c, sites, id) }

package client

import (
	"context"
	"iter"
	"net/url"
	"strconv"
)

// ListOptions says which part of a list is wanted; the zero value is the first
// page of everything.
type ListOptions struct {
	// Organization narrows the list; empty: all that the token may see.
	// Organizations, roles and routes cannot be narrowed.
	Organization string
	// User narrows a list of sessions to one user's; empty: all. Nothing else can be narrowed so.
	User string
	// Limit is how many items at most, 1 to 200; 0: the server's default.
	Limit int
	// Cursor is NextCursor of the page before.
	Cursor string
}

func (o ListOptions) query() url.Values {
	q := url.Values{}
	if o.Organization != "" {
		q.Set("organization", o.Organization)
	}
	if o.User != "" {
		q.Set("user", o.User)
	}
	if o.Limit != 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	if o.Cursor != "" {
		q.Set("cursor", o.Cursor)
	}
	return q
}

// List is one page of a collection.
type List[T any] struct {
	Items []T `json:"items"`
	// NextCursor is where the next page begins; empty at the end.
	NextCursor string `json:"next_cursor"`
}

func list[T any](ctx context.Context, c *Client, collection string, o ListOptions) (List[T], error) {
	var page List[T]
	err := c.send(ctx, call{method: "GET", path: []string{collection}, query: o.query()}, &page)
	return page, err
}

// all goes through a whole collection, page by page. An error ends it.
func all[T any](ctx context.Context, c *Client, collection string, o ListOptions) iter.Seq2[T, error] {
	return pages(o.Cursor, func(cursor string) (List[T], error) {
		o.Cursor = cursor
		return list[T](ctx, c, collection, o)
	})
}

// pages goes from page to page. An error ends it.
func pages[T any](cursor string, read func(cursor string) (List[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			page, err := read(cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			cursor = page.NextCursor
		}
	}
}

func get[T any](ctx context.Context, c *Client, collection, id string) (T, error) {
	var thing T
	err := c.send(ctx, call{method: "GET", path: []string{collection, id}}, &thing)
	return thing, err
}

func create[T any](ctx context.Context, c *Client, collection string, body any) (T, error) {
	var thing T
	err := c.send(ctx, call{method: "POST", path: []string{collection}, body: body}, &thing)
	return thing, err
}

func update[T any](ctx context.Context, c *Client, what call) (T, error) {
	var thing T
	what.method = "PATCH"
	err := c.send(ctx, what, &thing)
	return thing, err
}

func remove(ctx context.Context, c *Client, collection, id string) error {
	return c.send(ctx, call{method: "DELETE", path: []string{collection, id}}, nil)
}

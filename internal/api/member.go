package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	keystile "keystile.dev/keystile"
)

// member is one member of a merge patch (RFC 7396): absent leaves the thing as
// it is, null clears it where the schema allows null.
type member[T any] struct {
	// Set says that the member was there, also as null.
	Set bool
	// Null says that it was null.
	Null  bool
	Value T
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *member[T]) UnmarshalJSON(data []byte) error {
	m.Set = true
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		m.Null = true
		return nil
	}
	return json.Unmarshal(data, &m.Value)
}

// Schema implements huma.SchemaProvider: that of the member's value.
func (member[T]) Schema(r huma.Registry) *huma.Schema {
	schema := huma.SchemaFromType(r, reflect.TypeFor[T]())
	schema.Nullable = false
	return schema
}

// onto sets target if the member was there and not null; null is told to be
// wrong, because clearing the thing has no meaning.
func (m member[T]) onto(field string, target *T) error {
	switch {
	case m.Null:
		return keystile.Invalidf(field, "leave it out to keep it", "cannot be null")
	case m.Set:
		*target = m.Value
	}
	return nil
}

// clearable is a member that null clears.
type clearable[T any] struct{ member[T] }

// Schema implements huma.SchemaProvider.
func (c clearable[T]) Schema(r huma.Registry) *huma.Schema {
	schema := c.member.Schema(r)
	schema.Nullable = true
	return schema
}

// replace sets target if the member was there; null makes it the zero value.
func (c clearable[T]) replace(target *T) {
	if c.Set {
		*target = c.Value
	}
}

// version is the ETag of a thing: a digest of what a reader sees of it. It does
// not lean on the clock, which may stand still between two changes.
func version(thing any) string {
	text, err := json.Marshal(thing)
	if err != nil {
		// Wire types hold text, numbers and times; without a version there is
		// nothing that If-Match could be equal to.
		return ""
	}
	sum := sha256.Sum256(text)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// sameVersion checks an If-Match field against the present version: absent or
// "*" is any, else one of the list must be it. Weak tags never match (RFC 9110,
// section 13.1.1).
func sameVersion(ifMatch string, thing any) error {
	if ifMatch == "" || strings.TrimSpace(ifMatch) == "*" {
		return nil
	}
	present := version(thing)
	if present == "" {
		return errStale
	}
	for tag := range strings.SplitSeq(ifMatch, ",") {
		if strings.TrimSpace(tag) == present {
			return nil
		}
	}
	return errStale
}

// moment is a time for JSON: null is "never".
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// list is s, but never null in JSON.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

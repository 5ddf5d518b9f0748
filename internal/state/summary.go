package state

import (
	"fmt"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/yamlfile"
)

// Action is what an apply does to one thing.
type Action string

// The actions.
const (
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
)

// Summary is what an apply did, or with DryRun would do.
type Summary struct {
	// Changes in the order they were made; none: the store matched already.
	Changes []Change
	// Secrets that were generated. They are shown once and kept nowhere; none
	// with DryRun.
	Secrets []NewSecret
	// Warnings are things to know that prevented nothing.
	Warnings yamlfile.Problems
}

// Change is one thing that changed.
type Change struct {
	Action Action
	// Kind is "organization", "site", "role", "user", "api_key", "signing_key" or "identity_provider".
	Kind string
	// ID; of a user, the username.
	ID string
	// Fields that an update changed.
	Fields []FieldChange
}

// FieldChange is one field before and after, as text without secrets.
type FieldChange struct {
	Name, From, To string
}

// NewSecret is a generated secret of an API key or of an OAuth client.
type NewSecret struct {
	// Kind is "api_key" or "client".
	Kind   string
	KeyID  string
	Secret keystile.Secret
}

// String is the summary as people read it, a change a line: "+ site Sibaya",
// "~ api_key key_sibaya: limit: 60/1m -> 120/1m", "- role role_old", and a last
// line that counts; or "no changes".
func (s *Summary) String() string {
	if len(s.Changes) == 0 {
		return "no changes\n"
	}
	var b strings.Builder
	count := map[Action]int{}
	for _, c := range s.Changes {
		count[c.Action]++
		switch c.Action {
		case Create:
			fmt.Fprintf(&b, "+ %s %s\n", c.Kind, c.ID)
		case Delete:
			fmt.Fprintf(&b, "- %s %s\n", c.Kind, c.ID)
		case Update:
			for _, f := range c.Fields {
				fmt.Fprintf(&b, "~ %s %s: %s: %s -> %s\n", c.Kind, c.ID, f.Name, f.From, f.To)
			}
		}
	}
	fmt.Fprintf(&b, "%d created, %d updated, %d deleted\n", count[Create], count[Update], count[Delete])
	return b.String()
}

// diff gathers the fields in which a thing differs.
type diff []FieldChange

func (d *diff) text(name, from, to string) {
	if from != to {
		*d = append(*d, FieldChange{Name: name, From: shown(from), To: shown(to)})
	}
}

// shown is a value in a summary: quoted where it could be misread.
func shown(text string) string {
	if text == "" {
		return "none"
	}
	for i := range len(text) {
		if b := text[i]; b <= ' ' || b == '"' || b >= 0x7f {
			return fmt.Sprintf("%q", text)
		}
	}
	return text
}

// list compares two lists, in order.
func list[T any](d *diff, name string, from, to []T) {
	d.text(name, joined(from), joined(to))
}

func joined[T any](items []T) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = fmt.Sprint(item)
	}
	return strings.Join(texts, ",")
}

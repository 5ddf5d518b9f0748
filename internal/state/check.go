package state

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/yamlfile"
)

// These checks are those of package manage, made before there is a transaction
// so that every problem of every line is told at once.

// identity checks an id and that no other thing of its kind has it.
func identity[T any](c *checker, e *entry[T], noun, id string) {
	if id == "" {
		return // missing, which the decoder reported
	}
	if !keystile.ValidID(id) {
		c.add(e.from, e.path("id"), keystile.IDRule, "%s is not a valid id", yamlfile.Quote(id))
		return
	}
	if id == "." || id == ".." {
		c.add(e.from, e.path("id"), "choose another id", "this id cannot stand in a URL path")
	}
	key := noun + " " + id
	if first, ok := c.seen[key]; ok {
		c.add(e.from, e.path("id"), "keep one", "%s is named a second time (first at %s)", key, first)
		return
	}
	c.seen[key] = e.where()
}

// reference checks the form of an id that names another thing.
func reference[T any](c *checker, e *entry[T], member, id string) {
	if id != "" && !keystile.ValidID(id) {
		c.add(e.from, e.path(member), keystile.IDRule, "%s is not a valid id", yamlfile.Quote(id))
	}
}

// label checks text that people read.
func label[T any](c *checker, e *entry[T], member, text string) {
	if n := utf8.RuneCountInString(text); n > manage.MaxNameRunes {
		c.add(e.from, e.path(member), fmt.Sprintf("use at most %d characters", manage.MaxNameRunes), "has %d characters", n)
	}
	for _, r := range text {
		if unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control) || r == '\uFEFF' || r >= 0xE0000 && r <= 0xE007F {
			c.add(e.from, e.path(member), "leave it out", "holds the control or invisible character U+%04X", r)
			return
		}
	}
}

// scopes checks a list of scopes: noun:verb, in the characters of RFC 6749,
// section 3.3, "*" only for every verb of a noun.
func scopes[T any](c *checker, e *entry[T], list []string) { scopesAt(c, e, "scopes", list) }

// scopesAt is scopes for a member of another name.
func scopesAt[T any](c *checker, e *entry[T], member string, list []string) {
	const remedy = `write noun:verb, for example "telemetry:read"`
	if len(list) > manage.MaxScopes {
		c.add(e.from, e.path(member), fmt.Sprintf("name at most %d", manage.MaxScopes), "names %d scopes", len(list))
		return
	}
	seen := map[string]bool{}
	for i, scope := range list {
		at := e.path(fmt.Sprintf("%s[%d]", member, i))
		switch noun, verb, found := strings.Cut(scope, ":"); {
		case !scopeToken(scope), noun == "", found && verb == "":
			c.add(e.from, at, remedy, "%s is not a scope", yamlfile.Quote(scope))
		case strings.Contains(strings.TrimSuffix(scope, ":*"), "*"):
			c.add(e.from, at, `write noun:*, for example "telemetry:*"`, "* stands only for every verb of a noun")
		case seen[scope]:
			c.add(e.from, at, "name it once", "names %s a second time", scope)
		}
		seen[scope] = true
	}
}

// maxScopeLength bounds one scope, in bytes.
const maxScopeLength = 128

func scopeToken(s string) bool {
	if s == "" || len(s) > maxScopeLength {
		return false
	}
	for i := range len(s) {
		if b := s[i]; b <= ' ' || b >= 0x7f || b == '"' || b == '\\' {
			return false
		}
	}
	return true
}

// once checks that a list names nothing twice.
func once[T any, V comparable](c *checker, e *entry[T], member string, list []V) {
	seen := make(map[V]bool, len(list))
	var unread V // reported by the decoder
	for i, v := range list {
		if v != unread && seen[v] {
			c.add(e.from, e.path(fmt.Sprintf("%s[%d]", member, i)), "name it once", "names %v a second time", v)
		}
		seen[v] = true
	}
}

// isUUID says whether s is a UUID in its text form (RFC 9562, section 4).
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		b := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if b != '-' {
				return false
			}
		case b >= '0' && b <= '9', b >= 'a' && b <= 'f', b >= 'A' && b <= 'F':
		default:
			return false
		}
	}
	return true
}

// validPrefix says whether s may start API keys: 1-16 of [a-z0-9]. Prefixes that
// name another kind of credential are refused when it is applied.
func validPrefix(s string) bool {
	if len(s) < 1 || len(s) > 16 {
		return false
	}
	for i := range len(s) {
		if b := s[i]; (b < 'a' || b > 'z') && (b < '0' || b > '9') {
			return false
		}
	}
	return true
}

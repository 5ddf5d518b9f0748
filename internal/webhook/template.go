package webhook

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
)

// Placeholder is a name in angle brackets that a template may hold.
type Placeholder string

// The placeholders (protocols 2.4). What an event does not know is empty.
const (
	SessionToken Placeholder = "SESSION_TOKEN"
	TenantID     Placeholder = "TENANT_ID"
	AppID        Placeholder = "APP_ID"
	Status       Placeholder = "STATUS"
	KeyID        Placeholder = "KEY_ID"
	ExpiresAt    Placeholder = "EXPIRES_AT"
)

// PlaceholdersOf lists what a template for an event may hold.
func PlaceholdersOf(event keystile.WebhookEvent) []Placeholder {
	if event == keystile.EventAppStatusChanged {
		return []Placeholder{SessionToken, TenantID, AppID, Status}
	}
	return []Placeholder{AppID, KeyID, ExpiresAt}
}

// maxTemplate bounds a template, in bytes. What is put in adds at most a few hundred.
const maxTemplate = 1500

// part is literal text, or a placeholder and whether it stands in the query.
type part struct {
	text        string
	placeholder Placeholder
	query       bool
}

// Template is a URL template that was checked. It cannot be changed.
type Template struct {
	parts []part
	holds []Placeholder
}

// ParseTemplate reads a template for an event: https, a host, neither user nor
// fragment, and placeholders of the event in its path and query alone. The error
// says what is wrong in words for whoever wrote it. Nothing is resolved: who is
// behind the host is asked when it is connected to.
func ParseTemplate(event keystile.WebhookEvent, text string) (*Template, error) {
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("is longer than %d bytes", maxTemplate)
	}
	origin, err := checkOrigin(text)
	if err != nil {
		return nil, err
	}
	t := &Template{}
	allowed := PlaceholdersOf(event)
	query := false
	t.literal(text[:origin], &query)
	for rest := text[origin:]; rest != ""; {
		at := strings.IndexAny(rest, "<>")
		if at < 0 {
			t.literal(rest, &query)
			break
		}
		t.literal(rest[:at], &query)
		name, after, ok := strings.Cut(rest[at+1:], ">")
		if rest[at] == '>' || !ok {
			return nil, fmt.Errorf("holds a %q that belongs to no placeholder", rest[at])
		}
		if !slices.Contains(allowed, Placeholder(name)) {
			return nil, fmt.Errorf("holds <%.40s>, which %s does not know; it may hold %s", name, event, names(allowed))
		}
		t.parts = append(t.parts, part{placeholder: Placeholder(name), query: query})
		t.holds = append(t.holds, Placeholder(name))
		rest = after
	}
	return t, nil
}

// checkOrigin checks all of a template but its placeholders, and returns how long
// its scheme and host are.
func checkOrigin(text string) (length int, err error) {
	// What a placeholder stands for cannot change how the rest is read: an "x" reads as it will.
	u, err := url.Parse(strings.NewReplacer("<", "x", ">", "x").Replace(text))
	strange := func(r rune) bool { return r <= ' ' || r == '\\' || r >= 0x7f }
	switch {
	case err != nil || u.Opaque != "" || strings.ContainsFunc(text, strange):
		return 0, fmt.Errorf("is not a URL")
	case u.Scheme != "https":
		return 0, fmt.Errorf("is not an https URL")
	case u.User != nil:
		return 0, fmt.Errorf("holds a user or password")
	case strings.Contains(text, "#"):
		return 0, fmt.Errorf("holds a fragment")
	case u.Hostname() == "":
		return 0, fmt.Errorf("names no host")
	}
	const scheme = len("https://")
	length = len(text)
	if end := strings.IndexAny(text[scheme:], "/?"); end >= 0 {
		length = scheme + end
	}
	if strings.ContainsAny(text[:length], "<>") {
		return 0, fmt.Errorf("holds a placeholder outside its path and query")
	}
	return length, nil
}

func (t *Template) literal(text string, query *bool) {
	if text == "" {
		return
	}
	t.parts = append(t.parts, part{text: text})
	*query = *query || strings.Contains(text, "?")
}

// Holds says whether a placeholder is in the template.
func (t *Template) Holds(p Placeholder) bool { return slices.Contains(t.holds, p) }

// URL puts values in, each escaped for where it stands: a value is never more than
// one segment of the path or one part of a query (RFC 3986, section 3).
func (t *Template) URL(values map[Placeholder]string) string {
	var b strings.Builder
	for _, p := range t.parts {
		switch {
		case p.placeholder == "":
			b.WriteString(p.text)
		case p.query:
			b.WriteString(url.QueryEscape(values[p.placeholder]))
		default:
			b.WriteString(segment(values[p.placeholder]))
		}
	}
	return b.String()
}

// segment escapes a value for a path. One of dots alone would be taken for a way up.
func segment(value string) string {
	if strings.Trim(value, ".") == "" {
		return strings.ReplaceAll(value, ".", "%2E")
	}
	return url.PathEscape(value)
}

func names(list []Placeholder) string {
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = "<" + string(p) + ">"
	}
	return strings.Join(texts, ", ")
}

// CheckTemplate says what is wrong with a webhook's template, or nil: what
// [ParseTemplate] says, and that the platform's form must hold the placeholders
// that its clients rely on (protocols 2.4).
func CheckTemplate(event keystile.WebhookEvent, form keystile.WebhookForm, text string) error {
	t, err := ParseTemplate(event, text)
	if err != nil {
		return err
	}
	if form == keystile.WebhookGet && event == keystile.EventAppStatusChanged {
		for _, p := range []Placeholder{SessionToken, TenantID} {
			if !t.Holds(p) {
				return fmt.Errorf("does not hold <%s>", p)
			}
		}
	}
	return nil
}

package clientmetadata

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"

	keystile "keystile.dev/keystile"
)

const (
	maxLabel  = 100 // characters
	maxScope  = 1 << 10
	maxScopes = 64
)

// members are those of a metadata object, each as it stands. One that is null is
// one that is not there.
type members map[string]json.RawMessage

func (m members) there(name string) bool {
	raw, there := m[name]
	return there && string(raw) != "null"
}

func indexed(name string, i int) string { return name + "[" + strconv.Itoa(i) + "]" }

// text is a member that is a text of at most longest bytes; "" if it is not there.
func (m members) text(name string, longest int) (string, error) {
	if !m.there(name) {
		return "", nil
	}
	var text string
	if json.Unmarshal(m[name], &text) != nil || text == "" || len(text) > longest {
		return "", keystile.Invalidf(name, "a text of at most "+strconv.Itoa(longest)+" bytes", "it is no text, empty or too long")
	}
	return text, nil
}

// label is a text that people see: printable, with no characters that hide or turn
// others (direction marks, zero width), and none at its ends.
func (m members) label(name string) (string, error) {
	text, err := m.text(name, maxLabel*utf8.UTFMax)
	switch {
	case err != nil || text == "":
		return "", err
	case utf8.RuneCountInString(text) > maxLabel || strings.TrimSpace(text) != text ||
		strings.ContainsFunc(text, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }):
		return "", keystile.Invalidf(name, "at most 100 printable characters, without space at the ends", "it is too long or not printable")
	}
	return text, nil
}

// link is an https URL; "" if it is not there.
func (m members) link(name string) (string, error) {
	text, err := m.text(name, maxURL)
	if err != nil || text == "" {
		return "", err
	}
	if problem := httpsProblem(text); problem != "" {
		return "", keystile.Invalidf(name, "an https URL", "%s", problem)
	}
	return text, nil
}

// httpsProblem says what is wrong with an https URL.
func httpsProblem(text string) string {
	if problem := plainURL(text); problem != "" {
		return problem
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" || !strings.HasPrefix(text, "https://"):
		return "it is no https URL"
	case u.User != nil || strings.Contains(u.Host, "@"):
		return "it holds a user"
	}
	return hostProblem(u)
}

// list is a member that is a list of texts out of known, each once; nil if it is not there.
func (m members) list(name string, longest int, known []string) ([]string, error) {
	if !m.there(name) {
		return nil, nil
	}
	var texts []string
	if json.Unmarshal(m[name], &texts) != nil || len(texts) > longest {
		return nil, keystile.Invalidf(name, "a list of at most "+strconv.Itoa(longest)+" texts", "it is no list, or too long")
	}
	for i, text := range texts {
		switch {
		case !slices.Contains(known, text):
			return nil, keystile.Invalidf(indexed(name, i), strings.Join(known, ", "), "it is not given here")
		case slices.Contains(texts[:i], text):
			return nil, keystile.Invalidf(indexed(name, i), "each once", "it is there twice")
		}
	}
	if texts == nil {
		texts = []string{}
	}
	return texts, nil
}

// redirects is a member that is a list of redirect URIs.
func (m members) redirects(name string) ([]string, error) {
	if !m.there(name) {
		return nil, nil
	}
	var uris []string
	if json.Unmarshal(m[name], &uris) != nil || len(uris) > maxRedirects {
		return nil, keystile.Invalidf(name, "a list of at most 32 URIs", "it is no list, or too long")
	}
	for i, uri := range uris {
		if err := CheckRedirect(indexed(name, i), uri); err != nil {
			return nil, err
		}
		if slices.Contains(uris[:i], uri) {
			return nil, keystile.Invalidf(indexed(name, i), "each once", "it is there twice")
		}
	}
	return uris, nil
}

// scope is the "scope" member: tokens with one space between them (RFC 6749, section 3.3).
func (m members) scope() ([]string, error) {
	text, err := m.text("scope", maxScope)
	if err != nil || text == "" {
		return nil, err
	}
	scopes := strings.Split(text, " ")
	if len(scopes) > maxScopes {
		return nil, keystile.Invalidf("scope", "at most 64 scopes", "there are too many")
	}
	for i, scope := range scopes {
		// scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
		if scope == "" || slices.Contains(scopes[:i], scope) || strings.ContainsFunc(scope, func(r rune) bool { return r < '!' || r > '~' || r == '"' || r == '\\' }) {
			return nil, keystile.Invalidf("scope", "scopes with one space between them, each once", "it is no list of scopes")
		}
	}
	return scopes, nil
}

// flag is a member that is true or false; a text is neither.
func (m members) flag(name string) (bool, error) {
	if !m.there(name) {
		return false, nil
	}
	var flag bool
	if json.Unmarshal(m[name], &flag) != nil {
		return false, keystile.Invalidf(name, "true or false", "it is neither")
	}
	return flag, nil
}

package console

import (
	"net/url"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// inWordsOf says what a permission allows, in plain words.
func inWordsOf(scope keystile.Scope) string {
	noun, verb, ok := strings.Cut(string(scope), ":")
	if !ok {
		return string(scope)
	}
	noun = strings.NewReplacer("_", " ", "-", " ", ".", " ").Replace(noun)
	switch verb {
	case "*":
		return "Do everything with " + noun
	case "write":
		return "Create, change and delete " + noun
	case "use":
		return "Use " + noun
	}
	return sentenceCase(strings.ReplaceAll(verb, "_", " ")) + " " + noun
}

func sentenceCase(text string) string {
	if text != "" && text[0] >= 'a' && text[0] <= 'z' {
		return string(text[0]-'a'+'A') + text[1:]
	}
	return text
}

// reviewWords are the states of an application as pages show them.
var reviewWords = map[keystile.ReviewState]string{
	keystile.ReviewDraft: "Draft", keystile.ReviewInReview: "In review", keystile.ReviewApproved: "Approved",
	keystile.ReviewSuspended: "Suspended", keystile.ReviewRetired: "Retired",
}

var kindWords = map[keystile.ApplicationKind]string{
	keystile.ApplicationEmbedded: "Embedded: people open it from here", keystile.ApplicationBackend: "Backend: a service, works without people",
}

var environmentWords = map[keystile.Environment]string{keystile.Sandbox: "Sandbox", keystile.Production: "Production"}

// fieldWords name the fields of an application.
var fieldWords = map[string]string{
	"name": "Name", "description": "Description", "homepage": "Homepage", "launch_url": "Launch URL", "permissions": "Permissions",
}

// badge is a state in one word and how it looks: "good", "bad" or plain.
type badge struct{ Text, Look string }

func reviewBadge(app *keystile.Application) badge {
	b := badge{Text: reviewWords[app.Review]}
	switch {
	case manage.Works(app.Environment, app.Review):
		b.Look = "good"
	case app.Review == keystile.ReviewSuspended, app.Review == keystile.ReviewRetired:
		b.Look = "bad"
	}
	return b
}

// originOf is where a URL leads: scheme, host and port.
func originOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

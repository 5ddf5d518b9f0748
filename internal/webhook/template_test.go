package webhook_test

import (
	"net/url"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/webhook"
)

const status = keystile.EventAppStatusChanged

func TestAValueIsEscapedForWhereItStands(t *testing.T) {
	hostile := map[webhook.Placeholder]string{
		webhook.TenantID: "a/../b?c#d&e=f g%2F+\"<>", webhook.SessionToken: "st_prod_0", webhook.Status: "..",
	}
	for template, want := range map[string]string{
		"https://h.example/<TENANT_ID>/x":         "https://h.example/a%2F..%2Fb%3Fc%23d&e=f%20g%252F+%22%3C%3E/x",
		"https://h.example/x?t=<TENANT_ID>&u=1":   "https://h.example/x?t=a%2F..%2Fb%3Fc%23d%26e%3Df+g%252F%2B%22%3C%3E&u=1",
		"https://h.example?<TENANT_ID>":           "https://h.example?a%2F..%2Fb%3Fc%23d%26e%3Df+g%252F%2B%22%3C%3E",
		"https://h.example/<STATUS>/<STATUS>":     "https://h.example/%2E%2E/%2E%2E",
		"https://h.example/?s=<SESSION_TOKEN>":    "https://h.example/?s=st_prod_0",
		"https://h.example/?a=<APP_ID>&s=x":       "https://h.example/?a=&s=x",
		"https://h.example:8443/a?b=?<TENANT_ID>": "https://h.example:8443/a?b=?a%2F..%2Fb%3Fc%23d%26e%3Df+g%252F%2B%22%3C%3E",
	} {
		parsed, err := webhook.ParseTemplate(status, template)
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		got := parsed.URL(hostile)
		if got != want {
			t.Errorf("%s: %s, want %s", template, got, want)
		}
		u, err := url.Parse(got)
		if err != nil || u.Fragment != "" || u.Hostname() != "h.example" {
			t.Errorf("%s became %s, which another reader reads as %+v, %v", template, got, u, err)
		}
	}
}

func TestATemplateThatCannotBeATargetIsRefused(t *testing.T) {
	for text, says := range map[string]string{
		"http://h.example/<TENANT_ID>":                   "not an https URL",
		"HTTP://h.example/":                              "not an https URL",
		"ftp://h.example/":                               "not an https URL",
		"h.example/hook":                                 "not an https URL",
		"":                                               "not an https URL",
		"https://user:password@h.example/":               "user or password",
		"https://user@h.example/":                        "user or password",
		"https://h.example/#x":                           "fragment",
		"https://h.example/#":                            "fragment",
		"https:///hook":                                  "no host",
		"https://:443/hook":                              "no host",
		"https:hook":                                     "not a URL",
		"https://h.example/a b":                          "not a URL",
		"https://h.example/\n":                           "not a URL",
		"https://h.example\\@evil.example/":              "not a URL",
		"https://h.example/%zz":                          "not a URL",
		"https://<TENANT_ID>.example/":                   "outside its path and query",
		"https://h.example:<TENANT_ID>/":                 "not a URL",
		"<TENANT_ID>://h.example/":                       "not a URL",
		"https://h.example/<TENANT_ID":                   "belongs to no placeholder",
		"https://h.example/TENANT_ID>":                   "belongs to no placeholder",
		"https://h.example/<tenant_id>":                  "does not know",
		"https://h.example/<KEY_ID>":                     "does not know",
		"https://h.example/<<TENANT_ID>>":                "does not know",
		"https://h.example/<>":                           "does not know",
		"https://h.example/" + strings.Repeat("x", 2000): "longer than",
	} {
		if _, err := webhook.ParseTemplate(status, text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60q: %v, want %q", text, err, says)
		}
	}
}

func TestThePlatformsFormNeedsThePlaceholdersThatItsClientsRelyOn(t *testing.T) {
	const both = "https://h.example/<TENANT_ID>?s=<SESSION_TOKEN>"
	for _, c := range []struct {
		event keystile.WebhookEvent
		form  keystile.WebhookForm
		text  string
		good  bool
	}{
		{status, keystile.WebhookGet, both, true},
		{status, keystile.WebhookGet, "https://h.example/<TENANT_ID>", false},
		{status, keystile.WebhookGet, "https://h.example/?s=<SESSION_TOKEN>", false},
		{status, keystile.WebhookSignedPost, "https://h.example/hook", true},
		{keystile.EventKeyExpiring, keystile.WebhookGet, "https://h.example/<KEY_ID>?at=<EXPIRES_AT>", true},
		{keystile.EventKeyExpired, keystile.WebhookGet, both, false},
	} {
		if err := webhook.CheckTemplate(c.event, c.form, c.text); (err == nil) != c.good {
			t.Errorf("%s %s %s: %v", c.event, c.form, c.text, err)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"https://h.example/<TENANT_ID>?s=<SESSION_TOKEN>", "https://h/<>", "https://u@h/#<", "https://h?<STATUS>", "https://[::1]/<APP_ID>/.."} {
		f.Add(seed, "value/../?#&")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		parsed, err := webhook.ParseTemplate(status, text)
		if err != nil {
			return
		}
		values := map[webhook.Placeholder]string{}
		plain := map[webhook.Placeholder]string{}
		for _, p := range webhook.PlaceholdersOf(status) {
			values[p], plain[p] = value, "x"
		}
		got, err := url.Parse(parsed.URL(values))
		if err != nil {
			t.Fatalf("%q with %q is no URL: %v", text, value, err)
		}
		want, err := url.Parse(parsed.URL(plain))
		if err != nil {
			t.Fatalf("%q is no URL: %v", text, err)
		}
		if got.Scheme != "https" || got.Host != want.Host || got.User != nil || got.Fragment != "" {
			t.Fatalf("%q with %q leads to %s", text, value, got)
		}
		if strings.Count(got.EscapedPath(), "/") != strings.Count(want.EscapedPath(), "/") || strings.Count(got.RawQuery, "&") != strings.Count(want.RawQuery, "&") {
			t.Fatalf("%q with %q is of another shape: %s", text, value, got)
		}
	})
}

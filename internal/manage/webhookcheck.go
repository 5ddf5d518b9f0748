package manage

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/webhook"
)

// CheckWebhook says everything that is wrong with a webhook, without the store.
// hasHeader: the value of its header is stored already.
func CheckWebhook(in NewWebhook, hasHeader bool) error {
	var p problems
	w := &in.Webhook
	if !isUUID(w.ID) {
		p.add("id", "use a UUID, or leave it out", "not a UUID")
	}
	known := slices.Contains(keystile.WebhookEvents, w.Event)
	if !known {
		p.add("event", "use app_status_changed, application_key_expiring or application_key_expired", "not an event")
	}
	if !slices.Contains(keystile.WebhookForms, w.Form) {
		p.add("form", "use get or signed_post", "not a form of delivery")
	} else if known {
		if err := webhook.CheckTemplate(w.Event, w.Form, w.URLTemplate); err != nil {
			p.add("url_template", "use https://HOST/PATH with the placeholders of the event in path and query", "%s", err.Error())
		}
	}
	p.name("description", w.Description)
	p.webhookHeader(&in, hasHeader)
	switch {
	case w.Form != keystile.WebhookSignedPost && (in.Secret != "" || in.SealedSecret != nil):
		p.add("secret", "leave it out, or use the form signed_post", "a GET is not signed")
	case in.Secret != "":
		if err := webhook.CheckSecret(in.Secret); err != nil {
			p.add("secret", "leave it out, and one is drawn", "%s", err.Error())
		}
	}
	return p.err()
}

// webhookHeader checks the header of a webhook: the platform's form must have one
// (protocols 2.8), so that an endpoint can tell who calls.
func (p *problems) webhookHeader(in *NewWebhook, hasValue bool) {
	w := &in.Webhook
	given := in.HeaderValue != "" || in.SealedHeader != nil
	switch {
	case w.HeaderName == "" && given:
		p.add("header_name", "name the header", "a value stands without it")
	case w.HeaderName == "" && w.Form == keystile.WebhookGet:
		p.add("header_name", "give a header that your endpoint checks, such as Authorization with Basic or Bearer", "a webhook that is not signed needs one")
	case w.HeaderName == "":
	case !hasValue && !given:
		p.add("header_value", "give the value of the header", "is missing")
	default:
		if err := webhook.CheckHeaderName(w.HeaderName); err != nil {
			p.add("header_name", "use a header of your own, such as Authorization", "%s", err.Error())
		}
	}
	if err := webhook.CheckHeaderValue(in.HeaderValue.Reveal()); err != nil && in.HeaderValue != "" {
		p.add("header_value", "use plain text", "%s", err.Error())
	}
}

// checkTarget refuses a template that names an address no delivery will be made to. A
// name is not resolved.
func (s *Service) checkTarget(template string) error {
	rest, https := strings.CutPrefix(template, "https://")
	if s.Reachable == nil || !https {
		return nil
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	u, err := url.Parse("https://" + rest[:end])
	if err != nil {
		return nil // which CheckWebhook says
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return nil // a name
	}
	if err := s.Reachable(addr); err != nil {
		return keystile.Invalidf("url_template", "use a public host", "%s", err.Error())
	}
	return nil
}

package state

import (
	"context"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

const partnerWorld = `
organizations:
  - {id: roof-tools-inc, name: Roof Tools Inc, environment: sandbox}
  - {id: sandbox-tenant, name: Tenant, environment: sandbox, tenant_id: 0b9d1a52-5a8a-4b8e-9a55-111111111111}
  - {id: live-tenant, name: Live, environment: production}
applications:
  - id: 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c
    name: Roof Tools
    kind: embedded
    environment: sandbox
    organization: roof-tools-inc
    permissions: ["roof_summary:read", "racking_arrays:read"]
    launch_url: https://app.example.com/embed
    review: approved
    application_keys: [{secret: ak_test_0123456789ABCDEFGHIJKLMNOPQRSTUV}]
authorizations:
  - {application: 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c, tenant: sandbox-tenant, permissions: ["roof_summary:read"]}
`

const partnerApplication = "5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c"

func TestApplicationsAndAuthorizationsAreAppliedOnceAndExportedAsTheyAre(t *testing.T) {
	s := newShop(t)
	summary := s.apply(t, partnerWorld, Options{})
	if text := summary.String(); !strings.Contains(text, "+ application "+partnerApplication) || !strings.Contains(text, "+ authorization "+partnerApplication+"/sandbox-tenant") {
		t.Fatalf("summary:\n%s", text)
	}
	if again := s.apply(t, partnerWorld, Options{}); len(again.Changes) != 0 {
		t.Errorf("the second time:\n%s", again.String())
	}
	exported := s.export(t)
	if strings.Contains(exported, "0123456789ABCDEFGHIJKLMNOPQRSTUV") {
		t.Error("the export shows an application key")
	}
	if again := s.apply(t, exported, Options{}); len(again.Changes) != 0 {
		t.Errorf("the export changes its own store:\n%s\n%s", again.String(), exported)
	}
	got, err := s.Store.Authorization(context.Background(), partnerApplication, "sandbox-tenant")
	if err != nil || len(got.Permissions) != 1 || got.Permissions[0] != "roof_summary:read" || !got.Stands(s.Now()) {
		t.Errorf("stored %+v, %v", got, err)
	}
}

const hooks = `    webhooks:
      - {id: 7d3e1c52-5a8a-4b8e-9a55-0b9d1a520001, event: app_status_changed, url_template: "https://h.example/<TENANT_ID>?s=<SESSION_TOKEN>", description: status, header_name: Authorization, header_value: Bearer partner-token}
      - {id: 7d3e1c52-5a8a-4b8e-9a55-0b9d1a520002, event: application_key_expiring, form: signed_post, url_template: https://h.example/keys, disabled: true, secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}
`

var hookedWorld = strings.Replace(partnerWorld, "authorizations:", hooks+"authorizations:", 1)

func TestWebhooksAreAppliedOnceAndExportedSealed(t *testing.T) {
	s := newShop(t)
	s.apply(t, partnerWorld, Options{})
	if added := s.apply(t, hookedWorld, Options{}); !strings.Contains(added.String(), "webhooks") {
		t.Errorf("summary:\n%s", added.String())
	}
	if again := s.apply(t, hookedWorld, Options{}); len(again.Changes) != 0 {
		t.Errorf("the second time:\n%s", again.String())
	}
	exported := s.export(t)
	for _, secret := range []string{"partner-token", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"} {
		if strings.Contains(exported, secret) {
			t.Error("the export shows a secret of a webhook")
		}
	}
	if again := s.apply(t, exported, Options{}); len(again.Changes) != 0 {
		t.Errorf("the export changes its own store:\n%s\n%s", again.String(), exported)
	}
	stored, err := s.Store.Webhooks(t.Context(), partnerApplication, store.Page{})
	if err != nil || len(stored) != 2 || !stored[1].Disabled || stored[0].HeaderName != "Authorization" {
		t.Fatalf("stored %+v, %v", stored, err)
	}
	// Without secrets the stored ones stay; a changed one replaces them; what the file leaves out goes.
	kept := strings.NewReplacer(", header_value: Bearer partner-token", "", ", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "").Replace(hookedWorld)
	if again := s.apply(t, kept, Options{}); len(again.Changes) != 0 {
		t.Errorf("without secrets:\n%s", again.String())
	}
	if changed := s.apply(t, strings.Replace(hookedWorld, "whsec_MfKQ9r8", "whsec_MfKQ9r9", 1), Options{}); len(changed.Changes) != 1 {
		t.Errorf("another secret:\n%s", changed.String())
	}
	if untouched := s.apply(t, partnerWorld, Options{}); len(untouched.Changes) != 0 {
		t.Errorf("without webhooks:\n%s", untouched.String())
	}
	s.apply(t, strings.Replace(partnerWorld, "authorizations:", "    webhooks: []\nauthorizations:", 1), Options{})
	if stored, err := s.Store.Webhooks(t.Context(), partnerApplication, store.Page{}); err != nil || len(stored) != 0 {
		t.Errorf("still stored: %+v, %v", stored, err)
	}
}

func TestWhatAFileGetsWrongAboutWebhooksIsToldWithItsPlace(t *testing.T) {
	for name, c := range map[string]struct{ old, with, want string }{
		"http":             {"https://h.example/keys", "http://h.example/keys", "applications[0].webhooks[1].url_template: is not an https URL"},
		"no token":         {"?s=<SESSION_TOKEN>", "", "applications[0].webhooks[0].url_template: does not hold <SESSION_TOKEN>"},
		"a password":       {"https://h.example/keys", "https://u:p@h.example/keys", "applications[0].webhooks[1].url_template: holds a user or password"},
		"a fragment":       {"https://h.example/keys", "\"https://h.example/keys#x\"", "applications[0].webhooks[1].url_template: holds a fragment"},
		"no header":        {", header_name: Authorization, header_value: Bearer partner-token", "", "applications[0].webhooks[0].header_name: a webhook that is not signed needs one"},
		"no value":         {", header_value: Bearer partner-token", "", "applications[0].webhooks[0].header_value: is missing, and none is stored"},
		"no secret":        {", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "", "applications[0].webhooks[1].secret: is missing, and none is stored"},
		"a short secret":   {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8G", "applications[0].webhooks[1].secret: is not whsec_"},
		"a reserved name":  {"header_name: Authorization", "header_name: Host", "applications[0].webhooks[0].header_name: is a header that deliveries set themselves"},
		"one id twice":     {"0b9d1a520002", "0b9d1a520001", "applications[0].webhooks[1].id: 7d3e1c52-5a8a-4b8e-9a55-0b9d1a520001 is named a second time"},
		"another store's":  {"secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "sealed: \"mk_other:AAAA\"", "applications[0].webhooks[1].sealed: was sealed under master key mk_other"},
		"an unknown event": {"event: application_key_expiring", "event: anything", "applications[0].webhooks[1].event"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			text := strings.Replace(hookedWorld, c.old, c.with, 1)
			if text == hookedWorld {
				t.Fatal("nothing was changed")
			}
			w, err := Parse(File{Name: "world.yaml", Data: []byte(text)})
			if err == nil {
				_, err = Apply(t.Context(), s.Service, cli, w, Options{})
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestWhatAPartnerFileGetsWrongIsToldWithItsLine(t *testing.T) {
	for name, c := range map[string]struct{ old, with, want string }{
		"no UUID":                      {"id: 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c\n    name", "id: roof-tools\n    name", "applications[0].id: not a UUID"},
		"an unknown partner":           {"organization: roof-tools-inc", "organization: nobody", "applications[0].organization: there is no organization nobody"},
		"a key of the other world":     {"ak_test_0123", "ak_prod_0123", "application_keys[0].secret: is not an application key of its environment"},
		"a launch URL on http":         {"https://app.example.com/embed", "http://app.example.com/embed", "applications[0].launch_url: not https"},
		"a launch URL with a user":     {"https://app.example.com/embed", "https://u:p@app.example.com/embed", "launch_url: holds a user or password"},
		"a launch URL with a fragment": {"https://app.example.com/embed", "https://app.example.com/embed#x", "launch_url: holds a fragment"},
		"a private launch URL":         {"https://app.example.com/embed", "https://10.1.2.3/embed", "launch_url: names a host of a private network"},
		"more than was asked":          {`permissions: ["roof_summary:read"]}`, `permissions: ["roof_summary:write"]}`, "authorizations[0].permissions[0]: the application does not ask for roof_summary:write"},
		"a tenant of the other world":  {"tenant: sandbox-tenant", "tenant: live-tenant", "authorizations[0].tenant: is for production, the application for sandbox"},
		"an unknown application":       {"{application: 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c", "{application: 5c8b1f6e-0d0a-4c36-9a3c-000000000000", "authorizations[0].application: there is no application"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			text := strings.Replace(partnerWorld, c.old, c.with, 1)
			w, err := Parse(File{Name: "world.yaml", Data: []byte(text)})
			if err == nil {
				_, err = Apply(t.Context(), s.Service, cli, w, Options{})
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if apps, err := s.Store.Applications(t.Context(), store.ApplicationFilter{}); err != nil || len(apps) != 0 {
				t.Errorf("something was applied: %v, %v", apps, err)
			}
		})
	}
}

func TestPruneWithdrawsAuthorizationsAndRetiresApplicationsThatTenantsKnow(t *testing.T) {
	s := newShop(t)
	s.apply(t, partnerWorld, Options{})
	rest, _, _ := strings.Cut(partnerWorld, "applications:")
	none := rest + "applications: []\nauthorizations: []\n"
	summary := s.apply(t, none, Options{Prune: true})
	app, err := s.Store.Application(t.Context(), partnerApplication)
	if err != nil || app.Review != keystile.ReviewRetired {
		t.Errorf("the application is %s, %v\n%s", app.Review, err, summary.String())
	}
	yes, err := s.Store.Authorization(t.Context(), partnerApplication, "sandbox-tenant")
	if err != nil || yes.WithdrawnAt.IsZero() {
		t.Errorf("the authorization stands: %+v, %v", yes, err)
	}
	if again := s.apply(t, none, Options{Prune: true}); len(again.Changes) != 0 {
		t.Errorf("pruning again:\n%s", again.String())
	}
}

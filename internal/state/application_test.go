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

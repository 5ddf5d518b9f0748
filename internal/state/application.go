package state

import keystile "keystile.dev/keystile"

// application is a partner's application.
type application struct {
	ID              string           `yaml:"id,required" doc:"UUID."`
	Name            string           `yaml:"name,required" example:"Roof Tools" doc:"Name shown to people."`
	Kind            string           `yaml:"kind,required" enum:"embedded backend" doc:"embedded: opened inside the platform. backend: a service."`
	Environment     string           `yaml:"environment,required" enum:"sandbox production" doc:"Environment it works in."`
	Organization    string           `yaml:"organization,required" doc:"Organization that makes it."`
	Permissions     []string         `yaml:"permissions" example:"[\"roof_summary:read\"]" doc:"Scopes it may be given."`
	LaunchURL       string           `yaml:"launch_url" doc:"Where an embedded application opens."`
	Review          string           `yaml:"review" enum:"draft in_review approved suspended" doc:"State of its review."`
	ApplicationKeys []applicationKey `yaml:"application_keys" doc:"Its keys."`
	OAuth           *oauthClient     `yaml:"oauth" doc:"Its client of the authorization server."`
}

// applicationKey is a key of an application.
type applicationKey struct {
	Secret keystile.Secret `yaml:"secret" doc:"The key. Absent: generated."`
}

// oauthClient is an application's client of the authorization server.
type oauthClient struct {
	RedirectURIs []string        `yaml:"redirect_uris" doc:"Exact redirect URIs."`
	ClientID     string          `yaml:"client_id" doc:"Absent: the application's id."`
	ClientSecret keystile.Secret `yaml:"client_secret" doc:"Absent: generated, unless public."`
	GrantTypes   []string        `yaml:"grant_types" enum:"authorization_code refresh_token client_credentials" doc:"Grants it may use."`
	Scopes       []string        `yaml:"scopes" doc:"Scopes it may ask for."`
	Public       bool            `yaml:"public" doc:"It cannot keep a secret."`
}

// authorization admits an application to a tenant.
type authorization struct {
	Application string   `yaml:"application,required" doc:"Id of the application."`
	Tenant      string   `yaml:"tenant,required" doc:"Organization that admits it, of the same environment."`
	Permissions []string `yaml:"permissions" doc:"Scopes it is given there."`
}

package state

import keystile "keystile.dev/keystile"

// identityProvider is an outside issuer that may sign in users of one organisation.
type identityProvider struct {
	Name         string            `yaml:"name,required" doc:"Name of the provider."`
	Organization string            `yaml:"organization,required" doc:"Organization whose users it may sign in."`
	Roles        []string          `yaml:"roles" doc:"Roles it may assert; others are refused."`
	Issuer       string            `yaml:"issuer,required" doc:"The iss of its tokens."`
	Audience     string            `yaml:"audience,required" doc:"The aud of its tokens."`
	Algorithms   []string          `yaml:"algorithms" enum:"HS256 RS256 ES256 EdDSA" doc:"Algorithms its tokens may be signed with."`
	JWKSURL      string            `yaml:"jwks_url" doc:"Where its keys are published."`
	JWKS         any               `yaml:"jwks" doc:"In place of jwks_url: its keys (RFC 7517)."`
	PublicKey    string            `yaml:"public_key" doc:"In place of jwks_url: its one key, PEM."`
	Secret       keystile.Secret   `yaml:"secret" doc:"In place of jwks_url: the shared secret, for HS256."`
	Claims       map[string]string `yaml:"claims" doc:"Which claim holds which member of the user."`
	CreateUsers  bool              `yaml:"create_users" doc:"Whether unknown users are created."`
}

package state

import keystile "keystile.dev/keystile"

// signingKey proves one-time requests of an organisation.
type signingKey struct {
	Organization string          `yaml:"organization,required" doc:"Organization that signs."`
	APIKey       string          `yaml:"api_key,required" doc:"Public name of the key, unique in the store."`
	Algorithm    string          `yaml:"algorithm,required" enum:"HS256 RS256 ES256 EdDSA" doc:"Signature algorithm."`
	Secret       keystile.Secret `yaml:"secret" doc:"Shared secret, for HS256."`
	PublicKey    string          `yaml:"public_key" doc:"Public key, PEM (PKCS#1 or SPKI), for the others."`
	Scopes       []string        `yaml:"scopes" doc:"Scopes of requests signed with it."`
}

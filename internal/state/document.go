package state

import (
	"reflect"

	"keystile.dev/keystile/internal/yamlfile"
)

// document is the shape of one state file. A section that is present but empty
// names its kind: with Prune everything of it is deleted.
type document struct {
	Organizations     []organization     `yaml:"organizations" doc:"Tenants. They own sites, users, keys and applications."`
	Sites             []site             `yaml:"sites" doc:"Places whose data a key may be permitted to read; ids are unique over all organizations."`
	Roles             []role             `yaml:"roles" doc:"Named sets of scopes."`
	Users             []user             `yaml:"users" doc:"People who sign in."`
	APIKeys           []apiKey           `yaml:"api_keys" doc:"API keys. Without secret, sha256 and digest a secret is generated and shown once."`
	Applications      []application      `yaml:"applications" doc:"Partners' applications."`
	Authorizations    []authorization    `yaml:"authorizations" doc:"Which tenants admitted which application."`
	SigningKeys       []signingKey       `yaml:"signing_keys" doc:"Keys that one-time requests are signed with."`
	IdentityProviders []identityProvider `yaml:"identity_providers" doc:"Outside issuers whose word signs in users of one organization."`
}

// Schema is the JSON Schema (draft 2020-12) of state files.
func Schema() ([]byte, error) {
	return yamlfile.Schema(reflect.TypeFor[document](), yamlfile.SchemaInfo{
		ID:          "https://keystile.dev/schema/state.json",
		Title:       "Keystile state file",
		Description: "What keystile apply makes a store match.",
	})
}

const referenceHead = `# State file

<!-- Generated from internal/state; renew with: go test ./internal/state -update -->

What ` + "`keystile apply -f FILE…`" + ` makes a store match, and what ` + "`keystile export`" + ` writes.

- Several files are read as one; an id named twice is refused, in whatever files.
- All or nothing: one wrong line and nothing is applied. Applying again changes nothing.
- What a file leaves out has its default, also where the store has something else. Two things are kept if they are left
  out: an organization's ` + "`tenant_id`" + ` and everybody's secrets.
- ` + "`--prune`" + ` deletes what the files do not name, of the kinds they do name; ` + "`api_keys: []`" + ` names the kind and no key.
- A key that was revoked stays revoked, and a secret that was rotated out stays out, with a warning: take them out of
  the file. A changed ` + "`secret`" + ` replaces all secrets of the key at once.
- A site and a key never move to another organization: delete it and create it anew.
- A signing key is known by its ` + "`api_key`" + `, which is never used again, not even after the key was deleted. A rotation
  makes a new key and gives the old one an end: write that ` + "`expires_at`" + `, or take the old key out of the file.
- A user is known by the ` + "`username`" + `, however it is written, or by the ` + "`id`" + ` where the file gives one. An export gives it.
- A ` + "`password`" + ` is compared with the stored hash, and replaces it if it is another: take it out of the file once the
  user chooses their own, or set ` + "`must_change_password`" + `, with which it is given only once.
- A ` + "`password_hash`" + ` that was renewed at a sign-in, a second factor that the user has enrolled since and a personal API
  key that was replaced stay as they are, with a warning: take them out of the file.
- Passkeys, recovery codes and sessions are in a backup only.
- ` + "`sealed`" + ` is how an export carries what must be readable again (the secret of an HS256 signing key or identity
  provider, a second factor, a personal API key, the secrets of a webhook): encrypted, with the id of the store's master key. Any other store refuses it and names that id.
- An application that tenants know is never deleted: ` + "`--prune`" + ` retires it, for good. An authorization that is taken out is withdrawn,
  which ends the application's temporary keys there.
- ` + "`digest`" + ` is how an export carries a secret: HMAC-SHA-256 under a pepper of the store that it came from. Any other
  store refuses it and names the pepper.
`

// Reference is the reference page docs/reference/state.md.
func Reference() []byte {
	return []byte(referenceHead + yamlfile.Tables(reflect.TypeFor[document](), "Sections"))
}

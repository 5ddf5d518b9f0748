package api

import (
	"net/http"

	keystile "keystile.dev/keystile"
)

// Access says what opens an operation.
type Access string

// The kinds of access.
const (
	// AccessToken: an admin token that holds Operation.Scope.
	AccessToken Access = "token"
	// AccessGlobal: the same, and the token must not be bound to one
	// organisation, because the operation is about all of them.
	AccessGlobal Access = "global"
	// AccessKey: an API key, which may read about itself and end itself.
	AccessKey Access = "key"
	// AccessOpen: anybody.
	AccessOpen Access = "open"
)

// Operation is one thing the API does.
type Operation struct {
	// ID names it in the OpenAPI document: "create-key".
	ID     string
	Method string
	// Path is a pattern of net/http.ServeMux: "/v1/keys/{id}".
	Path   string
	Access Access
	// Scope that an admin token must hold; empty for keys and strangers.
	Scope keystile.Scope
	// Summary is one line for the reference.
	Summary string
	// Status of a success.
	Status int
	// Conditional: If-Match is honoured.
	Conditional bool
}

// Pattern is the operation as net/http.ServeMux writes it: "POST /v1/keys".
func (o Operation) Pattern() string { return o.Method + " " + o.Path }

// operations is every operation of the API. Access and scope are decided here
// and nowhere else.
var operations = []Operation{
	{ID: "get-openapi", Method: http.MethodGet, Path: "/v1/openapi.json", Access: AccessOpen, Status: 200, Summary: "This API as an OpenAPI 3.1 document"},
	{ID: "get-docs", Method: http.MethodGet, Path: "/v1/docs", Access: AccessOpen, Status: 200, Summary: "This API as a page to read"},

	{ID: "list-organizations", Method: http.MethodGet, Path: "/v1/organizations", Access: AccessToken, Scope: "organizations:read", Status: 200, Summary: "List organizations"},
	{ID: "create-organization", Method: http.MethodPost, Path: "/v1/organizations", Access: AccessGlobal, Scope: "organizations:write", Status: 201, Summary: "Create an organization"},
	{ID: "get-organization", Method: http.MethodGet, Path: "/v1/organizations/{id}", Access: AccessToken, Scope: "organizations:read", Status: 200, Summary: "Get an organization"},
	{ID: "update-organization", Method: http.MethodPatch, Path: "/v1/organizations/{id}", Access: AccessToken, Scope: "organizations:write", Status: 200, Conditional: true, Summary: "Change an organization"},
	{ID: "delete-organization", Method: http.MethodDelete, Path: "/v1/organizations/{id}", Access: AccessGlobal, Scope: "organizations:write", Status: 204, Summary: "Delete an organization that owns nothing"},

	{ID: "list-sites", Method: http.MethodGet, Path: "/v1/sites", Access: AccessToken, Scope: "sites:read", Status: 200, Summary: "List sites"},
	{ID: "create-site", Method: http.MethodPost, Path: "/v1/sites", Access: AccessToken, Scope: "sites:write", Status: 201, Summary: "Create a site"},
	{ID: "get-site", Method: http.MethodGet, Path: "/v1/sites/{id}", Access: AccessToken, Scope: "sites:read", Status: 200, Summary: "Get a site"},
	{ID: "update-site", Method: http.MethodPatch, Path: "/v1/sites/{id}", Access: AccessToken, Scope: "sites:write", Status: 200, Conditional: true, Summary: "Change a site"},
	{ID: "delete-site", Method: http.MethodDelete, Path: "/v1/sites/{id}", Access: AccessToken, Scope: "sites:write", Status: 204, Summary: "Delete a site that no key names"},

	{ID: "list-roles", Method: http.MethodGet, Path: "/v1/roles", Access: AccessGlobal, Scope: "roles:read", Status: 200, Summary: "List roles"},
	{ID: "create-role", Method: http.MethodPost, Path: "/v1/roles", Access: AccessGlobal, Scope: "roles:write", Status: 201, Summary: "Create a role"},
	{ID: "get-role", Method: http.MethodGet, Path: "/v1/roles/{id}", Access: AccessGlobal, Scope: "roles:read", Status: 200, Summary: "Get a role"},
	{ID: "update-role", Method: http.MethodPatch, Path: "/v1/roles/{id}", Access: AccessGlobal, Scope: "roles:write", Status: 200, Conditional: true, Summary: "Change a role"},
	{ID: "delete-role", Method: http.MethodDelete, Path: "/v1/roles/{id}", Access: AccessGlobal, Scope: "roles:write", Status: 204, Summary: "Delete a role"},

	{ID: "list-users", Method: http.MethodGet, Path: "/v1/users", Access: AccessToken, Scope: "users:read", Status: 200, Summary: "List users, or find one by name"},
	{ID: "create-user", Method: http.MethodPost, Path: "/v1/users", Access: AccessToken, Scope: "users:write", Status: 201, Summary: "Create a user"},
	{ID: "get-user", Method: http.MethodGet, Path: "/v1/users/{id}", Access: AccessToken, Scope: "users:read", Status: 200, Summary: "Get a user"},
	{ID: "update-user", Method: http.MethodPatch, Path: "/v1/users/{id}", Access: AccessToken, Scope: "users:write", Status: 200, Conditional: true, Summary: "Change, disable or enable a user"},
	{ID: "delete-user", Method: http.MethodDelete, Path: "/v1/users/{id}", Access: AccessToken, Scope: "users:write", Status: 204, Summary: "Delete a user with their sessions, factors and personal key"},
	{ID: "set-user-password", Method: http.MethodPost, Path: "/v1/users/{id}/password", Access: AccessToken, Scope: "users:write", Status: 200, Summary: "Give a user a password and end their sessions"},
	{ID: "reset-user-mfa", Method: http.MethodPost, Path: "/v1/users/{id}/reset-mfa", Access: AccessToken, Scope: "users:write", Status: 200, Summary: "Remove every second factor of a user and end their sessions"},
	{ID: "enrol-user-totp", Method: http.MethodPost, Path: "/v1/users/{id}/totp", Access: AccessToken, Scope: "users:write", Status: 200, Summary: "Give a user a new TOTP factor"},

	{ID: "list-identity-providers", Method: http.MethodGet, Path: "/v1/identity-providers", Access: AccessToken, Scope: "identity_providers:read", Status: 200, Summary: "List identity providers"},
	{ID: "create-identity-provider", Method: http.MethodPost, Path: "/v1/identity-providers", Access: AccessToken, Scope: "identity_providers:write", Status: 201, Summary: "Create an identity provider"},
	{ID: "get-identity-provider", Method: http.MethodGet, Path: "/v1/identity-providers/{id}", Access: AccessToken, Scope: "identity_providers:read", Status: 200, Summary: "Get an identity provider by its name"},
	{ID: "update-identity-provider", Method: http.MethodPatch, Path: "/v1/identity-providers/{id}", Access: AccessToken, Scope: "identity_providers:write", Status: 200, Conditional: true, Summary: "Change an identity provider"},
	{ID: "delete-identity-provider", Method: http.MethodDelete, Path: "/v1/identity-providers/{id}", Access: AccessToken, Scope: "identity_providers:write", Status: 204, Summary: "Delete an identity provider"},

	{ID: "list-keys", Method: http.MethodGet, Path: "/v1/keys", Access: AccessToken, Scope: "keys:read", Status: 200, Summary: "List API keys"},
	{ID: "create-key", Method: http.MethodPost, Path: "/v1/keys", Access: AccessToken, Scope: "keys:write", Status: 201, Summary: "Create or import an API key"},
	{ID: "create-keys", Method: http.MethodPost, Path: "/v1/keys/bulk", Access: AccessToken, Scope: "keys:write", Status: 201, Summary: "Create or import up to 1000 API keys, all of them or none"},
	{ID: "revoke-keys", Method: http.MethodPost, Path: "/v1/keys/bulk-revoke", Access: AccessToken, Scope: "keys:write", Status: 200, Summary: "End up to 1000 API keys, all of them or none"},
	{ID: "get-key-usage", Method: http.MethodGet, Path: "/v1/keys/{id}/usage", Access: AccessToken, Scope: "keys:read", Status: 200, Summary: "How an API key was used, and a narrower key that would have been enough"},
	{ID: "get-own-key", Method: http.MethodGet, Path: "/v1/keys/self", Access: AccessKey, Status: 200, Summary: "What the presented API key is and may do"},
	{ID: "revoke-own-key", Method: http.MethodPost, Path: "/v1/keys/self/revoke", Access: AccessKey, Status: 200, Summary: "End the presented API key, for good"},
	{ID: "delete-own-key", Method: http.MethodDelete, Path: "/v1/keys/self", Access: AccessKey, Status: 204, Summary: "End the presented API key, as revoke-own-key does"},
	{ID: "report-leaked-keys", Method: http.MethodPost, Path: "/v1/keys/leaked", Access: AccessOpen, Status: 202, Summary: "Report keys that were found in the open"},
	{ID: "get-key", Method: http.MethodGet, Path: "/v1/keys/{id}", Access: AccessToken, Scope: "keys:read", Status: 200, Summary: "Get an API key"},
	{ID: "update-key", Method: http.MethodPatch, Path: "/v1/keys/{id}", Access: AccessToken, Scope: "keys:write", Status: 200, Conditional: true, Summary: "Change an API key"},
	{ID: "delete-key", Method: http.MethodDelete, Path: "/v1/keys/{id}", Access: AccessToken, Scope: "keys:write", Status: 204, Summary: "Delete an API key"},
	{ID: "rotate-key", Method: http.MethodPost, Path: "/v1/keys/{id}/rotate", Access: AccessToken, Scope: "keys:write", Status: 200, Summary: "Give an API key a new secret"},
	{ID: "revoke-key", Method: http.MethodPost, Path: "/v1/keys/{id}/revoke", Access: AccessToken, Scope: "keys:write", Status: 200, Summary: "End every secret of an API key"},

	{ID: "list-signing-keys", Method: http.MethodGet, Path: "/v1/signing-keys", Access: AccessToken, Scope: "signing_keys:read", Status: 200, Summary: "List signing keys"},
	{ID: "create-signing-key", Method: http.MethodPost, Path: "/v1/signing-keys", Access: AccessToken, Scope: "signing_keys:write", Status: 201, Summary: "Create or import a signing key"},
	{ID: "get-signing-key", Method: http.MethodGet, Path: "/v1/signing-keys/{id}", Access: AccessToken, Scope: "signing_keys:read", Status: 200, Summary: "Get a signing key"},
	{ID: "update-signing-key", Method: http.MethodPatch, Path: "/v1/signing-keys/{id}", Access: AccessToken, Scope: "signing_keys:write", Status: 200, Conditional: true, Summary: "Change what a signing key may do"},
	{ID: "rotate-signing-key", Method: http.MethodPost, Path: "/v1/signing-keys/{id}/rotate", Access: AccessToken, Scope: "signing_keys:write", Status: 200, Summary: "Make a new signing key of the same rights and end the old one"},
	{ID: "revoke-signing-key", Method: http.MethodPost, Path: "/v1/signing-keys/{id}/revoke", Access: AccessToken, Scope: "signing_keys:write", Status: 200, Summary: "End a signing key"},

	{ID: "list-applications", Method: http.MethodGet, Path: "/v1/applications", Access: AccessToken, Scope: "applications:read", Status: 200, Summary: "List partner applications"},
	{ID: "create-application", Method: http.MethodPost, Path: "/v1/applications", Access: AccessToken, Scope: "applications:write", Status: 201, Summary: "Register an application"},
	{ID: "get-application", Method: http.MethodGet, Path: "/v1/applications/{id}", Access: AccessToken, Scope: "applications:read", Status: 200, Summary: "Get an application"},
	{ID: "update-application", Method: http.MethodPatch, Path: "/v1/applications/{id}", Access: AccessToken, Scope: "applications:write", Status: 200, Conditional: true, Summary: "Change an application"},
	{ID: "move-application", Method: http.MethodPost, Path: "/v1/applications/{id}/move", Access: AccessToken, Scope: "applications:write", Status: 200, Summary: "Submit an application for review, take it back, or retire it"},
	{ID: "review-application", Method: http.MethodPost, Path: "/v1/applications/{id}/review", Access: AccessGlobal, Scope: "applications:review", Status: 200, Summary: "Approve an application, send it back, or suspend it"},
	{ID: "list-application-keys", Method: http.MethodGet, Path: "/v1/applications/{id}/keys", Access: AccessToken, Scope: "applications:read", Status: 200, Summary: "List the keys of an application"},
	{ID: "create-application-key", Method: http.MethodPost, Path: "/v1/applications/{id}/keys", Access: AccessToken, Scope: "applications:write", Status: 201, Summary: "Make an application key, or rotate"},
	{ID: "revoke-application-key", Method: http.MethodPost, Path: "/v1/applications/{id}/keys/{key}/revoke", Access: AccessToken, Scope: "applications:write", Status: 204, Summary: "End an application key"},
	{ID: "request-authorization", Method: http.MethodPost, Path: "/v1/applications/{id}/requests", Access: AccessToken, Scope: "applications:write", Status: 204, Summary: "Ask a tenant to authorize an application"},
	{ID: "list-tenant-applications", Method: http.MethodGet, Path: "/v1/organizations/{id}/applications", Access: AccessToken, Scope: "authorizations:read", Status: 200, Summary: "List the applications that a tenant authorized or may authorize"},
	{ID: "authorize-application", Method: http.MethodPut, Path: "/v1/organizations/{id}/applications/{application}", Access: AccessToken, Scope: "authorizations:write", Status: 200, Summary: "Authorize an application in a tenant"},
	{ID: "withdraw-application", Method: http.MethodDelete, Path: "/v1/organizations/{id}/applications/{application}", Access: AccessToken, Scope: "authorizations:write", Status: 204, Summary: "Withdraw the authorization of an application"},

	{ID: "list-webhooks", Method: http.MethodGet, Path: "/v1/applications/{id}/webhooks", Access: AccessToken, Scope: "applications:read", Status: 200, Summary: "List the webhooks of an application"},
	{ID: "create-webhook", Method: http.MethodPost, Path: "/v1/applications/{id}/webhooks", Access: AccessToken, Scope: "applications:write", Status: 201, Summary: "Add a webhook to an application"},
	{ID: "get-webhook", Method: http.MethodGet, Path: "/v1/applications/{id}/webhooks/{webhook}", Access: AccessToken, Scope: "applications:read", Status: 200, Summary: "Get a webhook and how it fares"},
	{ID: "update-webhook", Method: http.MethodPatch, Path: "/v1/applications/{id}/webhooks/{webhook}", Access: AccessToken, Scope: "applications:write", Status: 200, Conditional: true, Summary: "Change, disable or enable a webhook"},
	{ID: "delete-webhook", Method: http.MethodDelete, Path: "/v1/applications/{id}/webhooks/{webhook}", Access: AccessToken, Scope: "applications:write", Status: 204, Summary: "Delete a webhook"},
	{ID: "rotate-webhook-secret", Method: http.MethodPost, Path: "/v1/applications/{id}/webhooks/{webhook}/rotate-secret", Access: AccessToken, Scope: "applications:write", Status: 200, Summary: "Give a webhook a new signing secret"},
	{ID: "list-deliveries", Method: http.MethodGet, Path: "/v1/applications/{id}/webhooks/{webhook}/deliveries", Access: AccessToken, Scope: "applications:read", Status: 200, Summary: "List deliveries of a webhook, newest first"},
	{ID: "get-delivery", Method: http.MethodGet, Path: "/v1/applications/{id}/webhooks/{webhook}/deliveries/{delivery}", Access: AccessToken, Scope: "applications:read", Status: 200, Summary: "Get a delivery with its attempts"},
	{ID: "resend-delivery", Method: http.MethodPost, Path: "/v1/applications/{id}/webhooks/{webhook}/deliveries/{delivery}/resend", Access: AccessToken, Scope: "applications:write", Status: 200, Summary: "Send a delivery again, with the same id"},
	{ID: "list-clients", Method: http.MethodGet, Path: "/v1/clients", Access: AccessToken, Scope: "clients:read", Status: 200, Summary: "List OAuth clients"},
	{ID: "create-client", Method: http.MethodPost, Path: "/v1/clients", Access: AccessToken, Scope: "clients:write", Status: 201, Summary: "Give an application an OAuth client"},
	{ID: "get-client", Method: http.MethodGet, Path: "/v1/clients/{id}", Access: AccessToken, Scope: "clients:read", Status: 200, Summary: "Get an OAuth client"},
	{ID: "update-client", Method: http.MethodPatch, Path: "/v1/clients/{id}", Access: AccessToken, Scope: "clients:write", Status: 200, Conditional: true, Summary: "Change what an OAuth client is called and may do"},
	{ID: "rotate-client", Method: http.MethodPost, Path: "/v1/clients/{id}/rotate", Access: AccessToken, Scope: "clients:write", Status: 200, Summary: "Give an OAuth client a new secret"},
	{ID: "revoke-client", Method: http.MethodPost, Path: "/v1/clients/{id}/revoke", Access: AccessToken, Scope: "clients:write", Status: 200, Summary: "End an OAuth client, with every grant and token it has"},

	{ID: "list-sessions", Method: http.MethodGet, Path: "/v1/sessions", Access: AccessToken, Scope: "sessions:read", Status: 200, Summary: "List live sessions of users"},
	{ID: "get-session", Method: http.MethodGet, Path: "/v1/sessions/{id}", Access: AccessToken, Scope: "sessions:read", Status: 200, Summary: "Get a session"},
	{ID: "revoke-session", Method: http.MethodPost, Path: "/v1/sessions/{id}/revoke", Access: AccessToken, Scope: "sessions:write", Status: 200, Summary: "End a session and every token minted from it"},

	{ID: "list-routes", Method: http.MethodGet, Path: "/v1/routes", Access: AccessGlobal, Scope: "routes:read", Status: 200, Summary: "List the routes that are enforced"},

	{ID: "list-observed", Method: http.MethodGet, Path: "/v1/routes/observed", Access: AccessGlobal, Scope: "audit:read", Status: 200, Summary: "Tell what routes that only observe would have refused"},

	{ID: "list-token-keys", Method: http.MethodGet, Path: "/v1/token-keys", Access: AccessGlobal, Scope: "token_keys:read", Status: 200, Summary: "List the keys that session tokens are signed with"},
	{ID: "rotate-token-key", Method: http.MethodPost, Path: "/v1/token-keys", Access: AccessGlobal, Scope: "token_keys:write", Status: 201, Summary: "Make the next key to sign session tokens with"},
	{ID: "revoke-token-key", Method: http.MethodPost, Path: "/v1/token-keys/{id}/revoke", Access: AccessGlobal, Scope: "token_keys:write", Status: 200, Summary: "End a token key, and every token that it signed"},

	{ID: "list-admin-tokens", Method: http.MethodGet, Path: "/v1/admin-tokens", Access: AccessToken, Scope: "admin_tokens:read", Status: 200, Summary: "List admin tokens"},
	{ID: "create-admin-token", Method: http.MethodPost, Path: "/v1/admin-tokens", Access: AccessToken, Scope: "admin_tokens:write", Status: 201, Summary: "Create an admin token"},
	{ID: "get-admin-token", Method: http.MethodGet, Path: "/v1/admin-tokens/{id}", Access: AccessToken, Scope: "admin_tokens:read", Status: 200, Summary: "Get an admin token"},
	{ID: "revoke-admin-token", Method: http.MethodPost, Path: "/v1/admin-tokens/{id}/revoke", Access: AccessToken, Scope: "admin_tokens:write", Status: 200, Summary: "End an admin token"},

	{ID: "list-audit", Method: http.MethodGet, Path: "/v1/audit", Access: AccessToken, Scope: "audit:read", Status: 200, Summary: "List audit events, of one chain or of all"},
	{ID: "list-decisions", Method: http.MethodGet, Path: "/v1/audit/decisions", Access: AccessToken, Scope: "audit:read", Status: 200, Summary: "List recorded decisions, the newest first"},

	{ID: "get-state", Method: http.MethodGet, Path: "/v1/state", Access: AccessGlobal, Scope: "state:read", Status: 200, Summary: "Export the state file"},
	{ID: "apply-state", Method: http.MethodPost, Path: "/v1/state/apply", Access: AccessGlobal, Scope: "state:write", Status: 200, Summary: "Make the world match a state file"},
}

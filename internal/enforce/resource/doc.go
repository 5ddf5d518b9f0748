// Package resource tells clients of a protected API which authorization server gives
// out tokens for it: OAuth 2.0 Protected Resource Metadata (RFC 9728).
//
//	a request without a token ──> 401, WWW-Authenticate: Bearer ... resource_metadata="URL"
//	URL ──> {resource, authorization_servers, scopes_supported} ──> that server's own metadata
//
// Nothing is configured: every route that accepts oauth_token belongs to the resource
// its pattern begins with, and the origin as a whole is one, too, for clients that
// look nowhere else. A host without such a route has no metadata of ours; what its
// upstream serves at that path goes through the gateway as anything else.
//
// It decides nothing: what a token opens is for the gate.
package resource

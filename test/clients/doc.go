// Package clients proves the authorization server with clients that others wrote:
//
//	openid-client     code, PKCE, PAR, DPoP, registration, sign-out        javascript/
//	oauth4webapi      the same by hand, and what a protected API does      javascript/
//	MCP SDK           discovery, registration and calls, nothing told      javascript/
//	Authlib           code, refresh, client credentials, introspection     python/
//	go-oidc, x/oauth2 discovery, ID tokens, userinfo, device               in the test
//
// and runs every sample of docs/sign-in-with-keystile.md as it stands there, with
// hosts and credentials put in.
//
// All of them meet one real server over TLS. A program that needs a browser prints the
// URL on a line of its own and reads the one that the browser ends at; the person at the
// browser signs in and says yes on the real pages, see person.
//
// It is a module of its own, so that the libraries are no dependencies of the product:
// cd test/clients && go test. It needs node with npm, python3 with venv, curl and openssl; the libraries
// come from their registries, pinned, and are kept in bin/clients.
//
// It holds tests only. What only a page can show is tested in test/browser, which has
// mod_auth_openidc as well.
package clients

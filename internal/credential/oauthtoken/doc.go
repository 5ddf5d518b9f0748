// Package oauthtoken proves the access tokens that the authorization server
// issues (kind "oauth_token").
//
//	at+jwt (RFC 9068) ─┐
//	                   ├─ SHA-256 ─> memory ─> row of the token, with all it hangs on
//	ot_… (opaque)     ─┘
//
// Both forms are found by the digest of their whole text: a token that was not
// issued has no row, whatever it says and whoever signed it, so no key and no
// algorithm is looked at. A signature is for those who verify without asking.
//
// A token hangs on its grant, its client and the client's application, on the
// user and their role. All of them are read with it and a change to any of them
// drops it from memory: it may do what was granted and what the user may do, both
// as they are at the moment of the request.
//
// Issuing is package internal/oidc's.
package oauthtoken

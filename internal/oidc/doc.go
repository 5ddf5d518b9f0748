// Package oidc is the authorization server: OAuth 2.0 (RFC 6749, with RFC 9700's
// advice as rules) and an OpenID provider.
//
//	browser ─> console ─> Begin ─┬─> sign in first
//	                             ├─> ask for consent ─> Decide ─┐
//	                             └──────────────────────────────┴─> redirect URI with a code
//
//	client ─> /oauth/token ─> one form, no parameter twice ─> who is the client? ─> grant
//	                                                                                  │ one transaction:
//	                                                                                  v what is spent, what is issued
//	                                                                              tokens
//
// The pages are package console's: it knows who is signed in, asks them, and calls
// Begin and Decide. Everything that clients call is served here.
//
// # What holds for every grant
//
// A code and a refresh token are spent by one conditional statement together with
// the rows that are issued for it: of any number of requests, on whatever servers,
// one is answered with tokens. Used again, they end their grant with everything
// that was issued from it (RFC 6749, section 4.1.2; RFC 9700, section 4.14.2).
// Codes, tokens and secrets are kept as keyed digests; none is logged, and none
// stands in an error.
//
// What a token may do is what the client is registered for, what the user's role
// holds, and what was asked for and consented to: each time it is issued, each time
// it is refreshed, and at the gate each time it is used.
//
// # To add a grant
//
// A file with a method of grantHandler's type, a line in the list in token.go, the
// grant's name in the root's list, and its row in docs/standards.md.
package oidc

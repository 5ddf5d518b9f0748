// Package federation takes the word of outside issuers: it verifies a token of an
// identity provider and says whom it stands for.
//
//	provider name ──> provider of the store: whose users, which roles, which keys
//	                        │
//	foreign token ──────────┴─> form, algorithm, key, signature
//	                            iss, aud, azp, exp, nbf, iat
//	                            claims, each of its type ──> Identity
//
// Everything that decides comes from the provider as it is in the store; nothing
// that a token says chooses the keys it is verified with, but for the issuer of an
// assertion, which names one provider among those of the client's organisation
// ([Verifier.Assertion]). Keys are kept for each
// provider by itself, so that two issuers whose keys have one name never mix.
//
//	keys of a provider   fetched when first needed, then every 15 minutes
//	unknown "kid"        fetched again, at most once in 30 s
//	endpoint down        the last keys count for one hour after they were fetched,
//	                     then nobody is signed in
//
// It signs nobody in and creates nobody: package login does, from an Identity.
// [Exchanger] is the token exchange of RFC 8693 over both.
package federation

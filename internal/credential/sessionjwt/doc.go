// Package sessionjwt mints and proves the tokens of signed-in people: JSON Web
// Tokens (RFC 7519) that name a session.
//
//	Ona       HS256 under a secret that the platform's verifiers share:
//	          {"alg":"HS256","typ":"JWT"}
//	standard  Ed25519, ES256 or RS256 under a key of the JWKS:
//	          {"alg":"EdDSA","kid":"…","typ":"JWT"}
//
// A token says much for those who verify it themselves. Here it only names a
// session: who the user is and what they may do is read from the store. So whoever
// knows a shared secret can make no token that is good here, and a user who is
// disabled, demoted or signed out is so at the next request, although the token
// says otherwise until it ends.
//
//	Parse    where it stands, its length and its digest
//	Verify   remembered by that digest until it ends? done
//	         else  0  form: bounded, strict, no I/O and no clock
//	               1  jti is ours, over this session, form, iat and exp    one MAC
//	               2  iat and exp
//	               3  the session, its user, their organisation and role    one look-up
//	               4  the signature, by the key that the form asks for
//
// The first step keeps everything that is not ours away from the store and from
// costly signatures. The last two run in the queue of look-ups, where addresses
// take turns: a flood from one delays nobody else.
//
// It does not sign anybody in: package login does, and asks the Minter for tokens.
package sessionjwt

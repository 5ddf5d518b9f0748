// Package jws reads and verifies signed tokens: JSON Web Signatures in the
// compact serialisation (RFC 7515, section 7.1).
//
//	text ──Parse──> Token        bounded, strict, no I/O and no clock
//	                  │
//	Key.Verify(Token) ┘          the key fixes the algorithm
//
// A header names a key at most; it never brings one along, never says where one
// can be fetched, and never chooses how a key is used. The one exception is asked
// for by name: ParseProof reads a proof of possession, whose key is what it shows.
// What the payload means is the caller's business: packages sessionjwt, federation
// and dpop read it.
package jws

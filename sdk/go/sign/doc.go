// Package sign makes one-time signed requests for a Keystile server. It needs
// the standard library only.
//
// A Signer signs in three forms:
//
//	Header   a base64 JSON header, as older clients of the platform send it
//	JWT      a JWT that lives 30 seconds
//	Request  an HTTP message signature (RFC 9421) with a content digest (RFC 9530)
//
// Header and JWT sign a nonce and a time, and nothing of the request: whoever
// sees one on its way can put it in front of another request, once, before it
// arrives. Request signs method, target and body as well; use it for new
// programs.
//
// Each signature is accepted once. Sign again for every request and for every
// retry, also after an answer that was lost.
//
// This package verifies nothing and sends nothing.
package sign

// Package onetime proves requests that are signed for one use.
//
// Three forms carry the same things: who signs, a nonce, a time, a signature.
//
//	header          Authorization: Bearer base64({organization, apiKey, nonce, timestamp, accessToken})
//	                signs apiKey + nonce + timestamp, and nothing of the request
//	jwt             Authorization: Bearer header.payload.signature
//	                signs the claims aud, apiKey or sub, nonce, iat, exp; nothing of the request
//	http_signature  Signature-Input and Signature (RFC 9421) with Content-Digest (RFC 9530)
//	                signs method, target and body as well
//
// Every request takes the same way:
//
//	Parse ── key by its name ── organisation ── form ── clock ── signature ── body
//	                                                                            │
//	             (the gate: authorise, limit) <─────────────────────────────────┘
//	                        │
//	                      Claim: the nonce is spent, once
//
// What keeps it safe:
//
//   - The algorithm belongs to the stored key. A request may name one, and is
//     refused if it names another.
//   - A nonce is claimed last. Neither a bad signature nor a refusal by policy or
//     limit spends it, so nobody can spend another's nonces.
//   - A nonce is spent for (API key, nonce), in whatever form and with whatever
//     time it comes again. The text the header form signs has no separators: the
//     key is found by its whole name, and a time must lie within minutes of the
//     clock, so no other cut of the same text is ever good for that key.
//   - Body and anything that costs come after the signature.
//
// What is not checked here: rate, scopes, addresses (the gate does), and whether
// a nonce was spent (the Ledger says).
//
// # HTTP message signatures
//
// Exactly one signature is considered: two labels are refused, because a request
// that two parties signed would have two principals. Covered must be @method and
// the whole target, as @target-uri or as @scheme, @authority and either
// @request-target or @path with @query; and content-digest if there is a body.
// The parameters created, nonce and keyid are required; alg and expires are
// optional; tag says nothing to us. Supported components are @method,
// @target-uri, @authority, @scheme, @path, @query, @request-target,
// @query-param;name and header fields. The component parameters sf, key, bs, req
// and tr are refused.
//
// @target-uri is scheme "://" the Host field as sent, path and query as sent. A
// point that sees no body (forward-auth) takes signatures of GET, HEAD and
// OPTIONS requests without body only.
package onetime

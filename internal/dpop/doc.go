// Package dpop reads and checks proofs that a caller holds the key its token is
// bound to (OAuth 2.0 Demonstrating Proof of Possession, RFC 9449).
//
//	field values ──Sole──> text ──Parse──> Proof      form, key, signature: no I/O and no clock
//	                                         │
//	      method, URL, time, nonce, token ──Check     is it a proof for this request?
//	                                         │
//	                            ledger ──Spend        was it used before? asked last
//
// A proof says nothing of its own about who its sender is: whoever calls Check
// names the thumbprint that a token, a code or a grant is bound to, or binds what
// it issues to Proof.Thumbprint.
//
// Spending is a step of its own because verifying consumes nothing: the gate spends
// after everything else allowed the request, through the ledger of package replay.
//
// Not here: which answer a fault has. Fault.Code is the error code of RFC 9449;
// challenges and bodies are written by who owns the endpoint.
package dpop

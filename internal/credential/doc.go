// Package credential finds the credential in a request and names its kind.
//
// Finding is one pure function. Letting every kind guess would be undecidable:
// "Bearer a.b.c" fits four of them, and a credential that one kind refuses must
// never be tried as another. So one classifier decides, from the text alone:
//
//	typed prefix            ak_ st_ tk_ ot_   the kind it names
//	three dot parts         a JWT             by its typ and claims
//	base64 of a JSON object onetime
//	anything else           unknown here: one digest look-up names the kind
//
// A signature of the whole message (fields Signature and Signature-Input) is
// onetime on routes that take that kind, and nothing to us on others. Such a
// route that takes no API keys hands the kind what is unknown in Authorization,
// too: there it is a one-time header that was spoilt, and "malformed" says more
// than "another kind".
//
// Whether the route accepts that kind is asked afterwards, by the gate.
//
// One folder per kind lives below; each both proves and issues its kind.
// kinds.go of the server's wiring lists them: there is no registration.
package credential

// Package clientmetadata judges what a client says of itself.
//
//	registration (RFC 7591) ──────────────────────────────┐
//	                                                      ├─ Parse ──> Metadata, or Invalid with the member's name
//	client_id that is a URL ──Documents.Fetch─> document ─┘
//
//	registered redirect URIs + the one of a request ──MatchRedirect──> yes or no
//
// A Client ID Metadata Document is one that a client serves at the URL it calls
// itself by; the URL is somebody else's choice, and is fetched through the guard of
// package outbound alone.
//
// Whatever is said here is said by a stranger: a name is a label that nobody has
// verified. There is no logo: a picture from outside on a page of ours tells its
// host who looks, and may change after it was looked at. "logo_uri" is checked for
// its form, as the standard asks, and is not kept.
//
// Who may register, how many, and what is stored is the caller's business.
package clientmetadata

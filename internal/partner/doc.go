// Package partner is what applications do with their keys: exchange them for
// temporary keys in a tenant, and be launched by a user.
//
//	tenant's user ── Launch ──> session token (1 h, once) ──┐
//	                                                        v
//	application ── application key ──────────────────── Exchange ──> temporary key (13 h)
//
// An exchange reads what it needs with three look-ups, or remembers what allowed an
// earlier one and reads a session token alone, and writes one row, two with a
// session token. Those writes are gathered: exchanges that come at once share a
// transaction, and so one fsync. The transaction finds out whether what allows them
// changed after it was read, on whatever server. A session token is spent by the same
// transaction that makes the key: a failed exchange spends nothing, and of any
// number with one token exactly one is answered with a key.
//
// The life of an application (registration, review, keys) and a tenant's yes are
// changes like any other and are package manage's. What a temporary key may do
// is package internal/credential/partner's. Source: Aurora's partner
// authorization flows (protocols 2).
package partner

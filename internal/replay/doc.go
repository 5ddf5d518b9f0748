// Package replay is the ledger of spent nonces: it makes sure that what may be
// used once is never accepted twice.
//
//	                 ┌─ Memory    one node, nothing on disk: gone with the process
//	Claim(Nonce) ────┼─ Journal   one node: memory, and a file that is fsynced before the answer
//	                 ├─ Table     many nodes, in the store (PostgreSQL), by the database's clock
//	                 └─ Valkey    many nodes, one script a claim, by the server's clock
//
//	each of them asks, in this order:
//	  1 may the ledger have forgotten this token?   at or below the floor: replayed
//	  2 may the ledger never have known it?         stamped before it was complete: refused
//	  3 can it keep it?                             over a cap, too far ahead, clocks apart: refused
//	  4 was it spent?                               replayed, or spent now
//
// # What is promised
//
// For any token at most one Claim answers nil: across goroutines, nodes,
// restarts, kill -9 between claim and answer, clocks that jump either way, and
// full memory. Whatever cannot be told is a refusal. What is not promised is
// that a Claim whose answer was lost can be asked again: the caller signs anew.
//
// Memory keeps that promise for the life of its process only, so that it
// refuses for a while after a start unless it is told that nothing was
// accepted before (MemoryOptions.LostAt).
//
// # How long a nonce is kept
//
// Until LastValid, the last instant its token could pass the clock check, plus a
// margin of 30 s, on the ledger's own clock. Nonces are kept in buckets by
// LastValid and whole buckets are forgotten. Before a bucket is forgotten the
// floor rises to its end, and stays there: a token below the floor is refused
// whatever the clock says later. Floors only rise to the end of buckets that held
// something, so that a clock that jumped ahead and back costs one window, not
// the length of the jump.
//
// # Where the ledger may be incomplete
//
// A journal that is lost, a Valkey that was restarted, a replica promoted: what
// was spent before is not known. A token accepted before that moment S passed
// the clock check "stamp at most now plus window" at some now before S, so its
// stamp is at most S + window. Every such token is refused. "Stamped before S"
// would not be enough: a token stamped 50 s ahead is accepted at S - 1 s, and
// would be accepted again.
//
// The ledger itself refuses to spend a token stamped further ahead than its
// window, so the bound holds even if the caller's check was looser. Widen makes the
// window wider while the ledger is open: first the store is told, so that what
// is lost afterwards is refused for as long as it could have been accepted. Where a
// token has no stamp, the earliest that it can have is taken: LastValid less the
// window and the longest life of a token.
//
// # Memory
//
// 20 bytes a nonce in chunks, 8 in an index that is between 3/8 and 3/4 full: 31
// to 42 bytes a nonce all in, and at most 37 more where every nonce has a scope
// of its own. Caps refuse; nothing is ever evicted.
//
// # Not for
//
// Rate limits (package limit), or codes and tokens that Keystile issues itself:
// their rows in the store say whether they are spent. It does not check clocks or
// signatures: the credential kind did, before the claim.
package replay

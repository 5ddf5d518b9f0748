// Package feed carries changes to every verifier: it is what makes a revocation
// reach the caches.
//
//	Mutate ── commit ──> Publish ── at once ──> subscribers        this process
//	                        │
//	another process ──> store.changes ── poll ──> subscribers      within the poll interval,
//	                                                               at once where the store tells (Wake)
//
// A change made in this process has reached every subscriber before the call
// that made it returns. A change made elsewhere on the same store is seen at the
// next poll. When the store has not answered for the grace period, Fresh says
// no, and verifiers stop serving what they remember; after a gap in the changes,
// or when contact comes back after that long, subscribers are told ChangeAll.
package feed

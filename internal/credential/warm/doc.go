// Package warm remembers verified credentials, so that an allowed request
// touches no store: digest, one cache look-up, done.
//
//	Get ── hit, fresh ─────────────────────────────> entry
//	 │
//	Load ── remembered "no" (at most 1 s) ─────────> rejection
//	 │
//	 └─ queue by source ── batch ── one query ─────> entry or rejection
//
// Three properties matter more than speed:
//
//   - A change is never missed. Changes are counted. An entry carries the count
//     at which its read of the store began; a change writes its count at the mark
//     of what it touched; and an entry is good only while none of its marks is
//     above its own count. Nothing has to find and drop entries, so nothing can
//     lose one. A change takes effect before the call that made it returns.
//   - A flood of unknown keys costs neither the store nor memory. Look-ups are
//     gathered into batches, taken in turn from each source address, a fixed
//     number of batches at a time; a good key from another address, or from the
//     same one, waits its turn and is answered. Nothing is refused for lack of a slot.
//   - Staleness is bounded. When the feed has lost the store, entries are served for
//     its grace period and then not at all.
package warm

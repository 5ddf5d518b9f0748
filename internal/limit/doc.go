// Package limit counts how often: it decides whether one more request fits a
// rate, exactly, on one node or on many.
//
//	               ┌─ Memory    one node; sharded, no allocation on a warm Take
//	Take(key,rate) ┼─ Valkey    many nodes; one Lua script a Take, the server's clock
//	               └─ Fallback  Valkey while it answers, else what the route asks for:
//	                            count on this node (Take), or report it (Refusing)
//
// # What is promised
//
// AlgorithmWindow: in any rolling window, wherever it is laid, at most N draws
// were granted and not handed back. It is a log of the draws' times, so there
// is nothing to approximate. A window is half open: a draw leaves it exactly
// one window after it was made. Times are kept in ticks of at most 0.1 ms (100 ns
// for a minute); a draw's tick is rounded up and the present is rounded down, so
// rounding can only ever refuse.
//
// AlgorithmGCRA: the generic cell rate algorithm (ITU-T I.371, annex A, the
// leaky bucket as a meter): a burst of N, then one every Window/N.
//
// The same formula runs in Go and in Lua, and one behaviour suite (limittest)
// runs on both.
//
// # Clocks
//
// Time never goes backwards: a step back freezes a counter at the latest time
// it has seen, which refuses too much rather than too little, and Reset says
// for how long. Memory reads the monotonic clock where the caller's time has one
// (time.Now() as it comes; UTC() and In() strip it), so that stepping the
// wall clock changes nothing in either direction. Valkey goes by the server's
// TIME, which is a wall clock: step it forward, and windows end early.
//
// # Identity
//
// A counter belongs to (what it counts by, route, id, rate). All of them are
// compared, field by field in memory and length-prefixed in Valkey, so no two
// can be mistaken for each other. A changed rate begins a count of its own.
//
// # Not for
//
// Failed logins (they delay and lock, per account and network), concurrency,
// or bytes. It does not know what a request is: the gate says what to count by.
package limit

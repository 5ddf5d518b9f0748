// Package enforce is what the enforcement points share: how a wire format
// becomes a keystile.Request, how the gate is asked, and how its answer goes
// back. Each point is a folder of its own.
//
//	wire --Trust, NewRequest--> Request --Ask--> Gate
//	                                              |
//	wire <--SetIdentity, WriteLimits------ allowed
//	     <--WriteRefusal------------------ refused, in the route's dialect
//
// Four rules hold at every point, and enforcetest proves them of each:
//
//   - The gate is asked exactly once for a request. Whatever is not clearly an
//     allowance (a panic, a contradiction, no answer) is a refusal.
//   - What the checker sees is what the caller sent: the path is never cleaned,
//     and a request that two servers could read differently is refused.
//   - A caller's address is believed only along the trusted proxies, from the
//     right; an entry that cannot be read is a refusal.
//   - No identity header field of a caller reaches an upstream, in any spelling.
//
// It is not for deciding anything: that is the gate's. It knows no store, no
// credential and no policy.
package enforce

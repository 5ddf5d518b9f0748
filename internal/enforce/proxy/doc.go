// Package proxy is the gateway: the enforcement point that sends allowed
// requests on to an upstream itself.
//
//	client ── request ──> Handler
//	                        1 hygiene     fields named by Connection go, identity fields go
//	                        2 refuse      what two servers could read differently
//	                        3 preflight   CORS, answered here and never forwarded
//	                        4 gate        one Check; a refusal ends here, in the route's dialect
//	                        5 exchange    one request and its answer, in flight:
//	                             │           rewrite   path, forwarding and identity fields
//	                             │           send      one of the route's upstreams, or the next
//	                             │           answer    the upstream's own identity fields go
//	                             └ Streams   ends it when the credential ends
//
// The mechanics of copying are those of [net/http/httputil.ReverseProxy]; the
// client that talks to upstreams is an [Upstream], one method, so that another
// can take its place.
//
// What a caller can rely on:
//
//   - The upstream sees the path and the query that the gate saw, byte for byte,
//     except for a prefix the route strips and a query parameter that carried
//     the credential.
//   - The upstream sees the caller's Host. X-Forwarded-For, -Host and -Proto are
//     set afresh; what the caller sent of them is kept only if it is a trusted
//     proxy. Forwarded (RFC 7239) is removed: two accounts of one fact can differ.
//   - Bodies are streamed both ways and never buffered whole, except where a
//     route asks the gate to read one.
//   - No answer of the gateway's own says anything about an upstream beyond 502,
//     503 or 504.
//
// What it is not for: deciding (package gate), matching routes (package policy),
// the wording of refusals (packages enforce, problem and dialect), caching,
// rewriting of bodies, or balancing by anything but turn and health.
package proxy

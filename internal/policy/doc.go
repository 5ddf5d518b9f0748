// Package policy says who may do what where: it compiles routes into an
// immutable [Table], finds the route that speaks for a request, and says
// whether a principal may do what the request asks.
//
//	[]Route --Compile--> Table          all problems at once, or a table
//	                       |
//	Request ----Find-----> Match        or request_invalid, no_route
//	                       |
//	Principal --Authorize-> Resource    or the reason why not
//
// It does not verify credentials (credential/*), count requests (limit) or know
// HTTP beyond a request's method, host, path, query and header fields. It keeps
// nothing between two calls.
//
// # What is refused before any route is looked at
//
// A checker is only as good as its agreement with the server behind it about
// what a request is. So a request that two servers could read differently is
// refused, as request_invalid:
//
//   - a path that does not begin with a slash, has an empty segment ("//"), a
//     "." or ".." segment, a raw byte that a path may not hold (";", "\", "#",
//     "?", spaces, quotes, angle brackets, braces, "^", "`", control and
//     non-ASCII bytes), or more than 8 KiB;
//   - a percent-encoding that is incomplete, that hides "/", "\", ";", "?", "#"
//     or a control character, that decodes to text which could be decoded once
//     more, or to what is not UTF-8;
//   - a percent-encoded letter, digit, "-", ".", "_" or "~". No client makes
//     these (RFC 3986, section 2.3), and a server that compares undecoded paths
//     would see another path;
//   - a query with a space, a control character or "#";
//   - a host that is missing or no host name or address;
//   - a method that is no token, CONNECT, and TRACE.
//
// What is left is matched in its decoded form, which is the one form that nginx,
// Caddy and net/http all see: "/caf%C3%A9" and "/a%20b" match the patterns
// "/café" and "/a b", and "%3A" is ":". Literal text matches with case.
//
// # Which route speaks for a request
//
// Host: without regard to case, port and one trailing dot, international names
// in ASCII form. A route without a host takes any. There are no wildcards in
// hosts.
//
// Methods are compared exactly. HEAD is not GET: a route that lists only GET
// does not take HEAD. A route without methods takes all.
//
// Path patterns are written decoded. "*" is one segment, or part of one
// ("/a-*", "/*.json"), and takes at least one character. "**" is any number of
// whole segments, also none: "/telemetry/**" takes "/telemetry", "/telemetry/"
// and "/telemetry/x/y", not "/telemetryx". "/a" and "/a/" are two paths; as many
// servers take one for the other, a path with a final slash is refused when it
// would belong to another route without it, unless its own route is written with
// the slash. Servers that ignore case in paths need broad routes that ask as
// much as the narrow ones, because "/Admin" is not "/admin" here.
//
// path.N is what the N-th wildcard took, "*" and "**" counted together from the
// left. Where there is a choice, a wildcard takes as little as it can, except
// the last "**", which takes the rest; "**" is given without the slashes around it.
//
// Of several routes that match, the most specific one speaks:
//
//  1. a route for the host beats one for any host;
//  2. then a path all of whose matches the other path matches too beats it: a
//     literal segment beats "*", "*" beats "**", "/a/*/c" beats "/a/**";
//  3. then, with equal paths, methods that are a part of the other's beat it.
//
// If some request matches two routes and neither is more specific ("/a/*" and
// "/*/b"; GET, POST and GET, PUT on one path), Compile refuses them. The order of
// declaration never matters.
//
// # What a request is about
//
// A route may name a resource by query.NAME, header.NAME, path.N or json.NAME.
// An id that is missing, empty, repeated, longer than 512 bytes or not plain
// text is refused, and so is whatever makes it doubtful which one the upstream
// would take:
//
//   - query: a semicolon, an invalid percent-encoding, a second parameter of
//     the same name however it is encoded, or of a name that some server takes
//     for it ("Site_ID", "site.id", "site_id[]");
//   - header: a second field of that name, also with "_" for "-";
//   - json: no body to read, more than 64 KiB (body_too_large), any
//     Content-Encoding, a Content-Type that is present and not JSON, a member
//     given twice anywhere, a second one that differs in case only, a value
//     that is no string or whole number. json.a.b is member b of object a.
//
// # Order of the checks
//
// environment_mismatch, address_not_allowed, request_invalid or body_too_large
// for a resource that cannot be read, resource_not_permitted, scope_missing,
// condition_failed: first for the sign-in that `auth` asks for, then for conditions. All scopes of the route are required.
//
// # Conditions
//
// `when` is one Cedar expression; `policies` are files of Cedar policies, of
// which some permit must hold and no forbid. If a route has both, both must
// allow. An expression that cannot be evaluated refuses, also in a forbid.
//
//	principal is Principal::"key:ID", in Organization::"ID"
//	  .subject .organization .kind .credential .environment       strings
//	  .role .username .group                                      strings, empty for an API key
//	  .scopes .sites .customers                                   sets of strings
//	  .methods                                                    set of strings: how a person signed in, empty for a key
//	action is Action::"GET", the method
//	resource is Site::"ID", or Route::"ID" where the route names no resource
//	  .type .id                                                   strings, empty without a resource
//	context
//	  .method .path .host                                         strings; the path decoded, the host without port
//	  .address                                                    ip, for .isInRange(ip("10.0.0.0/8"))
//	  .time                                                       datetime
//	  .hour .weekday                                              numbers in UTC: 0 to 23; Monday is 1, Sunday 7
//
// Every attribute is always there. A condition costs a few microseconds; a route
// without one costs nothing for it.
package policy

// Package forwardauth answers the sub-requests of other proxies: nginx
// auth_request, Traefik ForwardAuth, Caddy forward_auth, HAProxy auth-request.
//
//	caller -> proxy --GET /forward-auth + the caller's header fields--> here
//	            |                                                        |
//	            |  <--200 + identity header fields-- allowed ------------+
//	            |  <--401/403/429/400/404 + body---- refused ------------+
//	            v
//	         upstream
//
// The sub-request's own method and path say nothing about the caller's request.
// That is read from one family of header fields, which the configuration names:
//
//	x-forwarded  X-Forwarded-Method, -Proto, -Host, -Uri       Traefik, Caddy, HAProxy
//	x-original   X-Original-Method and X-Original-URL           nginx
//	             or X-Original-Method, -Proto, -Host, -Uri
//
// A proxy passes its caller's other header fields on, so a caller can send the
// family that the proxy does not set. Therefore: a field of the other family, a
// missing, empty or repeated field of the own one, or a spelling that only some
// servers would take for one of them is refused with 400; nothing is guessed.
//
// Every identity header field is in every 200, empty where it does not apply,
// so that a proxy which copies them overwrites what its caller sent. A caller's
// underscored Keystile_Subject, which such a proxy would leave alone, is refused.
//
// The caller's address is the right-most entry of X-Forwarded-For that is not a
// trusted proxy. All four proxies send the field when set up as the guides say;
// without it the calling proxy itself counts as the caller.
//
// A sub-request has no body: routes that need one are refused by the gate.
package forwardauth

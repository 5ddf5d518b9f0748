// Package interop proves the pages of docs/integrate with the real programs.
//
//	caller ──TLS──> nginx, Caddy, HAProxy, Traefik ──────> API (writes down what reached it)
//	                        │ forward-auth
//	                        └──> witness (writes down what was asked) ──> keystile serve
//
//	caller ──TLS──> keystile serve as the gateway ───────> API
//
// The configurations are the fenced blocks of the pages: only ports and file
// names are put in. A page that no longer works fails here.
//
// It holds tests only. What Keystile does by itself is tested where it is
// written; here is what is true of two programs together: that the path that
// was checked is the path the API sees, and that nothing a caller sends is
// taken for what the proxy says.
package interop

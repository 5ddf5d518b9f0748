package proxy

import (
	"net/http"
	"net/textproto"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

// maxVia is how often a request may have passed a Keystile gateway before it is
// taken to run in a circle.
const maxVia = 8

// cleanInbound makes of the caller's fields what the gate and the upstream will
// both see. It runs before the gate is asked, so that no decision rests on a
// field that would not be forwarded.
//
//   - Fields that Connection names end here (RFC 9110, 7.6.1). Done later, they
//     would let a caller remove the gateway's own fields.
//   - Identity fields, in any spelling, are the gateway's alone.
//   - A certificate in a field is the word of who ended TLS (RFC 9440, section 4), and
//     that is the gateway: what a caller writes there proves nothing.
//   - An upgrade to another version of HTTP would open a way past the gate: what
//     follows the 101 is not looked at. Upgrading is optional (RFC 9110, 7.8), so
//     the request goes on without it.
func cleanInbound(hr *http.Request) {
	h := hr.Header
	for _, field := range h["Connection"] {
		dropNamed(h, field)
	}
	enforce.StripIdentity(h)
	dropCertificates(h)
	if upgrades := h["Upgrade"]; upgrades != nil && (hr.ProtoMajor != 1 || carriesHTTP(upgrades)) {
		delete(h, "Upgrade")
		delete(h, "Http2-Settings")
	}
}

// dropCertificates removes Client-Cert and Client-Cert-Chain in every spelling that an
// upstream could take for them.
func dropCertificates(h http.Header) {
	for name := range h {
		if enforce.SameName(name, "client-cert") || enforce.SameName(name, "client-cert-chain") {
			delete(h, name)
		}
	}
}

// dropNamed removes what one Connection field names, except for the fields that
// the gateway itself reads hop by hop.
func dropNamed(h http.Header, field string) {
	switch field {
	case "close", "keep-alive", "Keep-Alive", "upgrade", "Upgrade":
		return
	}
	for option := range strings.SplitSeq(field, ",") {
		option = textproto.TrimString(option)
		switch {
		case option == "", strings.EqualFold(option, "close"), strings.EqualFold(option, "connection"),
			strings.EqualFold(option, "upgrade"), strings.EqualFold(option, "te"), strings.EqualFold(option, "trailer"):
		default:
			h.Del(option)
		}
	}
}

// carriesHTTP says whether an Upgrade field asks for a protocol that carries
// HTTP requests of its own: h2c, HTTP/2.0, TLS/1.0 (RFC 2817).
func carriesHTTP(upgrades []string) bool {
	for _, field := range upgrades {
		for protocol := range strings.SplitSeq(field, ",") {
			name, _, _ := strings.Cut(textproto.TrimString(protocol), "/")
			switch strings.ToLower(name) {
			case "h2c", "h2", "h3", "http", "https", "tls", "connect-udp", "connect-ip":
				return true
			}
		}
	}
	return false
}

// forwarding are the fields by which proxies tell of the caller, besides those
// that begin with X-Forwarded. Names are in lower case with hyphens.
var forwarding = [...]string{
	"forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-original-forwarded-for", "x-envoy-external-address",
	"client-ip", "true-client-ip", "cf-connecting-ip", "fastly-client-ip", "front-end-https", "x-url-scheme",
}

// isForwarding says whether an upstream could take the field for word of the
// caller's address, scheme or host.
func isForwarding(name string) bool {
	if name == "" {
		return false
	}
	switch name[0] | 0x20 {
	case 'x', 'f', 'c', 't':
	default:
		return false
	}
	const prefix = "x-forwarded"
	if len(name) >= len(prefix) && enforce.SameName(name[:len(prefix)], prefix) {
		return true
	}
	for _, f := range forwarding {
		if enforce.SameName(name, f) {
			return true
		}
	}
	return false
}

// setForwarding tells the upstream of the caller. Only a trusted proxy's own
// account of its caller is kept, and then added to; spellings with "_" are
// removed from everybody, and Forwarded too: two fields that tell one fact can
// be made to differ.
func setForwarding(out, in http.Header, r *keystile.Request, peer string, trusted bool) {
	for name := range out {
		if isForwarding(name) && (!trusted || strings.Contains(name, "_") || name == "Forwarded") {
			delete(out, name)
		}
	}
	if !trusted {
		out["X-Forwarded-For"] = []string{peer}
		out["X-Forwarded-Host"] = []string{r.Host}
		out["X-Forwarded-Proto"] = []string{r.Scheme}
		return
	}
	chain := peer
	if prior := in["X-Forwarded-For"]; len(prior) > 0 {
		chain = strings.Join(prior, ", ") + ", " + peer
	}
	out["X-Forwarded-For"] = []string{chain}
	host := r.Host
	if prior := in["X-Forwarded-Host"]; len(prior) == 1 {
		host = prior[0]
	}
	out["X-Forwarded-Host"] = []string{host}
	out["X-Forwarded-Proto"] = []string{r.Scheme}
}

// runsInCircle says whether Via shows this gateway more often than any honest
// chain would.
func runsInCircle(h http.Header) bool {
	n := 0
	for _, field := range h["Via"] {
		n += strings.Count(field, " keystile")
	}
	return n >= maxVia
}

// The gateway's own entry in Via (RFC 9110, 7.6.3). The slices are shared and
// never written to.
var viaHTTP1, viaHTTP2 = []string{"1.1 keystile"}, []string{"2 keystile"}

func setVia(h http.Header, protoMajor int) {
	own := viaHTTP1
	if protoMajor == 2 {
		own = viaHTTP2
	}
	if prior := h["Via"]; len(prior) > 0 {
		h["Via"] = append(prior[:len(prior):len(prior)], own...)
		return
	}
	h["Via"] = own
}

// notInTrailers are fields that a trailer section must not carry: they route,
// authenticate or frame (RFC 9110, 6.5.1), and an upstream that merges trailers
// into its header section would believe them.
var notInTrailers = []string{
	"Authorization", "X-Api-Key", "Cookie", "Host", "Connection", "Upgrade", "Te", "Content-Encoding", "Content-Type",
	"Content-Range", "Expect", "Proxy-Authorization", "Proxy-Connection", "Keep-Alive", "Via",
}

// keepTrailers is the announced trailer section without what it must not carry;
// nil if nothing is left.
func keepTrailers(announced http.Header, route *keystile.Route) http.Header {
	if len(announced) == 0 {
		return nil
	}
	kept := make(http.Header, len(announced))
	for name, values := range announced {
		if !isForwarding(name) && !enforce.IsOverride(name) {
			kept[name] = values
		}
	}
	enforce.StripIdentity(kept)
	dropCertificates(kept)
	for _, name := range notInTrailers {
		delete(kept, name)
	}
	if route.CredentialHeader != "" {
		kept.Del(route.CredentialHeader)
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

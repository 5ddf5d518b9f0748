package enforce

import (
	"net/netip"
	"strings"
)

// maxHops bounds the X-Forwarded-For entries that are read. Real chains have a
// handful; a longer list of trusted addresses is somebody's forgery or loop.
const maxHops = 64

// Trust is the list of proxies whose word about their callers is believed. The
// zero Trust believes nobody. It is immutable and safe for concurrent use.
type Trust struct {
	// Proxies are the addresses of trusted proxies, unmapped (10.0.0.0/8, not
	// ::ffff:10.0.0.0/104).
	Proxies []netip.Prefix
}

// Contains says whether a is a trusted proxy. IPv4-mapped addresses count as
// IPv4, and a zone does not matter.
func (t Trust) Contains(a netip.Addr) bool {
	a = bare(a)
	for _, p := range t.Proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// bare is the address without zone and IPv4 mapping, so that one host has one
// spelling in rate limits and allow-lists.
func bare(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	return a.WithZone("").Unmap()
}

// Peer is the address of remoteAddr, "HOST:PORT" as net/http gives it. A peer
// that has none, on a Unix socket for example, is an error.
func Peer(remoteAddr string) (netip.Addr, error) {
	ap, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return netip.Addr{}, invalid("the address of the connection cannot be read")
	}
	return bare(ap.Addr()), nil
}

// ClientAddr is the address of the caller behind the trusted proxies.
//
//	X-Forwarded-For: 198.51.100.1, 203.0.113.9, 10.0.0.7     peer 10.0.0.8
//	                 claimed       the caller   trusted           trusted
//
// It starts at the TCP peer and goes left through X-Forwarded-For (several
// fields are one list, RFC 9110, section 5.3) for as long as the address
// reached is a trusted proxy: only those wrote what stands to their left. The
// first address that is not trusted is the caller. If all are, the left-most
// is. A peer that is not trusted is itself the caller, whatever it sends.
//
// An entry that has to be believed and cannot be read is a *keystile.Rejection
// with request_invalid: guessing past it would let a caller choose its address.
func (t Trust) ClientAddr(remoteAddr string, xff []string) (netip.Addr, error) {
	addr, err := Peer(remoteAddr)
	if err != nil {
		return netip.Addr{}, err
	}
	return t.Behind(addr, xff)
}

// Behind is ClientAddr for a peer whose address is known.
func (t Trust) Behind(peer netip.Addr, xff []string) (netip.Addr, error) {
	addr := bare(peer)
	hops := 0
	for i := len(xff) - 1; i >= 0; i-- {
		rest := xff[i]
		for more := true; more; {
			if !t.Contains(addr) {
				return addr, nil
			}
			if hops++; hops > maxHops {
				return netip.Addr{}, invalid("X-Forwarded-For has too many entries")
			}
			entry := rest
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, entry = rest[:comma], rest[comma+1:]
			} else {
				more = false
			}
			next, ok := parseHop(strings.Trim(entry, " \t"))
			if !ok {
				return netip.Addr{}, invalid("an entry of X-Forwarded-For cannot be read")
			}
			addr = next
		}
	}
	return addr, nil
}

// parseHop reads one entry: an address, with brackets, port or zone if the
// proxy wrote them. Names, "unknown" and obfuscated identifiers are not read.
func parseHop(s string) (netip.Addr, bool) {
	if s == "" {
		return netip.Addr{}, false
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return bare(a), true
	}
	if s[0] == '[' && s[len(s)-1] == ']' {
		a, err := netip.ParseAddr(s[1 : len(s)-1])
		return bare(a), err == nil && !a.Is4()
	}
	ap, err := netip.ParseAddrPort(s)
	return bare(ap.Addr()), err == nil
}

// ParseAddr reads one address as text, without a port; it is unmapped and has
// no zone.
func ParseAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return bare(a), err == nil
}

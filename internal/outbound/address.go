package outbound

import (
	"fmt"
	"net/netip"
)

// special are the IPv4 blocks that are no addresses of the public internet (IANA
// IPv4 Special-Purpose Address Registry, RFC 6890), and one that a cloud uses for
// its own services although it looks public.
var special = prefixes(
	"0.0.0.0/8",        // this network
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // behind a carrier's NAT
	"127.0.0.0/8",      // loopback
	"169.254.0.0/16",   // link-local, and most clouds' metadata
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocol assignments
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, broadcast
	"168.63.129.16/32", // a cloud's host
)

// global6 is where public IPv6 addresses are; special6 the blocks within it that
// hold none, or hold an IPv4 address that would have to be judged by itself (IANA
// IPv6 Special-Purpose Address Registry).
var (
	global6  = netip.MustParsePrefix("2000::/3")
	special6 = prefixes(
		"2001::/23",     // protocol assignments: Teredo, ORCHID, benchmarks
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4, with an IPv4 address inside
		"3fff::/20",     // documentation
	)
)

// metadata are the services that tell whoever asks the credentials of the machine
// it asks from. They stay out of reach whatever the operator allows: a range that
// holds one was not meant to.
var metadata = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("169.254.170.2"), netip.MustParseAddr("169.254.170.23"),
	netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("192.0.0.192"),
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd00:ec2::23"), netip.MustParseAddr("fd20:ce::254"),
}

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

func within(addr netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Public says whether an address is one of the public internet. An IPv4 address
// written as IPv6 is judged as what it is; other embeddings are not public.
func Public(addr netip.Addr) bool {
	addr = addr.Unmap()
	switch {
	case !addr.IsValid() || addr.Zone() != "":
		return false
	case addr.Is4():
		return !within(addr, special)
	}
	return global6.Contains(addr) && !within(addr, special6)
}

// Refused says why an address may not be reached.
type Refused struct{ Addr netip.Addr }

// Error implements error.
func (r *Refused) Error() string {
	return fmt.Sprintf("%s is not an address of the public internet, and outbound.allow_private does not name it", r.Addr)
}

// Reachable says whether an address may be reached: a public one, or one of the
// ranges that the operator named; else the error is a *[Refused].
func (c *Client) Reachable(addr netip.Addr) error { return c.judge(addr) }

// judge says whether an address may be reached: a public one, or one of the ranges
// that the operator named.
func (c *Client) judge(addr netip.Addr) error {
	plain := addr.Unmap()
	for _, m := range metadata {
		if plain.WithZone("") == m {
			return &Refused{Addr: addr}
		}
	}
	if Public(addr) || plain.Zone() == "" && within(plain, c.allowed) {
		return nil
	}
	return &Refused{Addr: addr}
}

package enforce_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

func trusting(prefixes ...string) enforce.Trust {
	var t enforce.Trust
	for _, p := range prefixes {
		t.Proxies = append(t.Proxies, netip.MustParsePrefix(p))
	}
	return t
}

func TestThreat16_ClientAddrWalksFromTheRight(t *testing.T) {
	trust := trusting("10.0.0.0/8", "127.0.0.0/8", "fd00::/8", "fe80::/10")
	for _, c := range []struct {
		name, remote string
		xff          []string
		want         string // empty: refused
	}{
		{"an untrusted peer is the caller whatever it sends", "203.0.113.9:1", []string{"127.0.0.1"}, "203.0.113.9"},
		{"an untrusted peer may send what cannot be read", "203.0.113.9:1", []string{"garbage"}, "203.0.113.9"},
		{"a trusted peer without the field is the caller", "10.0.0.1:1", nil, "10.0.0.1"},
		{"the left-most entry is not taken", "10.0.0.1:1", []string{"192.0.2.1, 203.0.113.9"}, "203.0.113.9"},
		{"trusted hops are passed over", "10.0.0.1:1", []string{"192.0.2.1, 203.0.113.9, 10.0.0.3, 10.0.0.2"}, "203.0.113.9"},
		{"several fields are one list", "10.0.0.1:1", []string{"192.0.2.1", "203.0.113.9", "10.0.0.2"}, "203.0.113.9"},
		{"if all are trusted the left-most is the caller", "10.0.0.1:1", []string{"10.0.0.9, 10.0.0.2"}, "10.0.0.9"},
		{"what stands left of the caller is not read", "10.0.0.1:1", []string{"garbage, 203.0.113.9"}, "203.0.113.9"},
		{"an unreadable entry that must be believed is refused", "10.0.0.1:1", []string{"203.0.113.9, garbage"}, ""},
		{"an unreadable entry behind a trusted hop is refused", "10.0.0.1:1", []string{"garbage, 10.0.0.2"}, ""},
		{"an empty entry is refused", "10.0.0.1:1", []string{"203.0.113.9,"}, ""},
		{"an empty field is refused", "10.0.0.1:1", []string{"203.0.113.9", ""}, ""},
		{"unknown is refused", "10.0.0.1:1", []string{"unknown"}, ""},
		{"an obfuscated name is refused", "10.0.0.1:1", []string{"_gazonk"}, ""},
		{"a quoted address is refused", "10.0.0.1:1", []string{`"203.0.113.9"`}, ""},
		{"octal is refused", "10.0.0.1:1", []string{"0203.0.113.9"}, ""},
		{"a short address is refused", "10.0.0.1:1", []string{"203.0.9"}, ""},
		{"a port is cut", "10.0.0.1:1", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		{"a bad port is refused", "10.0.0.1:1", []string{"203.0.113.9:99999"}, ""},
		{"an IPv6 address with brackets", "10.0.0.1:1", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"an IPv6 address with brackets and port", "10.0.0.1:1", []string{"[2001:db8::1]:80"}, "2001:db8::1"},
		{"an IPv6 address with nothing", "10.0.0.1:1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv4 in brackets is refused", "10.0.0.1:1", []string{"[203.0.113.9]"}, ""},
		{"unbalanced brackets are refused", "10.0.0.1:1", []string{"[2001:db8::1"}, ""},
		{"a zone is cut", "10.0.0.1:1", []string{"fe80::9%eth0"}, "fe80::9"},
		{"a zone does not keep a peer from being trusted", "[fe80::1%eth0]:80", []string{"203.0.113.9"}, "203.0.113.9"},
		{"an IPv4-mapped peer is its IPv4 address", "[::ffff:10.0.0.1]:80", []string{"203.0.113.9"}, "203.0.113.9"},
		{"an IPv4-mapped entry is its IPv4 address", "10.0.0.1:1", []string{"203.0.113.9, ::ffff:10.0.0.2"}, "203.0.113.9"},
		{"the caller is unmapped", "10.0.0.1:1", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"space and tab around an entry", "10.0.0.1:1", []string{"\t203.0.113.9 "}, "203.0.113.9"},
		{"a peer without a port is refused", "10.0.0.1", nil, ""},
		{"a Unix socket is refused", "@", nil, ""},
		{"too many trusted hops are refused", "10.0.0.1:1", []string{strings.Repeat("10.0.0.2,", 100) + "10.0.0.2"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := trust.ClientAddr(c.remote, c.xff)
			if c.want == "" {
				var no *keystile.Rejection
				if !errors.As(err, &no) || no.Reason != keystile.ReasonRequestInvalid || got.IsValid() {
					t.Fatalf("got %s, %v", got, err)
				}
				return
			}
			if err != nil || got.String() != c.want {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestTheZeroTrustTrustsNobody(t *testing.T) {
	var trust enforce.Trust
	if trust.Contains(netip.MustParseAddr("127.0.0.1")) {
		t.Error("loopback is trusted")
	}
	if got, err := trust.ClientAddr("127.0.0.1:1", []string{"203.0.113.9"}); err != nil || got.String() != "127.0.0.1" {
		t.Errorf("%s %v", got, err)
	}
}

// A caller writes the left end of the list; the rest is the proxies'. Nothing
// it writes may change what is found.
func TestThreat16_NothingTheCallerWritesChangesItsAddress(t *testing.T) {
	trust := trusting("10.0.0.0/8")
	rapid.Check(t, func(t *rapid.T) {
		forged := rapid.StringMatching(`[0-9a-z:.,%\[\] _-]{0,40}`).Draw(t, "forged")
		hops := rapid.SliceOfN(rapid.IntRange(1, 254), 0, 5).Draw(t, "hops")
		list := forged + ", 203.0.113.9"
		fields := []string{list}
		for _, h := range hops {
			hop := netip.AddrFrom4([4]byte{10, 0, 0, byte(h)}).String()
			if rapid.Bool().Draw(t, "own field") {
				fields = append(fields, hop)
			} else {
				fields[len(fields)-1] += "," + hop
			}
		}
		got, err := trust.ClientAddr("10.9.9.9:1", slices.Clone(fields))
		if err != nil || got.String() != "203.0.113.9" {
			t.Fatalf("%q gave %s, %v", fields, got, err)
		}
	})
}

func FuzzClientAddr(f *testing.F) {
	f.Add("10.0.0.1:1", "203.0.113.9", "10.0.0.2")
	f.Add("[::ffff:10.0.0.1]:1", "[fe80::1%a]:1,", "")
	f.Add("203.0.113.9:1", "unknown", ",,")
	f.Fuzz(func(t *testing.T, remote, first, second string) {
		trust := trusting("10.0.0.0/8", "fe80::/10")
		got, err := trust.ClientAddr(remote, []string{first, second})
		if (err == nil) != got.IsValid() {
			t.Fatalf("%s with %v", got, err)
		}
		if got.Is4In6() || got.Zone() != "" {
			t.Fatalf("%s has a second spelling", got)
		}
		peer, peerErr := enforce.Peer(remote)
		if peerErr == nil && !trust.Contains(peer) && got != peer {
			t.Fatalf("an untrusted peer %s became %s", peer, got)
		}
	})
}

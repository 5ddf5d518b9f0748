package manage

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"keystile.dev/keystile/internal/outbound"
)

// webURL checks the address of a page that browsers are sent to: https on a
// public name, without user, fragment or dot segments. loopback allows http on
// this machine, for those who build.
func (p *problems) webURL(field, text string, loopback bool) {
	u := p.plainURL(field, text)
	if u == nil {
		return
	}
	host := u.Hostname()
	switch {
	case loopback && isLoopbackHost(host) && (u.Scheme == "https" || u.Scheme == "http"):
	case u.Scheme != "https":
		p.add(field, "use https", "not https")
	case isPrivateHost(host):
		p.add(field, "use a public host name", "names a host of a private network")
	case !isAddress(host) && endsInNumber(host):
		p.add(field, "use a host name, or the address in its usual form", "names a host that browsers read as a number")
	}
}

// plainURL reads a URL with a host and without user and fragment; nil after it
// said what is wrong.
func (p *problems) plainURL(field, text string) *url.URL {
	const maxURL = 2000
	strange := func(r rune) bool { return r <= ' ' || r == '\\' || r >= 0x7f }
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURL, err != nil, u.Opaque != "", strings.ContainsFunc(text, strange):
		p.add(field, "use https://HOST/PATH", "not a URL")
	case u.User != nil:
		p.add(field, "leave the user out", "holds a user or password")
	case strings.Contains(text, "#"):
		p.add(field, "leave out what follows #", "holds a fragment")
	case u.Hostname() == "":
		p.add(field, "use https://HOST/PATH", "names no host")
	case !isAddress(u.Hostname()) && !isHostName(u.Hostname()):
		p.add(field, "use https://HOST/PATH", "names a host that cannot be looked up")
	case !goodPort(u):
		p.add(field, "use https://HOST/PATH or https://HOST:PORT/PATH", "its port is not one of 1 to 65535")
	default:
		return u
	}
	return nil
}

// goodPort says whether a URL has no port or one that there is.
func goodPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// isHostName says whether a name has the form of one (RFC 1123, section 2.1). The
// underscore is not of that form, and resolvers and browsers take it.
func isHostName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	name = strings.TrimSuffix(name, ".")
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, letters) != "" {
			return false
		}
	}
	return true
}

func isLoopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// isPrivateHost says whether a host is not of the public internet by its text. A
// name is not looked up.
func isPrivateHost(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && !outbound.Public(addr)
}

// endsInNumber says whether browsers take a host for an IPv4 address: 127.1,
// 2130706433 and 0x7f000001 all are this machine (URL Standard, section 3.5).
func endsInNumber(host string) bool {
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	last := strings.ToLower(labels[len(labels)-1])
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

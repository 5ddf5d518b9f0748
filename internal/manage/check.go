package manage

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	keystile "keystile.dev/keystile"
)

// Bounds on what one thing may hold. They keep a record small enough to cache
// and an identity header small enough to send.
const (
	// MaxNameRunes is the longest name, in Unicode code points.
	MaxNameRunes = 200
	// MaxProseRunes is the longest comment, in Unicode code points.
	MaxProseRunes = 2000
	// MaxScopes, MaxSites and MaxAddresses bound the lists of one key, token or role.
	MaxScopes    = 200
	MaxSites     = 1000
	MaxAddresses = 200
	// maxScopeLength bounds one scope, in bytes.
	maxScopeLength = 128
)

// problems collects everything that is wrong with an input, so that it can be
// mended in one go.
type problems []error

func (p *problems) add(field, remedy, format string, args ...any) {
	*p = append(*p, keystile.Invalidf(field, remedy, format, args...))
}

// err is nil if nothing was wrong; else it wraps one *keystile.Invalid each.
func (p problems) err() error {
	if len(p) == 1 {
		return p[0]
	}
	return errors.Join(p...)
}

// under takes over an error of another check, naming the field it is about.
func (p *problems) under(field string, err error) {
	var invalid *keystile.Invalid
	if errors.As(err, &invalid) {
		p.add(field, invalid.Remedy, "%s", invalid.Problem)
		return
	}
	if err != nil {
		*p = append(*p, err)
	}
}

// take keeps an error that is about the input, to be told with the rest, and
// returns any other.
func (p *problems) take(err error) error {
	var invalid *keystile.Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	*p = append(*p, err)
	return nil
}

// id checks an id that somebody chose. "." and ".." are refused although the
// rule's characters allow them: they would vanish from a URL path.
func (p *problems) id(field, id string, reserved ...string) {
	if !keystile.ValidID(id) {
		p.add(field, keystile.IDRule, "not a valid id")
		return
	}
	if id == "." || id == ".." {
		p.add(field, "choose another id", "this id cannot stand in a URL path")
	}
	for _, r := range reserved {
		if id == r {
			p.add(field, "choose another id", "%q is part of the API's own paths", r)
		}
	}
}

// reference checks an id that must name something; whether it does is asked in
// the transaction.
func (p *problems) reference(field, id string) {
	switch {
	case id == "":
		p.add(field, "name one", "is missing")
	case !keystile.ValidID(id):
		p.add(field, keystile.IDRule, "not a valid id")
	}
}

// foreignID checks an id of something that is not kept here, or whose existence
// the store checks.
func (p *problems) foreignID(field, id string) {
	if !keystile.ValidID(id) {
		p.add(field, keystile.IDRule, "not a valid id")
	}
}

// mfa checks a policy of second factors.
func (p *problems) mfa(field string, policy keystile.MFAPolicy) {
	switch policy {
	case keystile.MFAInherit, keystile.MFARequired, keystile.MFAOptional, keystile.MFAOff:
	default:
		p.add(field, "use required, optional or off", "not a policy of second factors")
	}
}

// name checks text that people read. Markup is allowed and means nothing;
// what could hide or reorder text on a screen or in a log is refused.
func (p *problems) name(field, name string) {
	if !utf8.ValidString(name) {
		p.add(field, "use UTF-8", "is not valid UTF-8")
		return
	}
	if n := utf8.RuneCountInString(name); n > MaxNameRunes {
		p.add(field, fmt.Sprintf("use at most %d characters", MaxNameRunes), "has %d characters", n)
	}
	p.runes(field, name, "")
}

// prose is name for a longer text, which may have several lines.
func (p *problems) prose(field, text string) {
	if !utf8.ValidString(text) {
		p.add(field, "use UTF-8", "is not valid UTF-8")
		return
	}
	if n := utf8.RuneCountInString(text); n > MaxProseRunes {
		p.add(field, fmt.Sprintf("use at most %d characters", MaxProseRunes), "has %d characters", n)
	}
	p.runes(field, text, "\n\t")
}

// runes refuses what could hide or reorder text, and control characters other than those allowed.
func (p *problems) runes(field, text, allowed string) {
	for _, r := range text {
		switch {
		case strings.ContainsRune(allowed, r):
		case breaksLines(r):
			p.add(field, "write it on one line", "holds the control character U+%04X", r)
			return
		case unicode.Is(unicode.Bidi_Control, r):
			p.add(field, "leave it out", "holds the text direction control U+%04X", r)
			return
		case invisible(r):
			p.add(field, "leave it out", "holds the invisible character U+%04X", r)
			return
		}
	}
}

func breaksLines(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) }

// invisible characters make two texts look the same. Joiners (U+200C, U+200D) are not
// among them: languages and emoji need them.
func invisible(r rune) bool {
	return r == '\uFEFF' || r == '\u00AD' || r == '\u200B' || r >= '\u2060' && r <= '\u2064' || r >= 0xE0000 && r <= 0xE007F
}

// unprintable characters hide or reorder text on a screen or in a log.
func unprintable(r rune) bool {
	return breaksLines(r) || unicode.Is(unicode.Bidi_Control, r) || invisible(r)
}

// scopes checks the scopes of a key or role: scope-tokens of RFC 6749, section
// 3.3, at most 128 bytes each, in which "*" stands only for every verb of a noun.
func (p *problems) scopes(field string, scopes []keystile.Scope) {
	if len(scopes) > MaxScopes {
		p.add(field, fmt.Sprintf("name at most %d", MaxScopes), "names %d scopes", len(scopes))
		return
	}
	seen := make(map[keystile.Scope]bool, len(scopes))
	for i, scope := range scopes {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case !scopeToken(string(scope)):
			p.add(at, `write noun:verb, for example "telemetry:read"`, "not a scope")
		case strings.Contains(strings.TrimSuffix(string(scope), ":*"), "*"):
			p.add(at, `write noun:*, for example "telemetry:*"`, "* stands only for every verb of a noun")
		case seen[scope]:
			p.add(at, "name it once", "names a scope a second time")
		}
		seen[scope] = true
	}
}

func scopeToken(s string) bool {
	if s == "" || len(s) > maxScopeLength {
		return false
	}
	for i := range len(s) {
		// RFC 6749, section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// addresses checks an allow-list of networks.
func (p *problems) addresses(field string, prefixes []netip.Prefix) {
	if len(prefixes) > MaxAddresses {
		p.add(field, fmt.Sprintf("name at most %d", MaxAddresses), "names %d networks", len(prefixes))
		return
	}
	seen := make(map[netip.Prefix]bool, len(prefixes))
	for i, prefix := range prefixes {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case !prefix.IsValid():
			p.add(at, "write a network such as 10.0.0.0/8", "not a network")
		case prefix.Addr().Is4In6():
			// Callers' addresses are unmapped first: such a network would match nobody.
			p.add(at, "write the IPv4 network itself", "is an IPv4 network mapped into IPv6")
		case prefix != prefix.Masked():
			p.add(at, "write "+prefix.Masked().String(), "has bits set outside the network")
		case seen[prefix]:
			p.add(at, "name it once", "names a network a second time")
		}
		seen[prefix] = true
	}
}

// expiry checks an expiry that is being set now.
func (p *problems) expiry(field string, expires, now time.Time) {
	if !expires.IsZero() && !expires.After(now) {
		p.add(field, "name a time to come, or leave it out for never", "is in the past")
	}
}

// rate checks a limit that did not come through keystile.ParseRate.
func (p *problems) rate(field string, rate *keystile.Rate) {
	if rate == nil {
		return
	}
	parsed, err := keystile.ParseRate(rate.String(), rate.Algorithm)
	if err != nil {
		p.under(field, err)
		return
	}
	if parsed.Requests != rate.Requests || parsed.Window != rate.Window {
		p.add(field, "write REQUESTS/WINDOW, for example 60/1m", "not a rate")
	}
}

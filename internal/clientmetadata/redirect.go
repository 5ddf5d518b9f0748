package clientmetadata

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	keystile "keystile.dev/keystile"
)

const (
	maxURL       = 2 << 10
	maxRedirects = 32
)

// MatchRedirect says whether a redirect URI that a request names is one of those a
// client registered: the same text, byte for byte (RFC 9700, section 2.1; RFC 3986,
// section 6.2.1). Nothing is decoded, lower-cased or resolved first: two texts that a
// browser may read alike are two URIs here. One thing may differ, the port of an
// http URI to a loopback address, which a native app is given when it starts to
// listen (RFC 8252, section 7.3). "localhost" is a name and not an address: it may
// lead elsewhere, and its port counts (section 8.3).
func MatchRedirect(registered []string, asked string) bool {
	for _, r := range registered {
		if r != "" && r == asked {
			return true
		}
	}
	host, rest, ok := cutLoopback(asked)
	if !ok || host == localhost {
		return false
	}
	for _, r := range registered {
		if h, after, ok := cutLoopback(r); ok && h == host && after == rest {
			return true
		}
	}
	return false
}

// loopbacks are the hosts that a native app on the user's machine listens at. The
// names are compared as they are written: 127.1 and 2130706433 are none.
var loopbacks = []string{"127.0.0.1", "[::1]", localhost}

const localhost = "localhost"

// cutLoopback cuts an http URI to this machine into its host and what follows the
// port; ok is false for any other text, and for a port that is none.
func cutLoopback(text string) (host, rest string, ok bool) {
	after, ok := strings.CutPrefix(text, "http://")
	if !ok {
		return "", "", false
	}
	for _, host := range loopbacks {
		rest, ok := strings.CutPrefix(after, host)
		if !ok {
			continue
		}
		if port, ok := strings.CutPrefix(rest, ":"); ok {
			end := strings.IndexAny(port, "/?")
			if end < 0 {
				end = len(port)
			}
			if !validPort(port[:end]) {
				return "", "", false
			}
			rest = port[end:]
		}
		return host, rest, rest == "" || rest[0] == '/' || rest[0] == '?'
	}
	return "", "", false
}

// validPort wants a port in its one spelling.
func validPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == text
}

// CheckRedirect judges a redirect URI that a client wants to register: https to a
// host, http to the user's own machine (RFC 8252, section 7.3), or a scheme of the
// app's own that is a domain name in reverse (section 7.1). It is written in the form
// that browsers send it in, so that what is shown at the consent is where the answer
// goes: no user, no fragment (RFC 6749, section 3.1.2), no dots or separators hidden
// in the path. An error is a *keystile.Invalid for field.
func CheckRedirect(field, text string) error {
	if problem := plainURL(text); problem != "" {
		return invalidRedirect(field, problem)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		return invalidRedirect(field, "it is no absolute URI")
	}
	problem := formProblem(u, text)
	if problem == "" {
		problem = pathProblem(u.EscapedPath())
	}
	if problem != "" {
		return invalidRedirect(field, problem)
	}
	return nil
}

// CheckLogout judges where a client wants to learn that a session ended: as CheckRedirect,
// but for an app's own scheme, which no server and no frame reaches.
func CheckLogout(field, text string) error {
	if err := CheckRedirect(field, text); err != nil {
		return err
	}
	if !strings.HasPrefix(text, "https://") && !strings.HasPrefix(text, "http://") {
		return invalidRedirect(field, "it is no https URL")
	}
	return nil
}

// formProblem judges scheme and host.
func formProblem(u *url.URL, text string) string {
	switch {
	case !strings.HasPrefix(text, u.Scheme+":"):
		return "its scheme is not in lower case"
	case !strings.HasPrefix(text[len(u.Scheme):], ":/"):
		return "there is no slash behind its scheme"
	case u.User != nil || strings.Contains(u.Host, "@"):
		return "it holds a user"
	case u.Scheme == "https":
		return hostProblem(u)
	case u.Scheme == "http":
		if _, _, ok := cutLoopback(text); !ok {
			return "plain http is for 127.0.0.1, [::1] and localhost"
		}
	case !strings.Contains(u.Scheme, "."):
		return "a scheme of an app's own is a domain name in reverse, such as com.example.app"
	}
	return ""
}

func invalidRedirect(field, problem string) error {
	return keystile.Invalidf(field, "an absolute URI such as https://app.example.com/callback", "%s", problem)
}

// plainURL says what is wrong with a URL as a text.
func plainURL(text string) string {
	if text == "" || len(text) > maxURL {
		return "it is empty or longer than 2 KiB"
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c <= ' ' || c > '~':
			return "it holds a space, a control character or one beyond ASCII"
		case strings.IndexByte("\\<>\"^`{|}", c) >= 0:
			return "it holds a character that is none of a URI"
		case c == '*':
			return "it holds *, and nothing is matched by patterns"
		case c == '#':
			return "it has a fragment"
		}
	}
	return ""
}

// hostProblem wants a host in the one form that browsers show and send it in.
func hostProblem(u *url.URL) string {
	host := u.Hostname()
	_, notIP := netip.ParseAddr(host)
	switch {
	case host == "":
		return "it names no host"
	case host != strings.ToLower(host):
		return "its host is not in lower case"
	case strings.Contains(u.Host, "%"):
		return "its host is encoded"
	case strings.HasSuffix(host, "."):
		return "its host ends with a dot"
	case strings.HasSuffix(u.Host, ":") || u.Port() != "" && !validPort(u.Port()):
		return "its port is none"
	case u.Port() == "443":
		return "its port is the one that https has anyway"
	case notIP != nil && !domain(host):
		return "its host is no domain name and no address"
	}
	return ""
}

// domain says whether text is a name of labels of letters, digits and hyphens, the
// last of which is not a number: browsers read 127.1 and 0x7f.1 as addresses.
func domain(text string) bool {
	labels := strings.Split(text, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, foreign) {
			return false
		}
	}
	first := labels[len(labels)-1][0]
	return len(text) <= 253 && (first < '0' || first > '9')
}

// foreign says whether a character has no place in a name of a host.
func foreign(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// pathProblem refuses what a proxy or a browser resolves: the answer would go
// elsewhere than the text says.
func pathProblem(path string) string {
	lower := strings.ToLower(path)
	for _, hidden := range []string{"%2e", "%2f", "%5c", "%25", "%00", "%0a", "%0d"} {
		if strings.Contains(lower, hidden) {
			return "its path hides a separator, a dot or a control character"
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		bare, _, _ := strings.Cut(segment, ";")
		if bare == "." || bare == ".." {
			return "its path has . or .. as a segment"
		}
	}
	if strings.Contains(path, "//") {
		return "its path has an empty segment"
	}
	return ""
}

// RedirectHost is what a consent page shows of a redirect URI: the origin of an http
// or https one, the scheme of an app's own.
func RedirectHost(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return ""
	case u.Scheme == "https" || u.Scheme == "http":
		return u.Scheme + "://" + u.Host
	}
	return u.Scheme + ":"
}

// SectorHost is the host that an https redirect URI leads to, by which clients with
// subjects of their own are told apart (OpenID Connect Core, section 8.1). Empty: it leads
// to no host that is one client's alone, as a loopback address and an app's own scheme do.
func SectorHost(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" {
		return ""
	}
	return u.Hostname()
}

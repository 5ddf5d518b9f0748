package username

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/width"

	keystile "keystile.dev/keystile"
)

// MaxBytes is the longest name, as given and as compared: the longest e-mail
// address that mail can be sent to (RFC 5321, section 4.5.3.1.3).
const MaxBytes = 254

// maxLocalBytes is the longest local part (RFC 5321, section 4.5.3.1.1).
const maxLocalBytes = 64

// Name is a username or e-mail address.
type Name struct {
	// Shown is the name as it was given, without what nobody sees; in small letters
	// if it has any beyond ASCII. Its canonical form is Canonical.
	Shown string
	// Canonical is what is compared, byte by byte.
	Canonical string
	// Skeleton is the same for names that look alike. It names nobody.
	Skeleton string
	// IsEmail says whether it is an e-mail address: whether it has an @.
	IsEmail bool
}

// Parse reads a name that somebody is to be given. Its error is *keystile.Invalid.
func Parse(text string) (Name, error) {
	p, err := split(text)
	if err != nil {
		return Name{}, err
	}
	if err := p.oneScript(); err != nil {
		return Name{}, err
	}
	n := Name{Canonical: p.canonical(), Skeleton: skeleton(p.local), IsEmail: p.email}
	n.Shown = trim(text)
	if p.email {
		n.Skeleton += "@" + skeleton(p.unicodeDomain)
	}
	if !ascii(n.Shown) {
		n.Shown = p.local
		if p.email {
			n.Shown += "@" + p.unicodeDomain
		}
	}
	return n, nil
}

// Canonical reads a name that somebody gives to be found by: it makes fewer
// checks than Parse and the same canonical form. Its error is *keystile.Invalid,
// and means that nobody has that name.
func Canonical(text string) (string, error) {
	p, err := split(text)
	if err != nil {
		return "", err
	}
	return p.canonical(), nil
}

// parts are a name in canonical form.
type parts struct {
	local string // or the username
	email bool
	// domain is in its ASCII form, unicodeDomain as people write it.
	domain, unicodeDomain string
}

func (p parts) canonical() string {
	if !p.email {
		return p.local
	}
	return p.local + "@" + p.domain
}

// bad is the refusal of a name. It does not repeat it: what is typed into the
// field of a username may be a password.
func bad(remedy, format string, args ...any) error {
	return keystile.Invalidf("username", remedy, format, args...)
}

const (
	remedyLetters = "use letters, digits and punctuation without spaces"
	remedyAddress = "write it as name@example.com"
)

// split brings a name into canonical form, part by part.
func split(text string) (parts, error) {
	if len(text) > MaxBytes {
		return parts{}, bad(fmt.Sprintf("use at most %d bytes", MaxBytes), "has %d bytes", len(text))
	}
	if !utf8.ValidString(text) {
		return parts{}, bad("use UTF-8", "is not valid UTF-8")
	}
	text = trim(text)
	if text == "" {
		return parts{}, bad("give one", "is empty")
	}
	// Folded before it is cut: a full-width @ is one, too.
	local, domain, email := strings.Cut(width.Fold.String(text), "@")
	if strings.Contains(domain, "@") {
		return parts{}, bad("use an address with one @", "has more than one @")
	}
	p := parts{email: email}
	var err error
	if p.local, err = caseMapped(local); err != nil {
		return parts{}, err
	}
	if email {
		if err := checkLocal(p.local); err != nil {
			return parts{}, err
		}
		if p.domain, p.unicodeDomain, err = domainForms(domain); err != nil {
			return parts{}, err
		}
	}
	if n := len(p.canonical()); n > MaxBytes {
		return parts{}, bad(fmt.Sprintf("use at most %d bytes", MaxBytes), "has %d bytes in the form that is compared", n)
	}
	return p, nil
}

// trim takes off what nobody sees: spaces around a name and dots at its end,
// also as other scripts write them.
func trim(text string) string {
	return strings.TrimRight(strings.TrimSpace(text), ".\u3002\uFF0E\uFF61 \u3000")
}

// caseMapped is the UsernameCaseMapped form of RFC 8265.
func caseMapped(text string) (string, error) {
	once, err := precis.UsernameCaseMapped.String(text)
	if err != nil || once == "" {
		return "", bad(remedyLetters, "holds a character that names may not have, or none")
	}
	if twice, err := precis.UsernameCaseMapped.String(once); err != nil || twice != once {
		return "", bad(remedyLetters, "has no stable form")
	}
	if once != trim(once) {
		return "", bad(remedyLetters, "ends with a dot")
	}
	return once, nil
}

// checkLocal refuses local parts that would need quotes (RFC 5321, section
// 4.1.2; RFC 6531, section 3.3): mail programs disagree on them.
func checkLocal(local string) error {
	if len(local) > maxLocalBytes {
		return bad(remedyAddress, "has %d bytes before the @, more than %d", len(local), maxLocalBytes)
	}
	if strings.HasPrefix(local, ".") || strings.Contains(local, "..") || strings.ContainsAny(local, "\"(),:;<>[\\]") {
		return bad(remedyAddress, "is not an e-mail address")
	}
	return nil
}

// domainForms are the domain of an address as it is looked up, and as people write it.
func domainForms(domain string) (looked, read string, err error) {
	looked, err = idna.Lookup.ToASCII(domain)
	if err != nil || looked == "" || strings.HasPrefix(looked, ".") || strings.HasSuffix(looked, ".") || strings.Contains(looked, "..") {
		return "", "", bad(remedyAddress, "has no domain behind the @")
	}
	read, err = idna.Lookup.ToUnicode(looked)
	if err != nil {
		return "", "", bad(remedyAddress, "has no domain behind the @")
	}
	if again, err := idna.Lookup.ToASCII(read); err != nil || again != looked {
		return "", "", bad(remedyAddress, "has a domain without a stable form")
	}
	return looked, read, nil
}

func ascii(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

package enforce

import (
	"hash/maphash"
	"net/http"
	"strings"
	"sync/atomic"

	keystile "keystile.dev/keystile"
)

// The identity header fields, in canonical form. An upstream may believe them
// because every spelling of them that a caller sends is removed (StripIdentity).
const (
	HeaderSubject      = "Keystile-Subject"      // the stable name of the actor, "key:ID"
	HeaderOrganization = "Keystile-Organization" // the tenant's id
	HeaderCredential   = "Keystile-Credential"   // kind and id, "api_key:ID"
	HeaderScopes       = "Keystile-Scopes"       // list of strings (RFC 9651, sections 3.1 and 3.3.3)
	HeaderSites        = "Keystile-Sites"        // list of strings, the permitted sites
	HeaderRequestID    = "Keystile-Request-Id"   // names the request in Keystile's logs
	HeaderAssertion    = "Keystile-Assertion"    // a JWT over the same facts
)

// identityFields is how many identity header fields there are.
const identityFields = 7

// IdentityHeaders lists the identity header fields.
var IdentityHeaders = identityHeaders[:]

var identityHeaders = [identityFields]string{
	HeaderSubject, HeaderOrganization, HeaderCredential, HeaderScopes, HeaderSites, HeaderRequestID, HeaderAssertion,
}

const identityPrefix = "keystile-"

// IsIdentity says whether some server could take the header name for one of
// Keystile's: whatever the case, "_" for "-", surrounding space.
func IsIdentity(name string) bool {
	if name != "" && name[0] <= ' ' {
		name = strings.TrimLeft(name, " \t")
	}
	return hasFoldedPrefix(name, identityPrefix)
}

// StripIdentity removes every header field that an upstream could take for an
// identity field: anything that begins with "keystile-" or "keystile_" in any
// case, keys that are not in canonical form, and all their repetitions.
func StripIdentity(h http.Header) {
	for name := range h {
		if IsIdentity(name) {
			delete(h, name)
		}
	}
}

// SetIdentity tells the upstream who asks. With always, fields that do not
// apply are set to the empty string: a proxy that copies an answer's fields
// onto the caller's request then overwrites what the caller sent. Without it
// they are left out; h must have gone through StripIdentity.
//
// A decision that was only observed names nobody: the credential may be bad.
func SetIdentity(h http.Header, d *keystile.Decision, requestID, assertion string, always bool) {
	values := new([identityFields]string) // the values of one answer, in one piece
	if d.Allowed && !d.Observed && d.Principal != nil {
		render(values, d.Principal)
		values[identityFields-1] = assertion
	}
	values[identityFields-2] = requestID
	for i, name := range identityHeaders {
		if values[i] != "" || always {
			h[name] = values[i : i+1 : i+1]
		}
	}
}

// render fills in what depends on the principal alone.
func render(values *[identityFields]string, p *keystile.Principal) {
	values[0], values[1], values[2] = plain(p.Subject), plain(p.OrganizationID), credential(p)
	values[3], values[4] = scopeLists.render(p.Scopes), siteLists.render(p.SiteIDs)
}

// Lists are rendered once and kept in tables of fixed size (32 Ki slots of one
// pointer, 256 KiB each). Warm principals are immutable and share equal lists,
// so the slot is chosen by where a list lies, and holds the list, so that its
// place cannot be given to another one meanwhile. Two lists in one slot take
// turns and cost a rendering each time, under a microsecond. There is no lock.
const renderingSlots = 1 << 15

// maxKept is the largest rendering kept, in bytes, so that the tables stay
// bounded; longer lists are rendered for each request.
const maxKept = 2048

type renderings[S ~string] [renderingSlots]atomic.Pointer[rendering[S]]

type rendering[S ~string] struct {
	of   []S
	text string
}

var (
	scopeLists    renderings[keystile.Scope]
	siteLists     renderings[string]
	renderingSeed = maphash.MakeSeed()
)

func (t *renderings[S]) render(members []S) string {
	if len(members) == 0 {
		return ""
	}
	slot := &t[maphash.Comparable(renderingSeed, &members[0])%renderingSlots]
	if r := slot.Load(); r != nil && &r.of[0] == &members[0] && len(r.of) == len(members) {
		return r.text
	}
	text := list(members)
	if len(text) <= maxKept {
		slot.Store(&rendering[S]{of: members, text: text})
	}
	return text
}

// plain is s if it can stand in a header field as it is. Ids with other
// characters cannot be created; should one appear, the upstream sees nobody.
func plain(s string) string {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return ""
		}
	}
	return s
}

func credential(p *keystile.Principal) string {
	id := plain(p.CredentialID)
	if id == "" {
		return ""
	}
	return string(p.Kind) + ":" + id
}

// list is an RFC 9651 list of strings: "a", "b". A member that is not
// printable ASCII cannot be written as one and is left out, which grants less.
func list[S ~string](members []S) string {
	var b strings.Builder
	for _, m := range members {
		if !printable(string(m)) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('"')
		for i := range len(m) {
			if m[i] == '"' || m[i] == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(m[i])
		}
		b.WriteByte('"')
	}
	return b.String()
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

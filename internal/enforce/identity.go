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

// IdentityHeaders lists the identity header fields.
var IdentityHeaders = []string{
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
// The values are shared between requests; they must not be written to in place.
func SetIdentity(h http.Header, d *keystile.Decision, requestID, assertion string, always bool) {
	var values *identityValues
	if d.Allowed && !d.Observed && d.Principal != nil {
		values = render(d.Principal)
	} else {
		values, assertion = &nobody, ""
	}
	for i, name := range renderedHeaders {
		if values[i] != "" {
			h[name] = values[i : i+1 : i+1]
		} else if always {
			h[name] = empty
		}
	}
	h[HeaderRequestID] = []string{requestID}
	if assertion != "" {
		h[HeaderAssertion] = []string{assertion}
	} else if always {
		h[HeaderAssertion] = empty
	}
}

// renderedHeaders are the fields that depend on the principal alone.
var renderedHeaders = [...]string{HeaderSubject, HeaderOrganization, HeaderCredential, HeaderScopes, HeaderSites}

// identityValues has the values of renderedHeaders, in that order.
type identityValues [len(renderedHeaders)]string

var (
	nobody identityValues
	empty  = []string{""}
)

// A principal is immutable and lives as long as its credential is warm, so its
// fields are rendered once and kept in a table of fixed size: 64 Ki slots of
// one pointer each (512 KiB), an entry of about 300 bytes where one is used.
// The slot is chosen by the pointer and the entry holds the principal, so that
// its address cannot be given to another one while the entry lives. Two warm
// principals in one slot take turns and cost a rendering each time, under a
// microsecond. There is no lock.
const renderingSlots = 1 << 16

// maxKept is the largest rendering kept, in bytes, so that the table stays
// bounded; a principal with more sites or scopes is rendered for each request.
const maxKept = 2048

type rendering struct {
	of     *keystile.Principal
	values identityValues
}

var (
	renderings    [renderingSlots]atomic.Pointer[rendering]
	renderingSeed = maphash.MakeSeed()
)

func render(p *keystile.Principal) *identityValues {
	slot := &renderings[maphash.Comparable(renderingSeed, p)%renderingSlots]
	if r := slot.Load(); r != nil && r.of == p {
		return &r.values
	}
	r := &rendering{of: p, values: identityValues{
		plain(p.Subject), plain(p.OrganizationID), credential(p), list(p.Scopes), list(p.SiteIDs),
	}}
	size := 0
	for _, v := range r.values {
		size += len(v)
	}
	if size <= maxKept {
		slot.Store(r)
	}
	return &r.values
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

package policy

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	keystile "keystile.dev/keystile"
)

// The Cedar types of entities.
const (
	typePrincipal    cedar.EntityType = "Principal"
	typeOrganization cedar.EntityType = "Organization"
	typeAction       cedar.EntityType = "Action"
	typeSite         cedar.EntityType = "Site"
	typeRoute        cedar.EntityType = "Route"
)

// attribute is one thing a condition may ask about a principal.
type attribute struct {
	name  string
	value func(*keystile.Principal) cedar.Value
}

// Attributes conditions may use; doc.go describes them. Every one is always
// there, empty where it does not apply, so that a condition may name a role
// although API keys have none.
var (
	principalAttributes = []attribute{
		{"subject", func(p *keystile.Principal) cedar.Value { return cedar.String(p.Subject) }},
		{"organization", func(p *keystile.Principal) cedar.Value { return cedar.String(p.OrganizationID) }},
		{"kind", func(p *keystile.Principal) cedar.Value { return cedar.String(p.Kind) }},
		{"credential", func(p *keystile.Principal) cedar.Value { return cedar.String(p.CredentialID) }},
		{"role", func(p *keystile.Principal) cedar.Value { return cedar.String(p.Role) }},
		{"scopes", func(p *keystile.Principal) cedar.Value { return stringSet(p.Scopes) }},
		{"sites", func(p *keystile.Principal) cedar.Value { return stringSet(p.SiteIDs) }},
		{"username", func(p *keystile.Principal) cedar.Value { return cedar.String(p.Username) }},
		{"group", func(p *keystile.Principal) cedar.Value { return cedar.String(p.GroupID) }},
		{"customers", func(p *keystile.Principal) cedar.Value { return stringSet(p.CustomerIDs) }},
		{"methods", func(p *keystile.Principal) cedar.Value { return stringSet(p.Methods) }},
		{"environment", func(p *keystile.Principal) cedar.Value { return cedar.String(p.Environment) }},
	}
	resourceAttributes = []string{"type", "id"}
	contextAttributes  = []string{"method", "path", "host", "address", "time", "hour", "weekday"}
)

// needs is what the conditions of one route may ask about, so that the rest
// need not be converted: an attribute cannot be read, or tested for with "has",
// without its name in the text, and the context not without the word.
type needs struct {
	principal []attribute
	context   bool
}

// needsOf reads the text of conditions. Names may be written with escapes
// (principal["r\u{6f}le"]), so a backslash anywhere means everything.
func needsOf(text string) needs {
	all := strings.Contains(text, `\`)
	n := needs{context: all || strings.Contains(text, "context")}
	for _, a := range principalAttributes {
		if all || strings.Contains(text, a.name) {
			n.principal = append(n.principal, a)
		}
	}
	return n
}

// facts is what a condition may look at. It serves the entities of one request
// to the Cedar evaluator, each made when it is first asked for.
type facts struct {
	needs              needs
	principal          *keystile.Principal
	resource           keystile.Resource
	route              string // the route's id
	method, path, host string // the path decoded, the host without port
	address            netip.Addr
	now                time.Time

	entities []cedar.Entity
}

// request is the question put to Cedar.
func (f *facts) request() cedar.Request {
	r := cedar.Request{
		Principal: cedar.NewEntityUID(typePrincipal, cedar.String(f.principal.Subject)),
		Action:    cedar.NewEntityUID(typeAction, cedar.String(f.method)),
		Resource:  f.resourceUID(),
	}
	if f.needs.context {
		r.Context = f.context()
	}
	return r
}

func (f *facts) resourceUID() cedar.EntityUID {
	switch f.resource.Type {
	case keystile.ResourceSite:
		return cedar.NewEntityUID(typeSite, cedar.String(f.resource.ID))
	case keystile.ResourceTenant: // by whichever id it was asked for, it is the principal's own
		return cedar.NewEntityUID(typeOrganization, cedar.String(f.principal.OrganizationID))
	}
	return cedar.NewEntityUID(typeRoute, cedar.String(f.route))
}

// Get implements cedar.EntityGetter.
func (f *facts) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	for _, e := range f.entities {
		if e.UID == uid {
			return e, true
		}
	}
	e := cedar.Entity{UID: uid}
	switch {
	case uid.Type == typePrincipal && string(uid.ID) == f.principal.Subject:
		e.Parents = cedar.NewEntityUIDSet(cedar.NewEntityUID(typeOrganization, cedar.String(f.principal.OrganizationID)))
		record := make(cedar.RecordMap, len(f.needs.principal))
		for _, a := range f.needs.principal {
			record[cedar.String(a.name)] = a.value(f.principal)
		}
		e.Attributes = cedar.NewRecord(record)
	case uid == f.resourceUID():
		e.Attributes = cedar.NewRecord(cedar.RecordMap{
			"type": cedar.String(f.resource.Type), "id": cedar.String(f.resource.ID),
		})
	default:
		return cedar.Entity{}, false
	}
	f.entities = append(f.entities, e)
	return e, true
}

func (f *facts) context() cedar.Record {
	now, address := f.now.UTC(), f.address.Unmap().WithZone("")
	return cedar.NewRecord(cedar.RecordMap{
		"method":  cedar.String(f.method),
		"path":    cedar.String(f.path),
		"host":    cedar.String(f.host),
		"address": cedar.IPAddr(netip.PrefixFrom(address, address.BitLen())),
		"time":    cedar.NewDatetime(now),
		"hour":    cedar.Long(now.Hour()),
		"weekday": cedar.Long((int64(now.Weekday())+6)%7 + 1),
	})
}

func stringSet[S ~string](values []S) cedar.Set {
	set := make([]cedar.Value, len(values))
	for i, v := range values {
		set[i] = cedar.String(v)
	}
	return cedar.NewSet(set...)
}

var (
	cedarText      = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|//[^\n]*`)
	cedarAttribute = regexp.MustCompile(`\b(principal|resource|context)\s*\.\s*([A-Za-z_][A-Za-z0-9_]*)`)
)

// unknownAttributes lists "principal.rol" and the like: a condition that names
// one fails for every request that reaches it.
func unknownAttributes(text string) []string {
	known := map[string][]string{"resource": resourceAttributes, "context": contextAttributes}
	for _, a := range principalAttributes {
		known["principal"] = append(known["principal"], a.name)
	}
	var unknown []string
	for _, m := range cedarAttribute.FindAllStringSubmatch(cedarText.ReplaceAllString(text, `""`), -1) {
		name := m[1] + "." + m[2]
		if !slices.Contains(known[m[1]], m[2]) && !slices.Contains(unknown, name) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

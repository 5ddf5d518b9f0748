package policy

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	keystile "keystile.dev/keystile"
)

// maxResourceID is the longest id read from a request, in bytes. No stored id
// is longer than 128, so a longer one would be refused anyway, but later.
const maxResourceID = 512

// resourcePlace is where a resource's id stands.
type resourcePlace byte

const (
	placeQuery resourcePlace = iota
	placeHeader
	placePath
	placeJSON
)

// resourceReader reads the id of what a request is about.
type resourceReader struct {
	kind  string // the resource's type
	place resourcePlace
	// name is the query parameter, the header field in canonical form, or the
	// dotted JSON path; it is what callers are told about.
	name string
	// wildcard is N of path.N.
	wildcard int
	// members are the names on the way into a JSON body.
	members []string
}

// readerOf compiles routes[].resource.
func readerOf(res *keystile.RouteResource, p *pattern) (*resourceReader, *keystile.Invalid) {
	place, name, _ := strings.Cut(res.From, ".")
	r := &resourceReader{kind: res.Type, name: name}
	switch place {
	case "query":
		r.place = placeQuery
		if name == "" || !plainText(name) {
			return nil, keystile.Invalidf("resource.id", "use the parameter's name", "%q is not a parameter name", name)
		}
	case "header":
		r.place, r.name = placeHeader, http.CanonicalHeaderKey(name)
		if problem := checkResourceHeader(r.name); problem != nil {
			return nil, problem
		}
	case "json":
		r.place, r.members = placeJSON, strings.Split(name, ".")
		if slices.Contains(r.members, "") || len(r.members) > maxJSONDepth {
			return nil, keystile.Invalidf("resource.id", "write json.NAME or json.OUTER.INNER", "%q is not a path of members", name)
		}
	case "path":
		r.place = placePath
		if r.wildcard = wildcardNumber(name, p.wildcards); r.wildcard == 0 {
			return nil, keystile.Invalidf("resource.id", "count the * and ** of match.path from 1",
				"%q names no wildcard: the path has %d", res.From, p.wildcards)
		}
	default:
		return nil, keystile.Invalidf("resource.id", "write query.NAME, header.NAME, json.NAME or path.N",
			"%q does not say where the id stands", res.From)
	}
	return r, nil
}

// wildcardNumber reads the N of path.N, 1 to count; 0 if it is not one of them.
func wildcardNumber(text string, count int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > count || strconv.Itoa(n) != text {
		return 0
	}
	return n
}

// checkResourceHeader refuses fields that are not the caller's to fill (they
// are rewritten on the way to the upstream) or that carry the credential.
func checkResourceHeader(canonical string) *keystile.Invalid {
	if !isToken(canonical) || strings.Contains(canonical, "_") {
		return keystile.Invalidf("resource.id", "use letters, digits and hyphens", "%q is not a header field name", canonical)
	}
	switch canonical {
	case "Host", "Authorization", "Cookie", "X-Api-Key", "Connection", "Content-Length", "Forwarded", "Keep-Alive",
		"Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return keystile.Invalidf("resource.id", "use a field of your own", "%s cannot name a resource", canonical)
	}
	for _, prefix := range []string{"Keystile-", "X-Forwarded-", "X-Original-"} {
		if strings.HasPrefix(canonical, prefix) {
			return keystile.Invalidf("resource.id", "use a field of your own", "%s cannot name a resource", canonical)
		}
	}
	return nil
}

// read returns the resource of a request, or why it cannot be told.
func (rr *resourceReader) read(r *keystile.Request, m *Match) (keystile.Resource, *keystile.Rejection) {
	var id, problem string
	switch rr.place {
	case placeQuery:
		id, problem = queryValue(r.RawQuery, rr.name)
	case placeHeader:
		id, problem = headerValue(r.Header, rr.name)
	case placePath:
		id, _ = m.Capture(rr.wildcard)
	case placeJSON:
		body, rejection := jsonBody(r)
		if rejection != nil {
			return keystile.Resource{}, rejection
		}
		id, problem = jsonValue(body, rr.members)
	}
	if problem == "" {
		problem = checkResourceID(id)
	}
	if problem != "" {
		return keystile.Resource{}, invalidRequest(rr.shown() + " " + problem)
	}
	return keystile.Resource{Type: rr.kind, ID: id}, nil
}

// shown is what a caller knows the id's place by.
func (rr *resourceReader) shown() string {
	if rr.place == placePath {
		return "the " + rr.kind + " in the path"
	}
	return rr.name
}

// What may be wrong with an id; the name stands before it.
const (
	idMissing  = "is missing"
	idEmpty    = "is empty"
	idRepeated = "is given more than once"
	idText     = "is not plain text"
	idTooLong  = "is too long"
)

func checkResourceID(id string) string {
	switch {
	case id == "":
		return idEmpty
	case len(id) > maxResourceID:
		return idTooLong
	case !plainText(id):
		return idText
	}
	return ""
}

// headerValue returns the one value of a field. A second field whose name
// differs only in "_" for "-" counts as a repetition: servers behind a CGI-like
// interface (WSGI, PHP) see both under one name.
func headerValue(h keystile.Header, canonical string) (value, problem string) {
	found := 0
	for name, values := range h {
		if sameField(name, canonical) {
			found += max(len(values), 1)
		}
	}
	values := h[canonical]
	switch {
	case len(values) == 0:
		return "", idMissing
	case found > 1:
		return "", idRepeated
	}
	return strings.Trim(values[0], " \t"), ""
}

// sameField compares field names without case, and "_" as "-".
func sameField(name, canonical string) bool {
	if len(name) != len(canonical) {
		return false
	}
	for i := range len(name) {
		a := lower(name[i])
		if a == '_' {
			a = '-'
		}
		if a != lower(canonical[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

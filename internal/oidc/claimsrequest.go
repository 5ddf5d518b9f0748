package oidc

import (
	"bytes"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"

	keystile "keystile.dev/keystile"
)

// maxClaims bounds the claims parameter, in bytes.
const maxClaims = 4 << 10

// claimScopes are the claims that tell of a person, with the scope that holds each
// (OpenID Connect Core, section 5.4): a client that may not ask for the scope is not
// told the claim by its name either.
var claimScopes = map[string]keystile.Scope{
	"name": "profile", "preferred_username": "profile", "updated_at": "profile", "email": "email",
}

// claimsRequest is what the claims parameter asks for (OpenID Connect Core, section 5.5).
// Claims that are always told, and those that nobody here knows, are left out.
type claimsRequest struct {
	// userinfo and idToken are names of claimScopes, sorted.
	userinfo, idToken []string
	// subjects are sets of which each must hold the user's subject (section 5.5.1).
	subjects [][]string
	acr      acrRequest
}

// acrRequest is which authentication contexts a client asks for, best first; none: any.
type acrRequest struct {
	values []string
	// essential: another one is an error, also where none of these is known here (section
	// 5.5.1.1).
	essential bool
}

// claimMember is the wish for one claim.
type claimMember struct {
	essential bool
	// values are those of "value" and "values", each as it stands.
	values []json.RawMessage
}

// parseClaims reads the claims parameter: one JSON object of at most 4 KiB, no member
// twice. Members that are not known are left alone (section 5.5); those that are have
// to be what the section says.
func parseClaims(text string) (c claimsRequest, ok bool) {
	if len(text) > maxClaims || !utf8.ValidString(text) {
		return c, false
	}
	top, ok := object([]byte(text))
	if !ok {
		return c, false
	}
	for name, into := range map[string]*[]string{"userinfo": &c.userinfo, "id_token": &c.idToken} {
		wishes, ok := wishesOf(top[name])
		if !ok {
			return c, false
		}
		for claim, wish := range wishes {
			if _, known := claimScopes[claim]; known {
				*into = append(*into, claim)
			}
			if !c.demand(name, claim, wish) {
				return c, false
			}
		}
		slices.Sort(*into)
	}
	return c, true
}

// demand reads the two claims whose values are demands; false: they are no texts.
func (c *claimsRequest) demand(member, claim string, wish claimMember) bool {
	if claim != "sub" && (claim != "acr" || member != "id_token") || len(wish.values) == 0 {
		return true
	}
	texts, ok := textsOf(wish.values)
	if claim == "sub" {
		c.subjects = append(c.subjects, texts)
	} else {
		c.acr = acrRequest{values: texts, essential: wish.essential}
	}
	return ok
}

// object is a JSON object with each member once.
func object(raw []byte) (map[string]json.RawMessage, bool) {
	var members map[string]json.RawMessage
	// This decoder refuses a member that is there twice.
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) || json.Unmarshal(raw, &members) != nil {
		return nil, false
	}
	return members, true
}

// isNull says whether a member is not there, or null, which is the same.
func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// wishesOf reads one of the two members.
func wishesOf(raw json.RawMessage) (map[string]claimMember, bool) {
	if isNull(raw) {
		return nil, true
	}
	members, ok := object(raw)
	if !ok {
		return nil, false
	}
	wishes := make(map[string]claimMember, len(members))
	for name, raw := range members {
		wish, ok := wishOf(raw)
		if !ok {
			return nil, false
		}
		wishes[name] = wish
	}
	return wishes, true
}

func wishOf(raw json.RawMessage) (wish claimMember, ok bool) {
	if isNull(raw) {
		return wish, true
	}
	members, ok := object(raw)
	if !ok {
		return wish, false
	}
	if raw := members["essential"]; !isNull(raw) && json.Unmarshal(raw, &wish.essential) != nil {
		return wish, false
	}
	if raw := members["values"]; !isNull(raw) && (json.Unmarshal(raw, &wish.values) != nil || len(wish.values) == 0) {
		return wish, false
	}
	if raw := members["value"]; !isNull(raw) {
		if len(wish.values) > 0 { // which of the two counts would be anybody's guess
			return wish, false
		}
		wish.values = []json.RawMessage{raw}
	}
	return wish, true
}

func textsOf(values []json.RawMessage) ([]string, bool) {
	var texts []string
	for _, raw := range values {
		var text string
		if !bytes.HasPrefix(raw, []byte(`"`)) || json.Unmarshal(raw, &text) != nil {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, true
}

// scopes are those that hold the claims.
func (c *claimsRequest) scopes() []keystile.Scope {
	set := map[keystile.Scope]bool{}
	for _, list := range [][]string{c.userinfo, c.idToken} {
		for _, name := range list {
			set[claimScopes[name]] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// allowedClaims are those of the names whose scope a client may ask for.
func allowedClaims(c *keystile.OAuthClient, names []string) []string {
	var allowed []string
	for _, name := range names {
		scope, known := claimScopes[name]
		if known && slices.ContainsFunc(c.Scopes, func(have keystile.Scope) bool { return have.Covers(scope) }) {
			allowed = append(allowed, name)
		}
	}
	return allowed
}

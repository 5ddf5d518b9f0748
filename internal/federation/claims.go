package federation

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"

	keystile "keystile.dev/keystile"
)

// Limits of what is taken from a token.
const (
	maxText      = 255 // of a subject (OpenID Connect Core, section 2), a name, an address
	maxCustomers = 64
	// clockSkew is how far an issuer's clock may be before ours. A token's end counts
	// exactly: tokens that are exchanged are fresh.
	clockSkew = time.Minute
)

// claims are the members of a payload, each as it stands.
type claims map[string]json.RawMessage

// readClaims reads the payload of a token whose signature has been verified.
func readClaims(payload []byte) (c claims, err error) {
	// This decoder refuses a member that is there twice.
	if !utf8.Valid(payload) || !bytes.HasPrefix(bytes.TrimLeft(payload, " \t\r\n"), []byte("{")) || json.Unmarshal(payload, &c) != nil {
		return nil, refuse("the payload is not one JSON object with each member once")
	}
	return c, nil
}

// identify checks what a token says of itself and maps what it says of a person.
func (c claims) identify(p *keystile.IdentityProvider, audience string, now time.Time) (Identity, error) {
	if err := c.checkIssued(p, audience); err != nil {
		return Identity{}, err
	}
	if err := c.checkTimes(now); err != nil {
		return Identity{}, err
	}
	return c.mapped(p)
}

// checkIssued says whether the token is of this issuer, for us, and of a kind that
// says who somebody is.
func (c claims) checkIssued(p *keystile.IdentityProvider, audience string) error {
	issuer, err := c.text("iss", true)
	if err != nil {
		return err
	}
	if p.Issuer == "" || audience == "" {
		return refuse("provider " + p.Name + " has no issuer or no audience")
	}
	if issuer != p.Issuer {
		return refuse("it is of another issuer")
	}
	audiences, err := c.list("aud", maxCustomers)
	if err != nil {
		return err
	}
	if !slices.Contains(audiences, audience) {
		return refuse("it is for another audience")
	}
	party, err := c.text("azp", false)
	if err != nil {
		return err
	}
	// OpenID Connect Core, section 3.1.3.7: of several audiences one asked for it.
	if len(audiences) > 1 && party != audience {
		return refuse("it was issued to another party")
	}
	if _, there := c["events"]; there {
		return refuse("it tells of an event (RFC 8417)")
	}
	return nil
}

// checkTimes wants "exp"; "nbf" and "iat" count where they are (RFC 7519, section 4.1).
func (c claims) checkTimes(now time.Time) error {
	expires, there, err := c.time("exp")
	switch {
	case err != nil:
		return err
	case !there:
		return refuse("exp is missing")
	case !now.Before(expires):
		return refuse("it has ended")
	}
	for _, name := range []string{"nbf", "iat"} {
		at, there, err := c.time(name)
		if err != nil {
			return err
		}
		if there && at.After(now.Add(clockSkew)) {
			return refuse("it begins in the future")
		}
	}
	return nil
}

// mapped is the identity that the provider's mapping reads from the claims.
//
//nolint:gocyclo // a list of checks, one after the other
func (c claims) mapped(p *keystile.IdentityProvider) (Identity, error) {
	id := Identity{Provider: *p, Issuer: p.Issuer, EmailVerified: true}
	var err error
	if id.Subject, err = c.text("sub", true); err != nil {
		return Identity{}, err
	}
	// A type that is not boolean is no "yes": "false" is a text that is not empty.
	if raw, there := c["email_verified"]; there && string(raw) != "true" {
		return Identity{}, refuse("the address is not verified")
	}
	if err := c.texts(p, &id); err != nil {
		return Identity{}, err
	}
	// "email_verified" is about the claim "email", whatever else an address is read from.
	id.EmailProven = id.Email != "" && string(c["email_verified"]) == "true" && claimOf(p, "email") == "email"
	if id.Email != "" && strings.Count(id.Email, "@") != 1 {
		return Identity{}, refuse("the address is none")
	}
	if claim := claimOf(p, "customer_ids"); claim != "" {
		if id.CustomerIDs, err = c.list(claim, maxCustomers); err != nil {
			return Identity{}, err
		}
	}
	if claim := claimOf(p, "role_id"); claim != "" {
		if id.RoleID, err = c.role(claim, p.Roles); err != nil {
			return Identity{}, err
		}
	}
	if err := checkIDs(&id); err != nil {
		return Identity{}, err
	}
	return id, nil
}

// texts reads the members that are one text each.
func (c claims) texts(p *keystile.IdentityProvider, id *Identity) (err error) {
	for member, into := range map[string]*string{
		"username": &id.Username, "email": &id.Email, "name": &id.Name, "group_id": &id.GroupID, "skin_id": &id.SkinID,
	} {
		if claim := claimOf(p, member); claim != "" {
			if *into, err = c.text(claim, member == "username"); err != nil {
				return err
			}
		}
	}
	return nil
}

// claimOf is the claim that a member is read from, "" for none.
func claimOf(p *keystile.IdentityProvider, member string) string {
	if claim, there := p.Claims[member]; there {
		return claim
	}
	switch member {
	case "username", "email":
		return "email"
	case "name":
		return "name"
	}
	return ""
}

// checkIDs wants ids that can be ids here.
func checkIDs(id *Identity) error {
	for _, text := range append([]string{id.GroupID, id.SkinID}, id.CustomerIDs...) {
		if text != "" && !keystile.ValidID(text) {
			return refuse("a group, skin or customer has a name that is no id")
		}
	}
	return nil
}

// role is the one role that a claim asserts: one text, or a list of one. One that
// the provider may not assert refuses; of several none is chosen.
func (c claims) role(claim string, allowed []string) (string, error) {
	roles, err := c.list(claim, maxCustomers)
	if err != nil || len(roles) == 0 {
		return "", err
	}
	if len(roles) > 1 {
		return "", refuse("it asserts several roles")
	}
	if !slices.Contains(allowed, roles[0]) {
		return "", refuse("it asserts a role that the provider may not assert")
	}
	return roles[0], nil
}

// text is a claim that is a text: printable, of at most 255 bytes, not empty. A
// claim of another type refuses; an absent one does if it is required.
func (c claims) text(name string, required bool) (string, error) {
	raw, there := c[name]
	if !there || string(raw) == "null" {
		if required {
			return "", refuse(name + " is missing")
		}
		return "", nil
	}
	var text string
	if json.Unmarshal(raw, &text) != nil || !plain(text) {
		return "", refuse(name + " is no text, empty, too long or not printable")
	}
	return text, nil
}

// list is a claim that is a list of texts, or one text.
func (c claims) list(name string, longest int) ([]string, error) {
	raw, there := c[name]
	if !there || string(raw) == "null" {
		return nil, nil
	}
	var texts []string
	if raw[0] == '"' {
		text, err := c.text(name, true)
		return []string{text}, err
	}
	if json.Unmarshal(raw, &texts) != nil || len(texts) > longest {
		return nil, refuse(name + " is no list of texts, or too long")
	}
	// A null in it was read as an empty text, which is not plain.
	for _, text := range texts {
		if !plain(text) {
			return nil, refuse(name + " has a member that is empty, too long or not printable")
		}
	}
	return texts, nil
}

// time is a NumericDate (RFC 7519, section 2): a number, never a text.
func (c claims) time(name string) (at time.Time, there bool, err error) {
	raw, there := c[name]
	if !there {
		return time.Time{}, false, nil
	}
	var seconds float64
	if raw[0] == '"' || string(raw) == "null" || json.Unmarshal(raw, &seconds) != nil || seconds < 0 || seconds > 1<<40 || math.IsNaN(seconds) {
		return time.Time{}, true, refuse(name + " is no time")
	}
	return time.Unix(int64(seconds), 0), true, nil
}

// plain says whether text is printable, short and not empty.
func plain(text string) bool {
	if text == "" || len(text) > maxText || strings.TrimSpace(text) != text {
		return false
	}
	// What is neither letter nor sign: controls, line ends, and what turns or hides text.
	return !strings.ContainsFunc(text, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) })
}

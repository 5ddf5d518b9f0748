package manage

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
)

// Bounds on what one identity provider may hold.
const (
	// maxIssuer bounds issuer, audience and claim names, in bytes; maxURL the URL of a key set.
	maxIssuer = 512
	maxURL    = 2048
	// maxJWKS bounds a key set that is given as text, in bytes.
	maxJWKS = 64 << 10
	// MaxRoles bounds the roles of one identity provider.
	MaxRoles = 200
	// goodProviderSecret is how long the HS256 secret of an identity provider should
	// be, in bytes: as long as its hash (RFC 7518, section 3.2). Issuers that exist have shorter ones.
	goodProviderSecret = 32
	maxProviderSecret  = 1024
)

// ClaimMembers lists the members of a user that a claim of an identity provider can fill.
var ClaimMembers = []string{"username", "email", "name", "role_id", "customer_ids", "group_id", "skin_id"}

// CheckProviderSecret says whether a text may be the HS256 secret of an identity
// provider. Its error is *keystile.Invalid.
func CheckProviderSecret(secret keystile.Secret) error {
	if n := len(secret); n == 0 || n > maxProviderSecret {
		return keystile.Invalidf("secret", fmt.Sprintf("use 1 to %d bytes", maxProviderSecret), "has %d bytes", n)
	}
	return nil
}

// Warnings says what is allowed but probably not meant; see NewKey.Warnings.
func (in NewIdentityProvider) Warnings() []string {
	if n := len(in.Secret); n > 0 && n < goodProviderSecret {
		// Whoever guesses it signs in as anybody of the organisation.
		return []string{keystile.Invalidf("secret", "have the issuer use one of 32 random bytes, or public keys", "a secret of %d bytes can be guessed from one token", n).Error()}
	}
	return nil
}

// CheckIdentityProvider checks everything about an identity provider that needs
// no look-up and settles how its public keys are written. secret says whether it has
// a secret. Its error is *keystile.Invalid, or several joined.
func CheckIdentityProvider(in *keystile.IdentityProvider, secret bool) error {
	var p problems
	settleSignIn(in, secret)
	p.id("name", in.Name)
	for field, value := range map[string]string{"issuer": in.Issuer, "audience": in.Audience} {
		if value == "" || len(value) > maxIssuer || !printable(value) {
			p.add(field, fmt.Sprintf("write 1 to %d printable characters, exactly as its tokens have them", maxIssuer), "is missing or cannot be one")
		}
	}
	if strings.Contains(in.Issuer, "://") {
		p.url("issuer", in.Issuer)
	}
	if len(in.Roles) > MaxRoles {
		p.add("roles", fmt.Sprintf("name at most %d", MaxRoles), "names %d roles", len(in.Roles))
	}
	seen := map[string]bool{}
	for i, id := range in.Roles {
		at := fmt.Sprintf("roles[%d]", i)
		p.foreignID(at, id)
		if seen[id] {
			p.add(at, "name it once", "names a role a second time")
		}
		seen[id] = true
	}
	checkClaims(&p, in.Claims)
	checkSignIn(&p, in)
	checkProviderKeys(&p, in, secret)
	if len(in.Roles) == 0 {
		in.Roles = nil
	}
	if len(in.Claims) == 0 {
		in.Claims = nil
	}
	return p.err()
}

func checkClaims(p *problems, claims map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		at := "claims." + name
		switch claim := claims[name]; {
		case !slices.Contains(ClaimMembers, name):
			p.add("claims", "use "+strings.Join(ClaimMembers, ", "), "%q is not a member of a user that a claim can fill", clipText(name))
		case claim == "" || len(claim) > maxIssuer || !printable(claim):
			p.add(at, "write the name of a claim", "is not the name of a claim")
		}
	}
}

// checkProviderKeys checks that there is one source of keys and that every
// algorithm fits it: were an HS256 token verified with what is public, anybody
// could make one.
func checkProviderKeys(p *problems, in *keystile.IdentityProvider, secret bool) {
	sources := 0
	for _, is := range []bool{in.JWKSURL != "", in.JWKS != "", in.PublicKey != "", secret} {
		if is {
			sources++
		}
	}
	if sources == 0 && in.SignIn != nil { // they are where the issuer says
		checkAlgorithms(p, in.Algorithms, false)
		return
	}
	if sources != 1 {
		p.add("jwks_url", "keep one of jwks_url, jwks, public_key and secret", "there are %d sources of keys, not one", sources)
		return
	}
	if !checkAlgorithms(p, in.Algorithms, secret) {
		return
	}
	switch {
	case in.JWKSURL != "":
		p.url("jwks_url", in.JWKSURL)
	case in.JWKS != "":
		text, err := checkJWKS(in.JWKS, in.Algorithms)
		p.under("jwks", err)
		in.JWKS = text
	case in.PublicKey != "":
		for _, algorithm := range in.Algorithms {
			text, err := PublicKeyText(algorithm, in.PublicKey)
			if err != nil {
				p.under("public_key", err)
				return
			}
			in.PublicKey = text
		}
	}
}

func checkAlgorithms(p *problems, algorithms []keystile.SigningAlgorithm, secret bool) (ok bool) {
	ok = true
	fault := func(i int, remedy, problem string) {
		p.add(fmt.Sprintf("algorithms[%d]", i), remedy, "%s", problem)
		ok = false
	}
	if len(algorithms) == 0 {
		p.add("algorithms", "name at least one of HS256, RS256, ES256, EdDSA", "names no algorithm")
		return false
	}
	for i, algorithm := range algorithms {
		switch {
		case !KnownAlgorithm(algorithm):
			fault(i, "use HS256, RS256, ES256 or EdDSA", "not an algorithm")
		case algorithm == keystile.HS256 && !secret:
			fault(i, "give a secret, or use RS256, ES256 or EdDSA", "HS256 needs a secret: with a public key anybody could sign")
		case algorithm != keystile.HS256 && secret:
			fault(i, "use HS256, or give the issuer's public keys", "does not work with a secret")
		case slices.Contains(algorithms[:i], algorithm):
			fault(i, "name it once", "names an algorithm a second time")
		}
	}
	return ok
}

// checkJWKS checks a key set (RFC 7517, section 5): public keys, and one for
// each algorithm. It returns it in the one form it is kept in.
func checkJWKS(text string, algorithms []keystile.SigningAlgorithm) (string, error) {
	const remedy = `write {"keys": [...]} with the public keys, as the issuer serves it`
	if len(text) > maxJWKS {
		return text, keystile.Invalidf("jwks", remedy, "has more than %d bytes", maxJWKS)
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal([]byte(text), &set); err != nil || len(set.Keys) == 0 {
		return text, keystile.Invalidf("jwks", remedy, "is not a key set, or an empty one")
	}
	types := map[string]bool{}
	for _, key := range set.Keys {
		kind, ok := key["kty"].(string)
		if !ok {
			return text, keystile.Invalidf("jwks", remedy, "holds a key without a kty")
		}
		if _, private := key["d"]; private || kind == "oct" {
			return text, keystile.Invalidf("jwks", "remove what is secret, and replace that key: it was shown", "holds a private or shared key")
		}
		types[kind] = true
	}
	for _, algorithm := range algorithms {
		kind := map[keystile.SigningAlgorithm]string{keystile.RS256: "RSA", keystile.ES256: "EC", keystile.EdDSA: "OKP"}[algorithm]
		if !types[kind] {
			return text, keystile.Invalidf("jwks", "add it, or take the algorithm out", "holds no %s key for %s", kind, algorithm)
		}
	}
	kept, err := json.Marshal(set)
	return string(kept), err
}

// url checks the URL of an issuer or key set: https, or http to this machine,
// written as such. Whether its address may be fetched from is decided when it is.
func (p *problems) url(field, text string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxURL || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		p.add(field, "write it as https://host/path", "is not a URL")
	case u.User != nil || strings.Contains(text, "#"):
		p.add(field, "leave them out", "holds a user, password or fragment")
	case u.Scheme == "https", u.Scheme == "http" && namesLoopback(u.Hostname()):
	default:
		p.add(field, "use https; plain http is for addresses of this machine, such as 127.0.0.1", "is not an https URL")
	}
}

func namesLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

func printable(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}

// clipText keeps messages short whatever was sent.
func clipText(text string) string {
	const most = 64
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

// adopt takes over the findings of another check: one *keystile.Invalid or several joined.
func (p *problems) adopt(err error) {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		*p = append(*p, joined.Unwrap()...)
	} else if err != nil {
		*p = append(*p, err)
	}
}

package sessionjwt

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
	"keystile.dev/keystile/internal/jws"
)

// form is one way of writing a token. It is part of what a token id is bound to.
type form string

const (
	formOna      form = "ona"
	formStandard form = "standard"
)

// token is a parsed token.
type token struct {
	*jws.Token
	form             form
	sessionID        string
	id               string // jti
	issuedAt, until  int64  // seconds since 1970
	notBefore        int64
	issuer, audience string // empty: none
}

// lengths of what our own tokens hold.
const (
	maxSessionID = 64
	maxTokenID   = 64
)

// headerAuthorization is the one field that carries session tokens.
const headerAuthorization = "Authorization"

// Parse implements keystile.Kind. A token stands in Authorization, with Bearer or
// raw as the platforms' clients send it; an API key's field, or a URL, carries none.
// What the token says is read by Verify, if it does not remember the token: one
// that was read and proven is not read again.
func (k *Kind) Parse(r *keystile.Request, f keystile.Found) (keystile.Presented, error) {
	text := f.Value.Reveal()
	switch {
	case f.Header != headerAuthorization:
		return keystile.Presented{}, malformed("it stands elsewhere than in Authorization")
	case len(text) > credential.MaxLength:
		return keystile.Presented{}, malformed("it is longer than 8 KiB")
	case strings.Count(text, ".") != 2:
		return keystile.Presented{}, malformed("it has not three parts")
	}
	var space [1024]byte // most tokens fit: no copy on the heap
	return keystile.Presented{
		Kind: keystile.KindSessionJWT, Digest: sha256.Sum256(append(space[:0], text...)), Value: f.Value, Source: sourceOf(r.ClientAddr),
	}, nil
}

// sourceOf is the address that failures are counted by: IPv6 callers own a whole /64.
func sourceOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

func parse(text string) (*token, error) {
	read, err := jws.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("a session token: %w", err)
	}
	t := &token{Token: read}
	if err := t.readForm(); err != nil {
		return nil, err
	}
	if err := t.readClaims(); err != nil {
		return nil, err
	}
	return t, nil
}

// readForm tells the two forms apart by the header, which is as we write it or
// is of no token of ours.
func (t *token) readForm() error {
	switch {
	case t.Other:
		return malformed("its header has members that ours have not")
	case t.Type != "" && !strings.EqualFold(t.Type, "JWT"):
		return malformed("it is of another type")
	case t.Algorithm == "":
		return malformed("its algorithm is none of ours")
	case t.Algorithm == keystile.HS256 && t.KeyID != "":
		return malformed("it names a key, and shared secrets have no names")
	case t.Algorithm != keystile.HS256 && t.KeyID == "":
		return malformed("it names no key")
	}
	t.form = formStandard
	if t.Algorithm == keystile.HS256 {
		t.form = formOna
	}
	return nil
}

// members are the claims that are read; whatever else a token says is for others.
type members struct{ sid, jti, iat, exp, nbf, iss, aud credential.Value }

func (t *token) readClaims() error {
	var m members
	object := credential.NewObject(t.Payload)
	for name, value, more := object.Next(); more; name, value, more = object.Next() {
		switch string(name) {
		case "sid":
			m.sid = value
		case "jti":
			m.jti = value
		case "iat":
			m.iat = value
		case "exp":
			m.exp = value
		case "nbf":
			m.nbf = value
		case "iss":
			m.iss = value
		case "aud":
			m.aud = value
		}
	}
	if !object.Good() {
		return malformed("its payload is not one JSON object with each member once")
	}
	return t.take(&m)
}

func (t *token) take(m *members) error {
	var ok bool
	if t.sessionID, ok = text(m.sid, maxSessionID); !ok {
		return malformed("sid is missing or is no text")
	}
	if t.id, ok = text(m.jti, maxTokenID); !ok {
		return malformed("jti is missing or is no text")
	}
	if t.issuedAt, ok = m.iat.Integer(); !ok {
		return malformed("iat is missing or is no whole number")
	}
	if t.until, ok = m.exp.Integer(); !ok || t.until <= t.issuedAt {
		return malformed("exp is missing, is no whole number or is not after iat")
	}
	if m.nbf != nil {
		if t.notBefore, ok = m.nbf.Integer(); !ok {
			return malformed("nbf is no whole number")
		}
	}
	if m.iss != nil {
		if t.issuer, ok = text(m.iss, credential.MaxLength); !ok {
			return malformed("iss is no text")
		}
	}
	if m.aud != nil {
		if t.audience, ok = text(m.aud, credential.MaxLength); !ok {
			return malformed("aud is not one text")
		}
	}
	return nil
}

// text is a string value of at most longest bytes, not empty.
func text(value credential.Value, longest int) (string, bool) {
	raw, ok := value.Text()
	return string(raw), ok && len(raw) > 0 && len(raw) <= longest
}

func malformed(problem string) error {
	return fmt.Errorf("a session token: %s: %w", problem, keystile.ErrMalformed)
}

package oidc

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// claims are the members of a signed payload, each as it stands.
type claims map[string]json.RawMessage

// readClaims reads one JSON object with each member once.
func readClaims(payload []byte) (claims, error) {
	var c claims
	// This decoder refuses a member that is there twice.
	if !utf8.Valid(payload) || !bytes.HasPrefix(bytes.TrimLeft(payload, " \t\r\n"), []byte("{")) || json.Unmarshal(payload, &c) != nil {
		return nil, errors.New("its payload is not one JSON object with each member once")
	}
	return c, nil
}

// text is a member that is a text; empty: it is none.
func (c claims) text(name string) string {
	var text string
	if raw, ok := c[name]; !ok || json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

// there says whether there is a member; null is none.
func (c claims) there(name string) bool {
	raw, ok := c[name]
	return ok && !isNull(raw)
}

// time is a NumericDate (RFC 7519, section 2).
func (c claims) time(name string) (time.Time, bool) {
	var seconds float64
	if !c.there(name) || json.Unmarshal(c[name], &seconds) != nil || math.Abs(seconds) > 1e11 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0).UTC(), true
}

// forUs says whether "aud" is, or holds, one of the names.
func (c claims) forUs(names ...string) bool {
	var list []string
	if one := c.text("aud"); one != "" {
		list = []string{one}
	} else if raw, ok := c["aud"]; !ok || json.Unmarshal(raw, &list) != nil {
		return false
	}
	return slices.ContainsFunc(list, func(a string) bool { return slices.Contains(names, a) })
}

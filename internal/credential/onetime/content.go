package onetime

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"

	keystile "keystile.dev/keystile"
)

// maxBody is the largest body whose digest is checked, in bytes.
const maxBody = 64 << 10

// content is what an HTTP message signature has to say of the body. The request
// it came from is read again by check, so it lives no longer than that.
type content struct {
	request *keystile.Request
	// covered says that content-digest is under the signature.
	covered bool
}

func contentOf(r *keystile.Request, covered bool) *content {
	return &content{request: r, covered: covered}
}

// check says why the body is not the one that was signed, or nil. It is asked
// after the signature: nobody makes us read a body without one. A body that is
// not covered is refused.
func (c *content) check() error {
	r := c.request
	if r.Body == nil {
		return c.checkUnseen()
	}
	body, err := r.Body(maxBody)
	if errors.Is(err, keystile.ErrBodyTooLarge) {
		return keystile.Reject(keystile.ReasonBodyTooLarge, "a signed body has at most 64 KiB")
	}
	if err != nil {
		return fmt.Errorf("read a signed body: %w", err)
	}
	if len(body) > 0 && len(r.Header["Content-Encoding"]) > 0 {
		rejection := keystile.Reject(keystile.ReasonRequestInvalid, "a signed body has a Content-Encoding")
		rejection.Public = "Content-Encoding is not accepted here"
		return rejection
	}
	switch {
	case c.covered:
		return checkDigest(r.Header["Content-Digest"], body)
	case len(body) > 0:
		return keystile.Reject(keystile.ReasonSignatureInvalid, "the request has a body and the signature does not cover content-digest")
	}
	return nil
}

// checkUnseen answers where the point has no body to show. Only a request that
// has none by its own account is good there.
func (c *content) checkUnseen() error {
	r := c.request
	bodiless := r.Method == "GET" || r.Method == "HEAD" || r.Method == "OPTIONS"
	for _, length := range r.Header["Content-Length"] {
		bodiless = bodiless && length == "0"
	}
	if c.covered || !bodiless || len(r.Header["Transfer-Encoding"]) > 0 {
		rejection := keystile.Reject(keystile.ReasonRequestInvalid, "this enforcement point sees no body, so its digest cannot be checked")
		rejection.Public = "signed requests with a body are not accepted here"
		return rejection
	}
	return nil
}

// checkDigest compares a Content-Digest field (RFC 9530, section 2) with the
// body. Every digest of an algorithm we know must fit, and one must be there;
// the insecure algorithms of that registry are not known.
func checkDigest(lines []string, body []byte) error {
	known, fits := 0, true
	ok := dictionary(strings.Join(lines, ", "), func(key string, value []byte) bool {
		switch key {
		case "sha-256":
			sum := sha256.Sum256(body)
			known, fits = known+1, fits && subtle.ConstantTimeCompare(sum[:], value) == 1
		case "sha-512":
			sum := sha512.Sum512(body)
			known, fits = known+1, fits && subtle.ConstantTimeCompare(sum[:], value) == 1
		}
		return true
	})
	switch {
	case !ok:
		return keystile.Reject(keystile.ReasonCredentialMalformed, "Content-Digest cannot be read")
	case known == 0:
		return keystile.Reject(keystile.ReasonCredentialMalformed, "Content-Digest has neither sha-256 nor sha-512")
	case !fits:
		return keystile.Reject(keystile.ReasonSignatureInvalid, "the body is not the one that Content-Digest was made of")
	}
	return nil
}

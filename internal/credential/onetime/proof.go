package onetime

import (
	"crypto/sha256"
	"fmt"

	keystile "keystile.dev/keystile"
)

// Limits of what a proof holds, the same in every form.
const (
	minNonce     = 16
	maxNonce     = 128
	maxName      = 200  // of an API key or organisation
	maxSignature = 1024 // bytes; that of an RSA key of 8192 bits
)

// proof is one parsed one-time credential: Presented.Detail. It is not changed
// after Parse.
type proof struct {
	form keystile.OneTimeForm
	// organization is whom the request says it comes from; nil where the form does not say.
	organization []byte
	apiKey       []byte
	nonce        []byte
	// algorithm is what the request says it was signed with; empty where it does
	// not say. It is compared with the key's, never used.
	algorithm keystile.SigningAlgorithm
	times     times
	// signed is the text under the signature.
	signed    []byte
	signature []byte
	// broken says why no signature over this request can be good: it covers
	// something that is not there.
	broken string
	// content is what an HTTP message signature says of the body; nil for other forms.
	content *content
	// keyDigest is what the key is remembered under.
	keyDigest [32]byte
	// space holds what was decoded: a header or JWT signed by HMAC fits.
	space [640]byte
}

// times are what a proof says of time, in seconds since 1970.
type times struct {
	// stamp is the header's timestamp, a JWT's iat, a message signature's created.
	stamp int64
	// ends is exp of a JWT, expires of a message signature; hasEnd says that there is one.
	ends   int64
	hasEnd bool
	// notBefore is nbf of a JWT.
	notBefore    int64
	hasNotBefore bool
	// tail is the time that a 64-digit nonce of a JWT ends with.
	tail    int64
	hasTail bool
}

// keyDomain keeps digests of API keys' names apart from digests of anything else.
const keyDomain = "keystile onetime api key\x00"

// check refuses what no form allows, and digests the key's name.
func (p *proof) check() error {
	switch {
	case !printable(p.apiKey) || len(p.apiKey) > maxName:
		return malformed("the API key is not 1 to 200 printable ASCII characters without space")
	case !printable(p.nonce) || len(p.nonce) < minNonce || len(p.nonce) > maxNonce:
		return malformed("the nonce is not 16 to 128 printable ASCII characters without space")
	case p.organization != nil && (!printable(p.organization) || len(p.organization) > maxName):
		return malformed("the organisation is not an id")
	case len(p.signature) > maxSignature:
		return malformed("the signature is longer than any")
	}
	var space [len(keyDomain) + maxName]byte
	p.keyDigest = sha256.Sum256(append(append(space[:0], keyDomain...), p.apiKey...))
	return nil
}

// printable says whether text is one or more visible ASCII characters.
func printable(text []byte) bool {
	for _, c := range text {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return len(text) > 0
}

// malformed makes the error of Parse. It never holds any of the credential.
func malformed(problem string) error {
	return fmt.Errorf("%s: %w", problem, keystile.ErrMalformed)
}

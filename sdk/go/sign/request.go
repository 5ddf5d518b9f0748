package sign

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// maxBody is the largest body that a server checks the digest of, in bytes.
const maxBody = 64 << 10

// messageNames are the algorithms in the registry of RFC 9421, section 6.2.2.
var messageNames = map[Algorithm]string{
	HS256: "hmac-sha256", RS256: "rsa-v1_5-sha256", ES256: "ecdsa-p256-sha256", EdDSA: "ed25519",
}

// Request signs a request that is about to be sent (RFC 9421): it sets
// Signature-Input and Signature, and Content-Digest (RFC 9530) if there is a
// body. Covered are the method, the whole target with its query, and the body.
//
// Nothing covered may change afterwards: sign last, and do not let a transport
// rewrite the URL or compress the body. A body of at most 64 KiB is read and put
// back; a larger one is an error. Any earlier signature in the request is replaced.
func (s *Signer) Request(req *http.Request, stamp Stamp) error {
	nonce, seconds, err := stamp.fill(func(int64) (string, error) {
		random, err := randomBytes(16)
		return hex.EncodeToString(random), err
	})
	if err != nil {
		return err
	}
	if req.URL == nil || req.URL.Opaque != "" || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return errors.New("only http and https requests with an absolute URL can be signed")
	}
	if !visible(targetURI(req)) {
		return errors.New("host, path and query are to be ASCII, encoded as they are sent")
	}
	digest, err := bodyDigest(req)
	if err != nil {
		return err
	}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Del("Content-Digest")
	if digest != "" {
		req.Header.Set("Content-Digest", digest)
	}
	base, parameters := s.base(req, nonce, seconds)
	signature, err := s.sign([]byte(base))
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	req.Header.Set("Signature-Input", label+"="+parameters)
	req.Header.Set("Signature", label+"=:"+base64.StdEncoding.EncodeToString(signature)+":")
	return nil
}

// label names our signature within the request.
const label = "sig1"

// base is the text that is signed (RFC 9421, section 2.5), and the value of its
// last line.
func (s *Signer) base(req *http.Request, nonce string, seconds int64) (base, parameters string) {
	method := req.Method
	if method == "" {
		method = http.MethodGet // as net/http sends it
	}
	components := `"@method" "@target-uri"`
	base = `"@method": ` + method + "\n" + `"@target-uri": ` + targetURI(req) + "\n"
	if digest := req.Header.Get("Content-Digest"); digest != "" {
		components += ` "content-digest"`
		base += `"content-digest": ` + digest + "\n"
	}
	parameters = "(" + components + ");created=" + strconv.FormatInt(seconds, 10) +
		";nonce=" + quote(nonce) + ";alg=" + quote(messageNames[s.algorithm]) + ";keyid=" + quote(s.apiKey)
	return base + `"@signature-params": ` + parameters, parameters
}

// targetURI is the URL as it goes over the wire: the Host field, and the path and
// query of the request line.
func targetURI(req *http.Request) string {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	target := req.URL.RequestURI()
	if req.URL.RawQuery == "" {
		// A question mark with nothing behind it is not told apart from none at all.
		target = strings.TrimSuffix(target, "?")
	}
	return req.URL.Scheme + "://" + host + target
}

// quote writes a string of structured fields (RFC 9651, section 4.1.6).
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// bodyDigest is the Content-Digest of the body, or "" if there is none. The body
// is put back.
func bodyDigest(req *http.Request) (string, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return "", nil
	}
	data, err := io.ReadAll(io.LimitReader(req.Body, maxBody+1))
	if err == nil {
		err = req.Body.Close()
	}
	if err != nil {
		return "", fmt.Errorf("read the body to sign it: %w", err)
	}
	if len(data) > maxBody {
		return "", errors.New("a signed body has at most 64 KiB")
	}
	req.Body = io.NopCloser(bytes.NewReader(data))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	req.ContentLength = int64(len(data))
	if len(data) == 0 {
		req.Body = http.NoBody
		return "", nil
	}
	sum := sha256.Sum256(data)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":", nil
}

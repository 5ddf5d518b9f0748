package enforce

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/mtls"
)

// NewRequest is the request that hr itself is, as its caller sent it: the path
// comes from the request line, never from the cleaned URL.
//
// The header fields are shared with hr, not copied. If hr has a body, Body
// reads it once and puts it back into hr, so that hr must be forwarded (or
// cloned for that) after the gate has answered.
//
// An error is a *keystile.Rejection with request_invalid: a request target
// that is not a path or an absolute http URL, CONNECT, a header field that
// overrides method or path, an X-Forwarded-For or X-Forwarded-Proto of a
// trusted proxy that cannot be read. X-Forwarded-Host is never believed here:
// many proxies pass a caller's own one on, and Host already names the route.
func NewRequest(hr *http.Request, point keystile.Point, trust Trust, id string) (*keystile.Request, error) {
	path, query, err := target(hr)
	if err != nil {
		return nil, err
	}
	header := keystile.Header(hr.Header)
	if err := CheckHeader(header); err != nil {
		return nil, err
	}
	peer, err := Peer(hr.RemoteAddr)
	if err != nil {
		return nil, err
	}
	scheme, client := "http", peer
	if hr.TLS != nil {
		scheme = "https"
	}
	if trust.Contains(peer) {
		if client, err = trust.Behind(peer, header["X-Forwarded-For"]); err != nil {
			return nil, err
		}
		if scheme, err = forwardedScheme(header["X-Forwarded-Proto"], scheme); err != nil {
			return nil, err
		}
	}
	r := &keystile.Request{
		ID: id, Point: point, Method: hr.Method, Scheme: scheme, Host: hr.Host,
		Path: path, RawQuery: query, Header: header, ClientAddr: client, Body: noBody,
	}
	if !trust.Contains(peer) { // that of a proxy says nothing of who stands behind it
		r.Certificate = certificateOf(hr)
	}
	if hr.Body != nil && hr.Body != http.NoBody {
		r.Body = (&body{hr: hr}).read
	}
	return r, nil
}

// certificateOf is the thumbprint of the certificate of a connection; empty: none was asked for.
func certificateOf(hr *http.Request) string {
	if hr.TLS == nil || len(hr.TLS.PeerCertificates) == 0 {
		return ""
	}
	return mtls.Thumbprint(hr.TLS.PeerCertificates[0].Raw)
}

// forwardedScheme is what a trusted proxy says the scheme is, or own if it says
// nothing.
func forwardedScheme(proto []string, own string) (string, error) {
	switch len(proto) {
	case 0:
		return own, nil
	case 1:
		if scheme, ok := ParseScheme(proto[0]); ok {
			return scheme, nil
		}
		return "", invalid("X-Forwarded-Proto cannot be read")
	}
	return "", invalid("X-Forwarded-Proto is repeated")
}

// target is the path and query of the request line (RFC 9112, section 3.2).
// Origin-form is the usual one. Absolute-form, which a server must accept, is
// reduced to it: net/http has already made its authority the Host, as section
// 3.2.2 asks. Authority-form (CONNECT) and asterisk-form name no resource.
func target(hr *http.Request) (path, query string, err error) {
	raw := hr.RequestURI
	if raw == "" { // a request that did not come off a wire
		raw = hr.URL.RequestURI()
	}
	if hr.Method == http.MethodConnect {
		return "", "", invalid("CONNECT is not served")
	}
	if raw[0] != '/' {
		_, host, p, q, ok := SplitURL(raw)
		if !ok || !strings.EqualFold(host, hr.Host) {
			return "", "", invalid("the request target cannot be read")
		}
		return p, q, nil
	}
	path, query, ok := SplitTarget(raw)
	if !ok {
		return "", "", invalid("the request target cannot be read")
	}
	return path, query, nil
}

// SplitTarget cuts an origin-form request target ("/path?query") at its first
// "?". Nothing is decoded or cleaned. ok is false for a target that does not
// begin with "/" and for bytes that no target has: space, control characters
// and "#", which some servers cut at and others do not.
func SplitTarget(raw string) (path, query string, ok bool) {
	if raw == "" || raw[0] != '/' {
		return "", "", false
	}
	mark := -1
	for i := range len(raw) {
		switch c := raw[i]; {
		case c <= ' ', c == 0x7f, c == '#':
			return "", "", false
		case c == '?' && mark < 0:
			mark = i
		}
	}
	if mark < 0 {
		return raw, "", true
	}
	return raw[:mark], raw[mark+1:], true
}

// SplitURL cuts an absolute http or https URL into its parts as they are
// written; scheme is in lower case and an empty path is "/" (RFC 9110, section
// 4.2.3). ok is false for anything else, for userinfo and for a fragment:
// both are parts that two readers treat differently.
func SplitURL(raw string) (scheme, host, path, query string, ok bool) {
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		return "", "", "", "", false
	}
	switch {
	case strings.EqualFold(scheme, "http"):
		scheme = "http"
	case strings.EqualFold(scheme, "https"):
		scheme = "https"
	default:
		return "", "", "", "", false
	}
	host, path = rest, "/"
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		host, path = rest[:end], rest[end:]
		if path[0] == '?' {
			path = "/" + path
		}
	}
	if !ValidHost(host) {
		return "", "", "", "", false
	}
	path, query, ok = SplitTarget(path)
	return scheme, host, path, query, ok
}

// Origin is the origin of a request as text, "https://api.example.com": scheme
// and host in lower case, without a default port (RFC 6454, section 6.2).
func Origin(scheme, host string) string {
	host = strings.ToLower(host)
	if scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}
	return scheme + "://" + host
}

// ValidHost says whether s can be an authority without userinfo: one host, a
// port if any, and nothing that ends or begins another part. What the host
// means is for the policy to say.
func ValidHost(s string) bool {
	if s == "" || len(s) > 255+len(":65535") {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c <= ' ', c == 0x7f, c == '/', c == '?', c == '#', c == '@', c == '\\', c == ',', c == '"', c == ';':
			return false
		}
	}
	return true
}

// ValidMethod says whether s is a token of at most 32 characters (RFC 9110,
// sections 9.1 and 5.6.2), as every registered method is.
func ValidMethod(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for i := range len(s) {
		if !isTokenChar(s[i]) {
			return false
		}
	}
	return true
}

func isTokenChar(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// ParseScheme reads the value of X-Forwarded-Proto. Proxies write ws and wss
// for WebSocket handshakes, which are http and https.
func ParseScheme(s string) (scheme string, ok bool) {
	switch s {
	case "http", "https":
		return s, true
	case "ws":
		return "http", true
	case "wss":
		return "https", true
	}
	switch {
	case strings.EqualFold(s, "http"), strings.EqualFold(s, "ws"):
		return "http", true
	case strings.EqualFold(s, "https"), strings.EqualFold(s, "wss"):
		return "https", true
	}
	return "", false
}

// RequestID is a fresh id of 32 hex digits; or, if the caller is trusted to
// name requests, its X-Request-Id where that is one id (keystile.ValidID).
func RequestID(hr *http.Request, trusted bool) string {
	if trusted {
		if v := hr.Header["X-Request-Id"]; len(v) == 1 && keystile.ValidID(v[0]) {
			return v[0]
		}
	}
	return NewRequestID()
}

// NewRequestID is 128 random bits as 32 lower-case hex digits. They come from
// the runtime's ChaCha8 generator: an id must be unique, it is no secret.
func NewRequestID() string {
	const digits = "0123456789abcdef"
	var id [32]byte
	hi, lo := rand.Uint64(), rand.Uint64() //nolint:gosec // unique, not secret
	for i := range 16 {
		id[i] = digits[hi&15]
		id[16+i] = digits[lo&15]
		hi >>= 4
		lo >>= 4
	}
	return string(id[:])
}

func noBody(int64) ([]byte, error) { return nil, nil }

// body reads the body of hr when the gate asks for it and puts it back.
type body struct {
	hr   *http.Request
	data []byte
	done bool
	err  error
}

// read implements keystile.Request.Body. What was read is put back in front of
// what was not, so the upstream gets every byte, also after an error.
func (b *body) read(limit int64) ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	if !b.done {
		if b.hr.ContentLength > limit {
			return nil, tooLarge(limit)
		}
		if err := b.fill(limit); err != nil {
			b.err = err
			return nil, err
		}
	}
	if int64(len(b.data)) > limit {
		return nil, tooLarge(limit)
	}
	return b.data, nil
}

func (b *body) fill(limit int64) error {
	original := b.hr.Body
	size := int64(bytes.MinRead)
	if n := b.hr.ContentLength; n >= 0 && n <= limit {
		size = n + bytes.MinRead // room to see the end without growing
	}
	buf := bytes.NewBuffer(make([]byte, 0, size))
	_, err := io.Copy(buf, io.LimitReader(original, limit+1))
	b.data = buf.Bytes()
	if err == nil && int64(len(b.data)) <= limit {
		b.done = true
		b.hr.Body = &replayed{Reader: bytes.NewReader(b.data), original: original}
		if b.hr.ContentLength < 0 && len(b.hr.Trailer) == 0 { // trailers need chunks
			b.hr.ContentLength = int64(len(b.data))
			b.hr.TransferEncoding = nil
		}
		return nil
	}
	b.hr.Body = &replayed{Reader: io.MultiReader(bytes.NewReader(b.data), original), original: original}
	var capped *http.MaxBytesError
	if err == nil || errors.As(err, &capped) {
		return tooLarge(limit)
	}
	return fmt.Errorf("read the request body: %w", err)
}

func tooLarge(limit int64) error {
	return fmt.Errorf("%w: the limit is %s bytes", keystile.ErrBodyTooLarge, strconv.FormatInt(limit, 10))
}

// replayed is a body that was read ahead; closing it closes the original.
type replayed struct {
	io.Reader
	original io.Closer
}

func (r *replayed) Close() error { return r.original.Close() }

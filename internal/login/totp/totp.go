package totp

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238's default, the only one that all authenticator apps know; HMAC-SHA-1 is not broken
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"net/url"
	"strings"
	"time"

	"rsc.io/qr"

	keystile "keystile.dev/keystile"
)

const (
	// Digits of a code.
	Digits = 6
	// Period is the length of a time step.
	Period = 30 * time.Second
	// window is how many steps a code may be early or late (RFC 6238, section 5.2).
	window = 1
	// SecretLength in bytes: RFC 4226, section 4, R6 recommends 160 bits.
	SecretLength = 20
)

// NewSecret draws a secret.
func NewSecret(random io.Reader) ([]byte, error) {
	secret := make([]byte, SecretLength)
	if _, err := io.ReadFull(random, secret); err != nil {
		return nil, fmt.Errorf("draw a TOTP secret: %w", err)
	}
	return secret, nil
}

// Step is the time step of a moment.
func Step(at time.Time) int64 { return at.Unix() / int64(Period/time.Second) }

// Code is the code of a step.
func Code(secret []byte, step int64) string { return code(sha1.New, secret, step, Digits) }

// code is RFC 4226, section 5.3, with the hash of RFC 6238, section 1.2.
func code(h func() hash.Hash, secret []byte, step int64, digits int) string {
	mac := hmac.New(h, secret)
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step)) //nolint:gosec // two's complement is what is meant
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	number := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	mod := uint32(1)
	for range digits {
		mod *= 10
	}
	return fmt.Sprintf("%0*d", digits, number%mod)
}

// Match finds the step of a code around now that is later than last, the newest one
// accepted before; ok is false if there is none. It takes the same time either way.
func Match(secret []byte, typed string, now time.Time, last int64) (step int64, ok bool) {
	current := Step(now)
	for at := current - window; at <= current+window; at++ {
		if subtle.ConstantTimeCompare([]byte(Code(secret, at)), []byte(typed)) == 1 && at > last {
			step, ok = at, true
		}
	}
	return step, ok
}

// Shape says whether text looks like a code: six digits. Spaces, as apps show them, are cut out.
func Shape(text string) (code string, ok bool) {
	code = strings.ReplaceAll(text, " ", "")
	if len(code) != Digits {
		return "", false
	}
	for i := range len(code) {
		if code[i] < '0' || code[i] > '9' {
			return "", false
		}
	}
	return code, true
}

// URI is the otpauth URI of a secret
// (https://github.com/google/google-authenticator/wiki/Key-Uri-Format). issuer and account are what the app shows.
func URI(issuer, account string, secret []byte) keystile.Secret {
	issuer = strings.ReplaceAll(issuer, ":", " ")
	q := url.Values{}
	q.Set("secret", base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret))
	q.Set("issuer", issuer)
	q.Set("algorithm", "SHA1")
	q.Set("digits", fmt.Sprint(Digits))
	q.Set("period", fmt.Sprint(int(Period/time.Second)))
	// Apps do not read "+" as a space.
	query := strings.ReplaceAll(q.Encode(), "+", "%20")
	return keystile.Secret("otpauth://totp/" + url.PathEscape(issuer) + ":" + url.PathEscape(account) + "?" + query)
}

// PNG is the URI as a QR code.
func PNG(uri keystile.Secret) ([]byte, error) {
	c, err := qr.Encode(uri.Reveal(), qr.M)
	if err != nil {
		return nil, fmt.Errorf("draw a QR code: %w", err)
	}
	c.Scale = 6
	return c.PNG(), nil
}

// Terminal is the URI as a QR code of half blocks, dark on light, for a terminal.
func Terminal(uri keystile.Secret) (string, error) {
	c, err := qr.Encode(uri.Reveal(), qr.L)
	if err != nil {
		return "", fmt.Errorf("draw a QR code: %w", err)
	}
	const quiet = 2
	var b strings.Builder
	for y := -quiet; y < c.Size+quiet; y += 2 {
		// Light is drawn, so that it reads on the dark background most terminals have.
		for x := -quiet; x < c.Size+quiet; x++ {
			b.WriteString([]string{" ", "▀", "▄", "█"}[light(c, x, y)+2*light(c, x, y+1)])
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}

func light(c *qr.Code, x, y int) int {
	if c.Black(x, y) {
		return 0
	}
	return 1
}

package oidc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// nonceWindow is how long one nonce is given out; it is taken in the next window, too.
const nonceWindow = 5 * time.Minute

// nonceAt is the nonce of the window that a moment lies in (RFC 9449, section 8): an HMAC
// of the window under a key of the store, so that every server on the store knows it and
// none keeps anything. It only proves that a proof is not older: each is good once.
func (s *Server) nonceAt(t time.Time) string {
	key := hmac.New(sha256.New, s.o.PairwiseKey)
	key.Write([]byte("dpop nonce"))
	mac := hmac.New(sha256.New, key.Sum(nil))
	var window [8]byte
	binary.BigEndian.PutUint64(window[:], uint64(t.Unix()/int64(nonceWindow/time.Second))) //nolint:gosec // after 1970
	mac.Write(window[:])
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

// fresh says whether a nonce is of this window or of the one before.
func (s *Server) fresh(nonce string, now time.Time) bool {
	return hmac.Equal([]byte(nonce), []byte(s.nonceAt(now))) || hmac.Equal([]byte(nonce), []byte(s.nonceAt(now.Add(-nonceWindow))))
}

// needsNonce tells a client which nonce its next proof has to carry.
func (s *Server) needsNonce(now time.Time) *Error {
	e := refuse("use_dpop_nonce", "The proof has to carry the nonce of DPoP-Nonce.")
	e.nonce = s.nonceAt(now)
	return e
}

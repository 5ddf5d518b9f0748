package dpop

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"time"

	keystile "keystile.dev/keystile"
)

const (
	// MaxAge is how old a proof may be by its "iat".
	MaxAge = time.Minute
	// MaxAhead is how far a sender's clock may be before ours. FAPI 2.0 asks for 10 s at
	// least and 60 s at most.
	MaxAhead = 30 * time.Second

	digestLength = 43 // of 32 bytes as base64url
)

// Expected is what a proof must say for one request.
type Expected struct {
	// Method is that of the request; methods are case-sensitive.
	Method string
	// URL is that of the request as its caller used it; query and fragment do not count.
	URL string
	// Token is the access token that was presented with the proof; empty at
	// endpoints where there is none, and "ath" is not looked at.
	Token keystile.Secret
	// Thumbprint is the key that the token, code or grant is bound to; empty: any key.
	Thumbprint string
	// Nonce says whether a nonce is one of ours and still good; nil: none is asked
	// for. It is asked with "" where the proof has none.
	Nonce func(nonce string) bool
}

// Check says whether the proof is one for a request (RFC 9449, section 4.3, checks
// 8 to 12), now. Every error is a *Fault. It spends nothing.
func (p *Proof) Check(want Expected, now time.Time) error {
	if p.Method != want.Method {
		return fault("htm", "it is not the method of the request")
	}
	asked, err := NormalizeURL(want.URL)
	if err != nil || p.URL != asked {
		return fault("htu", "it is not the URL of the request")
	}
	switch {
	case p.IssuedAt.After(now.Add(MaxAhead)):
		return fault("iat", "it is in the future: is your clock right?")
	case now.Sub(p.IssuedAt) > MaxAge:
		return fault("iat", "it is more than a minute ago: make a proof for each request, and keep your clock right")
	case want.Nonce != nil && !want.Nonce(p.ServerNonce):
		return fault("nonce", "a nonce of this server is asked for: use the one in DPoP-Nonce")
	case want.Thumbprint != "" && !equal(p.Thumbprint, want.Thumbprint):
		return fault("jwk", "it is not the key that the token is bound to")
	case want.Token != "" && !equal(p.TokenDigest, TokenDigest(want.Token)):
		return fault("ath", "it is missing or is not that of the access token")
	}
	return nil
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// TokenDigest is what "ath" is for a token: its SHA-256 as base64url (section 4.2).
func TokenDigest(token keystile.Secret) string {
	sum := sha256.Sum256([]byte(token.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Nonce is what a proof spends: its id, among those of its key. Its members are those
// of package replay's Nonce, which it converts to.
type Nonce struct {
	Scope, Value     string
	Stamp, LastValid time.Time
}

// Ledger remembers what was spent. Claim answers nil once for a nonce and an error
// that wraps [keystile.ErrReplayed] ever after; any other error means that it cannot
// tell, and refuses. It is safe for concurrent use and may wait for a disk or a server.
type Ledger interface {
	Claim(ctx context.Context, n Nonce) error
}

// Nonce is what the proof spends. Ids are counted for each key by itself: nobody can
// spend another's.
func (p *Proof) Nonce() Nonce {
	return Nonce{Scope: "dpop:" + p.Thumbprint, Value: p.ID, Stamp: p.IssuedAt, LastValid: p.IssuedAt.Add(MaxAge)}
}

// Spend spends the proof (section 11.1). Call it last, after everything else allowed
// the request; its errors are the ledger's.
func (p *Proof) Spend(ctx context.Context, ledger Ledger) error { return ledger.Claim(ctx, p.Nonce()) }

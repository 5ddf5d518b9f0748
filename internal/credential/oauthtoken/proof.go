package oauthtoken

import (
	"context"
	"errors"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dpop"
)

// headerProof is DPoP in its canonical form.
const headerProof = "Dpop"

// Ledger remembers the proofs that were spent. Both methods are safe for concurrent use;
// an error that is not ErrReplayed means "cannot tell".
type Ledger interface {
	Claim(ctx context.Context, n dpop.Nonce) error
	// Spent says what Claim would say, and changes nothing.
	Spent(ctx context.Context, n dpop.Nonce) error
}

// shown is the proof that came with a token, and the request that it has to be for. It
// belongs to one request; Verify reads the proof, and Claim spends what Verify read.
type shown struct {
	text, method, url string
	// certificate is that of the connection; empty: none.
	certificate string
	proof       *dpop.Proof
}

// certificate is the thumbprint of the one that a token without a proof came with.
type certificate string

// presentedWith is the thumbprint of the certificate that a token came with; empty: none.
func presentedWith(p *keystile.Presented) string {
	switch d := p.Detail.(type) {
	case certificate:
		return string(d)
	case *shown:
		return d.certificate
	}
	return ""
}

// shownWith reads the proof's field: exactly one (RFC 9449, section 4.3).
func shownWith(r *keystile.Request) (*shown, error) {
	text, there, err := dpop.Sole(r.Header[headerProof])
	if err != nil || !there {
		return nil, malformed("there is not exactly one proof in DPoP")
	}
	return &shown{text: text, method: r.Method, url: r.Scheme + "://" + r.Host + r.Path, certificate: r.Certificate}, nil
}

var (
	needsProof = keystile.Reject(keystile.ReasonSignatureInvalid, "the token is bound to a key, and came as a bearer token")
	// needsCertificate: also where it cannot be told which certificate a request came with
	// (RFC 8705, section 3).
	needsCertificate = keystile.Reject(keystile.ReasonSignatureInvalid, "the token is bound to a certificate, and came without it")
	notBound         = keystile.Reject(keystile.ReasonSignatureInvalid, "the token is bound to no key, and came with a proof")
)

// checkProof says whether a token came as it has to: one that is bound to a key with a
// proof of it for this request, any other without (RFC 9449, sections 7.1 and 7.2).
func checkProof(p *keystile.Presented, thumbprint string, now time.Time) error {
	s, ok := p.Detail.(*shown)
	switch {
	case thumbprint == "" && !ok:
		return nil
	case thumbprint == "":
		return notBound
	case !ok:
		return needsProof
	}
	proof, err := dpop.Parse(s.text)
	if err == nil {
		err = proof.Check(dpop.Expected{Method: s.method, URL: s.url, Token: p.Value, Thumbprint: thumbprint}, now)
	}
	if err != nil {
		return keystile.Reject(keystile.ReasonSignatureInvalid, err.Error())
	}
	s.proof = proof
	return nil
}

// Claim implements keystile.Claimer: a proof is good once (section 11.1).
func (k *Kind) Claim(ctx context.Context, p keystile.Presented) error {
	if s, ok := p.Detail.(*shown); ok {
		return k.spend(ctx, s, k.ledger.Claim)
	}
	return nil
}

// Spent implements keystile.Claimer.
func (k *Kind) Spent(ctx context.Context, p keystile.Presented) error {
	if s, ok := p.Detail.(*shown); ok {
		return k.spend(ctx, s, k.ledger.Spent)
	}
	return nil
}

func (k *Kind) spend(ctx context.Context, s *shown, ask func(context.Context, dpop.Nonce) error) error {
	if s.proof == nil {
		return errors.New("spend a proof: it was not verified")
	}
	return ask(ctx, s.proof.Nonce())
}

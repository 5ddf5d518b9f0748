package oidc

import (
	"context"
	"errors"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dpop"
)

// confirmation is "cnf" (RFC 7800, section 3.1) of a token that is bound to a key (RFC
// 9449, section 6.1), or to a certificate (RFC 8705, section 3.1).
type confirmation struct {
	Thumbprint  string `json:"jkt,omitempty"`
	Certificate string `json:"x5t#S256,omitempty"`
}

func confirmationOf(thumbprint, certificate string) *confirmation {
	if thumbprint == "" && certificate == "" {
		return nil
	}
	return &confirmation{thumbprint, certificate}
}

// proven is the key that a client proves to hold with its token request (RFC 9449,
// section 5); a client that has to and sends no proof is refused.
func (s *Server) proven(ctx context.Context, r *request, c *client) (thumbprint string, err error) {
	thumbprint, err = s.shown(ctx, r, c)
	if err == nil && thumbprint == "" && c.Client.DPoP {
		return "", refuse(dpop.CodeInvalidProof, "The client has to prove that it holds a key (DPoP).")
	}
	return thumbprint, err
}

// shown is the key that a client proves to hold with a request; empty: it sends no proof.
// A field that is there twice is no proof and not none.
func (s *Server) shown(ctx context.Context, r *request, c *client) (thumbprint string, err error) {
	text, there, err := dpop.Sole(r.http.Header["Dpop"])
	if err == nil && !there {
		return "", nil
	}
	var proof *dpop.Proof
	if err == nil {
		proof, err = dpop.Parse(text)
	}
	if err == nil {
		err = proof.Check(dpop.Expected{Method: r.http.Method, URL: s.at(r.http, r.http.URL.Path)}, s.now())
	}
	var fault *dpop.Fault
	if errors.As(err, &fault) {
		return "", refuse(fault.Code(), fault.Error())
	}
	if err != nil {
		return "", err
	}
	if now := s.now(); c.Client.DPoPNonce && !s.fresh(proof.ServerNonce, now) {
		return "", s.needsNonce(now)
	}
	n := proof.Nonce()
	err = s.o.Claim(ctx, n.Scope, n.Value, n.Stamp, n.LastValid)
	if errors.Is(err, keystile.ErrReplayed) {
		return "", refuse(dpop.CodeInvalidProof, "The proof was used before.")
	}
	return proof.Thumbprint, err
}

package dpop

import (
	keystile "keystile.dev/keystile"
)

// The error codes of RFC 9449, sections 5 and 8.
const (
	CodeInvalidProof = "invalid_dpop_proof"
	CodeUseNonce     = "use_dpop_nonce"
)

// Fault is what is wrong with a proof. It wraps [keystile.ErrRejected]. Its text
// quotes nothing of the proof, and may be shown to its sender.
type Fault struct {
	// Field is the member or header parameter: "jti", "htu", "jwk"; "DPoP" for the field as a whole.
	Field string
	// Problem says what is wrong with it.
	Problem string
}

// Error implements error: "DPoP proof: field: problem".
func (f *Fault) Error() string { return "DPoP proof: " + f.Field + ": " + f.Problem }

// Unwrap makes a fault a "no".
func (f *Fault) Unwrap() error { return keystile.ErrRejected }

// Code is the error code for the proof's sender. A nonce that is missing, old or
// not ours asks for another proof; anything else is an invalid one.
func (f *Fault) Code() string {
	if f.Field == "nonce" {
		return CodeUseNonce
	}
	return CodeInvalidProof
}

func fault(field, problem string) error { return &Fault{Field: field, Problem: problem} }

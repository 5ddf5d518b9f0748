// Package mtls knows clients by their certificates (RFC 8705): whether one that TLS has
// proven is of a client, and the thumbprint that tokens are bound to.
//
// It speaks no TLS: the listener has the caller prove that it holds the key.
package mtls

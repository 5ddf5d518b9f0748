// Package keyring holds the keys of the house and hands out what can be done
// with them, never the keys themselves.
//
//	master key (file or environment, 32 bytes)
//	   └─ wraps ─ sealing keyset (Tink, AES-256-GCM) ── seals ─┬─ peppers
//	                                                           ├─ signing keys
//	                                                           └─ whatever must be readable again
//
// A sealed value is bound to its place (table, row, column), so that rows
// cannot be swapped in the database. A pepper makes the stored digests of
// secrets: HMAC-SHA-256(pepper, SHA-256(secret)).
//
// It does no I/O: callers load and store the sealed bytes.
package keyring

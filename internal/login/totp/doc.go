// Package totp makes and checks time-based one-time passwords (RFC 6238), and
// writes their secrets for authenticator apps: as an otpauth URI and as a QR code.
//
// That a time step is accepted once for each user is for the store to say; this
// package tells which step a code belongs to.
package totp

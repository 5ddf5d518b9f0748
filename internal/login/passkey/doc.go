// Package passkey is the relying party of WebAuthn level 3
// (https://www.w3.org/TR/webauthn-3/): it makes the options of a ceremony and
// verifies the browser's response.
//
// User verification (PIN, fingerprint) is required at registration and at every use, so a passkey
// alone proves two factors. Attestation is not asked for: any authenticator is welcome.
//
// State of a ceremony and credential records are opaque bytes to the caller, who keeps them
// secret (sealed), single-use and apart for each user.
package passkey

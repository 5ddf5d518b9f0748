package browser

// configuration takes the address to listen on, the public URL and the mail server. The
// identity provider is on this machine.
const configuration = `
listen: %s
public_url: %s
tls: {mode: dev}
mail: {server: %s, security: none, from: Keystile <keystile@example.com>}
outbound: {allow_private: [127.0.0.0/8]}
`

// password is everybody's.
const password = "correct horse battery staple"

// providers takes the issuer, our client there and its secret.
const providers = `
identity_providers:
  - name: okta
    organization: sibaya-power
    issuer: %s
    create_users: true
    sign_in: {client_id: %q, client_secret: %q, label: Sign in with Okta}
`

// people are one user a test, so that no test waits for another's codes.
const people = `
organizations:
  - {id: sibaya-power, name: Sibaya Power}
  - {id: strict, name: Strict, mfa: required}
users:
  - {username: plain@example.com, password: correct horse battery staple, organization: sibaya-power}
  - {username: script@example.com, password: correct horse battery staple, organization: sibaya-power}
  - {username: enrol@example.com, password: correct horse battery staple, organization: sibaya-power}
  - {username: recover@example.com, password: correct horse battery staple, organization: sibaya-power}
  - {username: strict@example.com, password: correct horse battery staple, organization: strict}
  - {username: passkey@example.com, password: correct horse battery staple, organization: sibaya-power}
  - {username: reset@example.com, password: correct horse battery staple, organization: sibaya-power}
  - {username: forced@example.com, password: correct horse battery staple, organization: sibaya-power, must_change_password: true}
  - {username: sessions@example.com, password: correct horse battery staple, organization: sibaya-power}
  - {username: forged@example.com, password: correct horse battery staple, organization: sibaya-power}
  - {username: named@example.com, password: correct horse battery staple, organization: sibaya-power}
  - {username: still@example.com, password: correct horse battery staple, organization: sibaya-power, totp_secret: JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP}
  - {username: keys@example.com, password: correct horse battery staple, organization: sibaya-power, totp_secret: JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP}
  - {username: strict2@example.com, password: correct horse battery staple, organization: strict}
  - {username: forced2@example.com, password: correct horse battery staple, organization: sibaya-power, must_change_password: true}
  - {username: looked@example.com, password: correct horse battery staple, organization: sibaya-power}
`

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

// roofTools and permits are applications of the world: the first nobody authorised yet.
const (
	roofTools = "7c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b01"
	permits   = "7c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b02"
)

// people are one user a test, so that no test waits for another's codes.
const people = `
organizations:
  - {id: sibaya-power, name: Sibaya Power}
  - {id: strict, name: Strict, mfa: required}
  - {id: sunny-homes, name: Sunny Homes, tenant_id: 0b9d1a52-5a8a-4b8e-9a55-7d3c2e1f0a01}
  - {id: roof-tools-inc, name: Roof Tools Inc}
  - {id: platform, name: The Platform}
roles:
  - {id: role_viewer, name: Viewer, scopes: ["telemetry:read", "designs:*"]}
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
  - {username: tenant@example.com, name: Tara Tenant, password: correct horse battery staple, organization: sunny-homes, admin_role: org_admin}
  - {username: maker@example.com, name: Max Maker, password: correct horse battery staple, organization: roof-tools-inc, admin_role: org_developer}
  - {username: reviewer@example.com, name: Rita Reviewer, password: correct horse battery staple, organization: platform, admin_role: platform_reviewer}
  - {username: platform@example.com, name: Paul Platform, password: correct horse battery staple, organization: platform, admin_role: platform_admin}
  - {username: apache@example.com, name: Apache Visitor, password: correct horse battery staple, organization: sibaya-power}
  - {username: apacheno@example.com, password: correct horse battery staple, organization: sibaya-power}
  - {username: oauth@example.com, name: Olga Oauth, password: correct horse battery staple, organization: sibaya-power, role_id: role_viewer}
  - {username: plainroof@example.com, password: correct horse battery staple, organization: sunny-homes}
  - {username: answers@example.com, password: correct horse battery staple, organization: sunny-homes}
  - {username: leaves@example.com, password: correct horse battery staple, organization: sunny-homes}
applications:
  - {id: 7c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b01, name: Roof Tools, description: Plans roofs and their racking from your designs, homepage: "https://roof.example/", kind: embedded, environment: production, organization: roof-tools-inc, permissions: ["designs:read", "racking_arrays:read", "proposals:write"], launch_url: "https://app.roof.example/embed", review: approved}
  - {id: 7c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b02, name: Permit Filer, description: Files permits with the city, kind: backend, environment: production, organization: roof-tools-inc, permissions: ["designs:read"], review: approved}
  - {id: 7c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b03, name: Loan Desk, description: Offers loans, kind: backend, environment: production, organization: roof-tools-inc, permissions: ["proposals:read"], review: suspended}
authorizations:
  - {application: 7c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b02, tenant: sunny-homes, permissions: ["designs:read"]}
`

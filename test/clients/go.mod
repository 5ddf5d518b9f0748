// The client libraries are no dependencies of the product: this is a module of its own.
module keystile.dev/keystile/test/clients

go 1.26.0

require (
	github.com/coreos/go-oidc/v3 v3.21.0
	golang.org/x/net v0.60.0
	golang.org/x/oauth2 v0.37.0
	keystile.dev/keystile v0.0.0
)

require github.com/go-jose/go-jose/v4 v4.1.8

replace keystile.dev/keystile => ../..

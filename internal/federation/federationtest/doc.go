// Package federationtest is a small OpenID provider for tests: real HTTP, real keys, and
// as strict as the standards let one be with its clients. A test spoils what it likes of
// what the provider says.
package federationtest

// Package people signs users in beside a running server, for tests that need
// session tokens by the thousand: it writes users and sessions into the store and
// mints their tokens with the store's own keys, as another server on that store does.
package people

// Package credentialtest is the behaviour every kind of credential must show,
// whatever it is made of. A kind's own tests run it with a Fixture.
package credentialtest

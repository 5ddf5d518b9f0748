// Package chaos breaks things under the real program and wants it to keep its
// promises: signals under load, kill -9 in the middle of an apply, a second
// server, a taken port, a full disk, a store that is locked, damaged or
// read-only, floods of unknown keys, and two servers whose shared engines die.
//
// What needs a clock of its own is tested where the clock is a parameter: a step
// backwards in internal/limit, internal/feed and internal/credential/warm; that
// and the end of the grace period after a lost store, with the parts of the
// server put together, in cmd/keystile.
//
// Run with KEYSTILE_TEST_POSTGRES and KEYSTILE_TEST_VALKEY, as test/engines.sh
// sets them; without, the tests of several servers fail and say so.
package chaos

// Package usage gathers what is worth knowing of a credential's use, newest
// value a key, and stores it in batches: no request ever waits for such a write.
// What is gathered and not yet stored is lost by kill -9: at most a second.
package usage

// Package usage gathers what is worth knowing of a credential's use and stores it
// in batches: no request ever waits for such a write.
//
//   - [Batcher] keeps the newest value a key: when was it last used.
//   - [Meter] counts the requests of API keys by the hour, and notes which scopes,
//     sites and routes they really used. It observes the gate.
//
// What is gathered and not yet stored is lost by kill -9: at most a second of a
// Batcher; of a Meter two seconds of a key that is used now and then, thirty of one
// that is in use without a pause, and more while very many keys are in use at once,
// because each of its writes is bounded too.
package usage

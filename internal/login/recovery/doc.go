// Package recovery makes recovery codes: what a user keeps on paper for the day their
// second factor is lost. Each is good once; only digests are kept, by the store.
package recovery

// Package gather writes what many callers want durable in transactions that they
// share:
//
//	caller ─┐
//	caller ─┼─> one batch ─> one transaction, one fsync ─> an answer for each
//	caller ─┘
//
// Each caller waits until its own is durable. A caller that comes alone waits for
// nobody.
package gather

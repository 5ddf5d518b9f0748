// Package dialecttest holds the golden conversations of the dialects: what each
// says for every reason of the gate and for an upstream's failures.
//
//	testdata/NAME.txtar    one section for each reason: status, type, body
//
// A platform's clients parse these bodies, so a change in a golden file is a
// change of the wire. After a deliberate one:
//
//	go test ./internal/dialect/dialecttest -update
package dialecttest

// Package replaytest is the behaviour every replay.Ledger must show, run on each
// of them by its own tests:
//
//	replaytest.Run(t, func(t *testing.T, o replaytest.Options) replaytest.Harness { … })
//
// It also has a clock that moves when told to, and a table of claims in memory, which
// stands for the store. It is for tests only.
package replaytest

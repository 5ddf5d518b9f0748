// Package audit records the gate's decisions, and has the audit log sealed.
//
// What managers do is recorded by the store, in the transaction that does it,
// and is never dropped. Decisions are many; they are recorded by a written rule:
//
//   - every refusal, up to 100 a second for each organisation (and for the
//     callers who belong to none, together);
//   - the first of each (credential, reason) in a minute, always;
//   - one allowed request in a hundred besides, up to 200 a second.
//
// Records go through a bounded queue to a writer that stores them in batches, at
// most a second later: kill -9 may lose that second. When the queue is full a
// record is dropped and counted; no request ever waits for its record.
//
// A [Notary] has the chains sealed at intervals and keeps the checkpoints outside
// the store, one JSON object a line, where whoever can write to the store cannot
// reach them.
package audit

// Package webhook tells partners' servers what happened to their applications.
//
//	change ── same transaction ──> outbox ── turn of the webhook ──> attempt ──> log
//	                                 ^                                 |
//	                                 '------ later, unless 8 failed ---'
//
// The store holds the outbox and whose turn it is: see its WebhookTurn. A webhook
// is told by one server at a time, one delivery after the other, so that a slow
// endpoint holds up nobody but itself. A server that dies loses its turn and not
// the delivery, which is then sent a second time with the same id: at least once.
//
// Two forms exist. The platform's (protocols 2.4) is a GET of a URL made of a
// template, [Template]; the other is a POST as Standard Webhooks signs it. An
// endpoint that keeps failing is left alone for a while: [Circuit].
//
// Where a URL may lead is not for this package: it is asked of whoever sends.
package webhook

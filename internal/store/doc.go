// Package store keeps what must survive: organisations, sites, roles, API
// keys, admin tokens, sealed keys, the audit log and the feed of changes. It
// keeps them in one SQLite file or in a PostgreSQL database, with one SQL text
// for both.
//
// It is not a cache, and not a place for rules about who may do what: it
// refuses only what would make its own contents contradict themselves (a
// duplicate id, a key that names another organisation's site). It never sees a
// secret in clear: API keys and admin tokens arrive as keyed digests, readable
// keys arrive sealed.
//
//	Mutate(ctx, actor, fn)
//	   |  one transaction
//	   |    fn: CreateSite, UpdateAPIKey, RevokeAPIKey, ...
//	   |        each  1 locks the audit chain of its organisation
//	   |              2 checks what it refers to
//	   |              3 writes rows, unless nothing differs
//	   |              4 notes an audit event and what caches must drop
//	   |    audit events, chained by hash, one chain an organisation
//	   |    changes, each with the next revision of the feed
//	   |  commit
//	   v
//	OnCommit listeners, then the caller
//
// # Locks
//
// On SQLite there is one writer at a time. On PostgreSQL transactions are READ
// COMMITTED, and the row of an organisation's audit chain is the lock of
// everything that belongs to it: whatever changes an organisation, its sites
// or its keys takes that row first, and reads through a [Tx] take it and read
// again. So what a Tx has read by id does not change under it, organisations
// do not wait for each other, and a transaction that touches several may be
// rolled back as a deadlock's victim and run again. The feed's one row is
// locked last, between the final statement and the commit, so revisions become
// visible in their own order.
//
// # Errors
//
// [keystile.ErrNotFound], [keystile.ErrConflict] and *[keystile.Invalid] are
// answers. An error that wraps [keystile.ErrUnavailable] means that the store
// is away (disk full, file read-only, locked or damaged, server unreachable,
// store closed) and says what to do about it; nothing may be concluded from
// it, least of all "no such key". What is neither is a fault of the program
// and must be treated the same.
//
// # To add a durable thing
//
// A type in the root package; a migration for each engine with the next
// number; a file in queries, and sqlc as sqlc.yaml says; a file here named
// after the thing; a case in storetest.
package store

// Package state is the declarative state file: it reads files, makes a store
// match them, and writes a store down as such a file.
//
//	files -> Parse -> World -> Apply ---- one store.Mutate ----> store
//	           |                 |  look up what the files refer to
//	           |                 |  before: delete what would be in the way
//	           |                 |  write:  create, update
//	           |                 |  after:  delete, disable
//	           |                 `-> Summary: + created  ~ updated  - deleted
//	           `-> FILE:LINE: field: problem; remedy, all of them
//
//	store -> Export -> a file that Apply takes back as "no changes"
//
// Apply is all or nothing, and applying twice changes nothing the second time.
// What operations did in an emergency is not undone by a file that does not know
// of it: a revoked key stays revoked and a secret that was rotated out stays
// out, with a warning.
//
// To add a collection: one file with its shape (the struct with yaml tags), its
// collection methods and its part of Export; then a line in document, in
// World.collections and in exporters.
//
// It is not for backups (secrets that must be readable again are in a backup
// only) nor for millions of objects: those are imported as JSON Lines or CSV.
package state

// Package backup writes a store into a file and reads it back, whichever engine
// either store is on: a backup of SQLite restores into PostgreSQL and the other
// way round.
//
//	keystile backup 1\n
//	gzip: H header                 when, of which schema, under which master key
//	      T table  R row  R row    each table after those that it refers to
//	      T table  R row ...
//	      E trailer                how many rows, and the SHA-256 of all before it,
//	                               sealed under the store's keys
//
// A frame is its letter and its contents: of H, T and E a length and JSON; of R
// a value for each column, each a letter and what it takes. Numbers are varints
// (https://protobuf.dev/programming-guides/encoding/#varints, zigzag where signed).
//
// A backup holds what the store holds: digests of secrets and sealed values, and
// no key to open them. A restore reads the whole file before it writes anything:
// it was cut short, altered, or sealed under other keys, or it is whole.
package backup

// Package config reads keystile.yaml, environment variables and flags into one
// Config, strictly, and reports everything that is wrong with them at once.
//
//	flag --tls-mode  >  KEYSTILE_TLS_MODE  >  keystile.yaml  >  default
//	          \_______________|___________________/
//	                          v
//	                        Load  ->  Config, or FILE:LINE: field: problem; remedy
//
// The structs here, with their tags, are the only description of the options:
// the JSON Schema, the reference page, the variables and the flags are made from
// them. To add an option, add a field with its tags; if it has rules that a tag
// cannot say, add them in check.go; then write the reference page anew with
// go test ./internal/config -update.
//
// It reads and checks words, not meanings: whether two routes match the same
// request is for package policy, and whether the master key opens the store for
// package keyring. Nothing outside cmd imports it: rooms take plain values.
package config

// Package manage holds the operations that change what Keystile knows:
// organisations, sites, roles, API keys, signing keys and admin tokens.
//
// It is free of any transport. The management API, the command line and the
// declarative state file all end here, so that a rule is written once:
//
//	POST /v1/keys   keystile key create   keystile apply
//	      \                |                  /
//	       `---- Service.CreateKey(Tx) ------'
//	                       |
//	            checks everything at once          keystile.Invalid, one a member
//	                       |
//	            one store.Mutate                   row + audit event + feed change
//
// Each operation is one transaction. Its twin ending in Tx works inside a
// transaction that the caller holds, for whoever changes many things at once.
//
// [Service.For] narrows a Service to what one admin token may touch. A narrowed
// Service answers keystile.ErrNotFound for things of other organisations, as if
// they were not there, and [ErrNotPermitted] for what no confined token may do.
//
// Secrets are returned once, by the operation that made them. They are kept as
// keyed digests, those of HS256 signing keys sealed, private keys not at all; none
// appears in an audit event or an error.
//
// It is not the place for requests being checked: that is the gate's, which
// shares nothing with this package but the store.
package manage

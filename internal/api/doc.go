// Package api is the management API, /v1, over HTTP: a thin wire around package
// manage, which holds the rules.
//
//	request
//	  |  readable at all?      path and query have one reading, else refused
//	  |  who asks?             admin token; 401. Also for paths that do not exist:
//	  |                        nothing below /v1 answers a stranger unless the
//	  |                        table of operations says that it is open
//	  |  which operation?      404, 405
//	  |  may it be asked?      scope and reach from the same table; 403
//	  v
//	huma: body and parameters against the schema; 400, 413, 415, 422
//	  v
//	one handler: manage.Service narrowed to the caller's token
//	  v
//	answer, or an error through package problem
//
// The table in operations.go lists every operation with the scope it asks for;
// a handler that is not in the table cannot be registered and an entry without
// a handler keeps the server from starting. The OpenAPI 3.1 document is
// generated from the same code and served at /v1/openapi.json.
//
// An API key opens nothing here except /v1/keys/self: it may read about itself and
// end itself, and can never make or widen a key. Reports of leaked keys are taken
// from anybody, and queued.
//
// A POST with an Idempotency-Key has its effect once: the note of it is written in
// the transaction of the change (idempotency.go).
//
// To add an operation: an entry in the table, a handler in the file of its
// resource, and its line in that file's register function.
package api

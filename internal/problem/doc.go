// Package problem is the one table from a decision or an error to HTTP: the
// status, the stable code and the words a caller may see, as problem details
// (RFC 9457).
//
//	keystile.Decision --ForDecision--+
//	error             --From---------+--> Problem --Write--> application/problem+json
//	HTTP status       --ForStatus----+
//
// It is the wall between what Keystile knows and what a caller is told. An
// error that the table does not know is a bare 500: its text stays inside.
// A refusal's true reason stays in the audit log and in explain; the code that
// leaves is the reason's own only where that helps no attacker (see Told).
//
// It is not for the error bodies of the platforms' own wire formats: those are
// in package dialect.
package problem

// Package gate is the one path every request takes.
//
//	0 route         which kinds it accepts, what it asks          no route -> refusal
//	1 find          one pure classifier names the kind            none / two / malformed -> refusal
//	2 authenticate  that kind's Verify
//	3 authorize     environment, address, resource, scope, condition
//	4 limit         only requests that would be allowed draw on the quota
//	5 claim         what may be used once is spent here, last: a refusal before it burns nothing
//	6 record        on every exit, refusals too; never a write in the request's path
//	7 decide
//
// Its promises, each kept by a test:
//
//   - It always answers: a panic below it is a refusal.
//   - Not being able to decide is a refusal: an error from the store, from a
//     limiter that must not fail open, from a condition.
//   - There is no second path: every enforcement point calls Check, and explain
//     walks the same steps.
//   - A credential that is present but malformed is a refusal, never anonymous.
//   - A bad credential never falls through to another kind.
//
// It knows neither HTTP nor SQL.
package gate

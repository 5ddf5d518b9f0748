// Package decisionapi is POST /v1/decisions: the gate's decision as JSON, for
// callers that enforce it themselves.
//
//	{"method":"GET","url":"https://api.example.com/t?site_id=S","headers":{"x-api-key":["..."]},"ip":"203.0.113.9"}
//	  -> {"allow":true,"status":200,"code":"","principal":{...},"limit":{...},"request_id":"..."}
//
//	{"requests":[{...},{...}]}  ->  {"decisions":[{...},{...}]}   at most 100, answered in order
//
// method, url (absolute, as the caller's caller sent it) and ip are required;
// headers maps a name to a list of values; body is base64, and without it
// routes that need a body are refused.
//
// A decision is answered with 200 whatever it says. A request that is merely
// refused (an ambiguous path, an unreadable ip) is a decision too; only input
// that is not as above is answered with 400 and decides nothing. The input is
// read strictly: unknown and repeated members, null, and text that is not
// faithful UTF-8 are refused, because two readers would take them differently.
//
// Whoever may ask is trusted with the true reason code, which other points do
// not tell. Therefore the handler does not exist without an Authorize.
package decisionapi

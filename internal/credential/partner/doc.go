// Package partner proves the temporary keys that partner applications act with
// in a tenant (kind "partner").
//
//	ak_…  application key   good on /partner_applications, where it is exchanged; refused here
//	st_…  session token     good for one exchange; refused here
//	tk_…  temporary key     13 hours, one tenant, what was asked and granted
//
// A temporary key hangs on its application, on the tenant's authorization, on the
// tenant, and on the user it carries. All of them are read with it, in one
// look-up, and a change to any of them drops it from memory: what it may do is
// what holds at the moment of the request, never what held when it was made.
//
// Making keys is package internal/partner's. Source: Aurora's partner
// authorization flows (protocols 2.2, 2.8).
package partner

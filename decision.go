package keystile

import (
	"net/http"
	"time"
)

// Reason is why a request was refused, in the words of the audit log, explain
// and metrics (contract, section 4). A caller sees it only where it helps no
// attacker.
type Reason string

// The reasons. ReasonNone stands for an allowed request.
const (
	ReasonNone                 Reason = ""
	ReasonCredentialMissing    Reason = "credential_missing"
	ReasonCredentialMalformed  Reason = "credential_malformed"
	ReasonCredentialUnknown    Reason = "credential_unknown"
	ReasonCredentialExpired    Reason = "credential_expired"
	ReasonCredentialRevoked    Reason = "credential_revoked"
	ReasonSignatureInvalid     Reason = "signature_invalid"
	ReasonClockSkew            Reason = "clock_skew"
	ReasonReplayed             Reason = "replayed"
	ReasonKindNotAccepted      Reason = "kind_not_accepted"
	ReasonEnvironmentMismatch  Reason = "environment_mismatch"
	ReasonTenantNotAuthorized  Reason = "tenant_not_authorized"
	ReasonResourceNotPermitted Reason = "resource_not_permitted"
	ReasonScopeMissing         Reason = "scope_missing"
	ReasonConditionFailed      Reason = "condition_failed"
	ReasonAddressNotAllowed    Reason = "address_not_allowed"
	ReasonRateLimited          Reason = "rate_limited"
	ReasonStoreUnavailable     Reason = "store_unavailable"
	ReasonNoRoute              Reason = "no_route"
	// ReasonRequestInvalid: a path two servers could read differently, a missing
	// or repeated resource parameter, an unreadable client address.
	ReasonRequestInvalid Reason = "request_invalid"
	// ReasonBodyTooLarge: a body that had to be read is over its limit.
	ReasonBodyTooLarge Reason = "body_too_large"
)

// Reasons lists every reason for refusal, for metrics and documents.
var Reasons = []Reason{
	ReasonCredentialMissing, ReasonCredentialMalformed, ReasonCredentialUnknown, ReasonCredentialExpired,
	ReasonCredentialRevoked, ReasonSignatureInvalid, ReasonClockSkew, ReasonReplayed, ReasonKindNotAccepted,
	ReasonEnvironmentMismatch, ReasonTenantNotAuthorized, ReasonResourceNotPermitted, ReasonScopeMissing,
	ReasonConditionFailed, ReasonAddressNotAllowed, ReasonRateLimited, ReasonStoreUnavailable, ReasonNoRoute,
	ReasonRequestInvalid, ReasonBodyTooLarge,
}

// Status is the HTTP status a refusal for this reason has (contract, "Details,
// continued"); 200 for ReasonNone. A route may answer 404 in place of 403 for
// a resource that is not permitted; Decision.Status knows that.
func (r Reason) Status() int {
	switch r {
	case ReasonNone:
		return http.StatusOK
	case ReasonCredentialMissing, ReasonCredentialMalformed, ReasonCredentialUnknown, ReasonCredentialExpired,
		ReasonCredentialRevoked, ReasonSignatureInvalid, ReasonClockSkew, ReasonReplayed, ReasonKindNotAccepted:
		return http.StatusUnauthorized
	case ReasonEnvironmentMismatch, ReasonTenantNotAuthorized, ReasonResourceNotPermitted, ReasonScopeMissing,
		ReasonConditionFailed, ReasonAddressNotAllowed:
		return http.StatusForbidden
	case ReasonRateLimited:
		return http.StatusTooManyRequests
	case ReasonNoRoute:
		return http.StatusNotFound
	case ReasonRequestInvalid:
		return http.StatusBadRequest
	case ReasonBodyTooLarge:
		return http.StatusRequestEntityTooLarge
	case ReasonStoreUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusServiceUnavailable
}

// Decision is the gate's answer to one request. The zero Decision is not an
// allowance: Allowed must be set.
type Decision struct {
	// Allowed says that the request may go on.
	Allowed bool
	// Reason is why not; ReasonNone if allowed.
	Reason Reason
	// Cause is the internal explanation, for the log and explain; never sent to a caller.
	Cause string
	// Public is text that helps the caller mend the request, safe to send:
	// "site_id is missing". Empty where silence is safer.
	Public string
	// StepUp says that the caller is known and may do this once they have signed in
	// anew, as Route.Auth says (RFC 9470). Reason is ReasonConditionFailed.
	StepUp bool
	// Observed says that the route only observes: Allowed is true although
	// Reason says what would have refused it.
	Observed bool
	// Principal is who asked; nil if that was not established.
	Principal *Principal
	// Route is the route that matched; nil if none did.
	Route *Route
	// Resource is what was asked for, where the route names one.
	Resource Resource
	// Limit is the tightest limit that applied; its zero value means none did.
	Limit LimitState
	// ResourceMetadata is where a refused caller finds who gives out access tokens for
	// the route (RFC 9728, section 5.1); empty where it takes none. The enforcement point sets it.
	ResourceMetadata string
}

// Status is the HTTP status of the decision: 200 if allowed.
// A step-up is 401 although other failed conditions are 403: what would help is to authenticate.
func (d *Decision) Status() int {
	if d.Allowed {
		return http.StatusOK
	}
	if d.Reason == ReasonNone {
		return http.StatusServiceUnavailable
	}
	if d.StepUp {
		return http.StatusUnauthorized // RFC 9470, section 3: what stands in the way is the authentication
	}
	if d.Reason == ReasonResourceNotPermitted && d.Route != nil && d.Route.NotPermittedStatus != 0 {
		return d.Route.NotPermittedStatus
	}
	return d.Reason.Status()
}

// LimitState is what one rate limit says after a request
// (draft-ietf-httpapi-ratelimit-headers: RateLimit and RateLimit-Policy).
type LimitState struct {
	// Rate is the limit that applied; nil if none.
	Rate *Rate
	// Per says what it counts by.
	Per LimitPer
	// Remaining requests in the window.
	Remaining int
	// Reset is how long until at least one more request is allowed when none
	// remains, else until the whole quota is back.
	Reset time.Duration
}

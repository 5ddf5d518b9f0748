package problem

import (
	"net/http"

	keystile "keystile.dev/keystile"
)

// The codes that are not reasons of their own. Each stands for several causes
// that a caller must not be able to tell apart, or for a plain HTTP status.
const (
	// CodeUnauthorized stands for every reason of 401 that would tell whether a
	// credential exists, lived once, or is of another kind.
	CodeUnauthorized = "unauthorized"
	// CodeForbidden stands for the reasons of 403 that would tell a thief which
	// fence the stolen key met.
	CodeForbidden = "forbidden"
	// CodeStepUp: the caller is known, and must sign in anew or with another factor
	// (RFC 9470, section 3). A thief of the token learns only that it is not enough.
	CodeStepUp = "insufficient_user_authentication"
	// CodeNotFound is what is not there, or may not be known to be.
	CodeNotFound = "not_found"
	// CodeUnavailable: Keystile could not tell; nothing was allowed.
	CodeUnavailable = "unavailable"
	// CodeBadGateway: the upstream could not be reached or answered nonsense.
	CodeBadGateway = "bad_gateway"
	// CodeGatewayTimeout: the upstream did not answer in time.
	CodeGatewayTimeout = "gateway_timeout"
	// CodeInternal is any failure that the table does not know.
	CodeInternal = "internal"
	// CodeInvalid: the input breaks a rule; Problem.Errors says which.
	CodeInvalid = "invalid"
	// CodeMalformed: the input could not be read at all.
	CodeMalformed = "malformed"
	// CodeConflict: the change contradicts what is there.
	CodeConflict = "conflict"
	// CodeBodyTooLarge: the body is over its limit.
	CodeBodyTooLarge = string(keystile.ReasonBodyTooLarge)
)

// Told is the code a caller is given for a reason.
//
//	reason                        code                    why
//	credential_missing            itself                  follows from the request alone
//	credential_malformed          itself                  follows from the request alone
//	credential_unknown, _expired, unauthorized            would tell a guesser that a key
//	  _revoked, kind_not_accepted,                        exists or did
//	  signature_invalid,
//	  clock_skew, replayed
//	scope_missing                 itself                  RFC 6750 has a name for it
//	resource_not_permitted        itself; not_found       the caller named the resource;
//	                              where a route hides it  a hidden one does not show
//	tenant_not_authorized         itself                  the caller named the tenant
//	environment_mismatch,         forbidden               would tell a thief how the
//	  condition_failed,                                   stolen key is fenced
//	  address_not_allowed
//	rate_limited, no_route,       itself                  follows from the request and
//	  request_invalid,                                    its own quota
//	  body_too_large
//	store_unavailable, none       unavailable             outages are nobody's business
func Told(r keystile.Reason) string {
	switch r {
	case keystile.ReasonCredentialMissing, keystile.ReasonCredentialMalformed,
		keystile.ReasonScopeMissing, keystile.ReasonResourceNotPermitted, keystile.ReasonTenantNotAuthorized,
		keystile.ReasonRateLimited, keystile.ReasonNoRoute, keystile.ReasonRequestInvalid, keystile.ReasonBodyTooLarge:
		return string(r)
	case keystile.ReasonCredentialUnknown, keystile.ReasonCredentialExpired, keystile.ReasonCredentialRevoked,
		keystile.ReasonSignatureInvalid, keystile.ReasonClockSkew, keystile.ReasonReplayed, keystile.ReasonKindNotAccepted:
		return CodeUnauthorized
	case keystile.ReasonEnvironmentMismatch, keystile.ReasonConditionFailed, keystile.ReasonAddressNotAllowed:
		return CodeForbidden
	case keystile.ReasonStoreUnavailable, keystile.ReasonNone:
		return CodeUnavailable
	}
	return CodeUnavailable
}

// ForDecision is a refusal as its caller may see it. The decision's Public text
// becomes the detail only where the reason itself is told. An allowance has no
// problem; asking for one is answered with 503, never with a 200.
func ForDecision(d *keystile.Decision) *Problem {
	if d.Allowed {
		return ForStatus(http.StatusServiceUnavailable)
	}
	status, code := d.Status(), Told(d.Reason)
	if d.Reason == keystile.ReasonResourceNotPermitted && status != http.StatusForbidden {
		return ForStatus(status) // the route hides what may not be seen
	}
	if d.StepUp {
		return New(status, CodeStepUp, "sign in again")
	}
	p := New(status, code, "")
	if code == string(d.Reason) {
		p.Detail = d.Public
	}
	return p
}

// ForStatus is the plain problem of an HTTP status, with no detail.
func ForStatus(status int) *Problem { return New(status, CodeOf(status), "") }

// codes are the codes of plain HTTP statuses.
var codes = map[int]string{
	http.StatusBadRequest:            string(keystile.ReasonRequestInvalid),
	http.StatusUnauthorized:          CodeUnauthorized,
	http.StatusForbidden:             CodeForbidden,
	http.StatusNotFound:              CodeNotFound,
	http.StatusMethodNotAllowed:      "method_not_allowed",
	http.StatusConflict:              CodeConflict,
	http.StatusRequestEntityTooLarge: CodeBodyTooLarge,
	http.StatusUnprocessableEntity:   CodeInvalid,
	http.StatusTooManyRequests:       string(keystile.ReasonRateLimited),
	http.StatusBadGateway:            CodeBadGateway,
	http.StatusServiceUnavailable:    CodeUnavailable,
	http.StatusGatewayTimeout:        CodeGatewayTimeout,
}

// CodeOf is the code of a plain HTTP status: of one that the table does not
// know, request_invalid below 500 and internal from there on.
func CodeOf(status int) string {
	if code, ok := codes[status]; ok {
		return code
	}
	if status < http.StatusInternalServerError {
		return string(keystile.ReasonRequestInvalid)
	}
	return CodeInternal
}

package ona

import (
	"encoding/json"
	"net/http"
	"time"

	"keystile.dev/keystile/internal/dialect/door"
)

// The texts of the platform's auth service (the sources' S1, and its SDK's tests).
const (
	textInvalidRequest     = "Invalid request"
	textInvalidCredentials = "Invalid credentials"
	textInactive           = "User account is inactive"
	textInvalidCode        = "Invalid TOTP code"
	textChallengeExpired   = "MFA token expired"
	textTokenExpired       = "Token expired"
	textKeyNotFound        = "API key not found"
	textSiteNotPermitted   = "Site not permitted"
	textInvalidExternal    = "Invalid external token"
	textUnauthorized       = "Unauthorized"
	// textPasswordChange is ours: the platform has no forced change of passwords. It
	// is told to whoever has given the right one.
	textPasswordChange = "Password change required"
)

// refusals that are the same every time.
var (
	invalidRequest = refusal(http.StatusBadRequest, textInvalidRequest)
	tooLarge       = refusal(http.StatusRequestEntityTooLarge, textInvalidRequest)
	unauthorized   = refusal(http.StatusUnauthorized, textUnauthorized)
	tokenExpired   = refusal(http.StatusUnauthorized, textTokenExpired)
	keyNotFound    = refusal(http.StatusUnauthorized, textKeyNotFound)
	unavailable    = refusal(http.StatusServiceUnavailable, "Service unavailable")
)

// refusal is {"error":"TEXT"}.
func refusal(status int, words string) answer {
	return answer{status: status, body: []byte(`{"error":"` + words + `"}`)}
}

// wait is a refusal for now.
func wait(status int, d time.Duration) answer {
	a := refusal(status, text(status))
	a.retryAfter = door.RetryAfter(d)
	return a
}

// success is 200 with v as JSON. A value that cannot be written is a refusal.
func success(v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		return unavailable
	}
	return answer{status: http.StatusOK, body: body}
}

// stamp is a time as the platform's clients read it: Python before 3.11 takes no
// "Z" (protocols 1.9, point 4).
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05+00:00") }

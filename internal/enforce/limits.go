package enforce

import (
	"hash/maphash"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	keystile "keystile.dev/keystile"
)

// policyName names the one quota that is reported. It says nothing of the kind
// of limit: a caller paces itself the same way for each.
const policyName = `"default"`

// WriteLimits tells the caller its quota (draft-ietf-httpapi-ratelimit-headers-11):
//
//	RateLimit-Policy: "default";q=60;w=60      60 requests in 60 s
//	RateLimit: "default";r=0;t=30              none left, 30 s until there is one
//
// Both are whole seconds, rounded up: a caller who believes them is never early.
// A zero state writes nothing.
func WriteLimits(h http.Header, s keystile.LimitState) {
	if s.Rate == nil {
		return
	}
	h["Ratelimit-Policy"] = policyField(s.Rate)
	var room [48]byte
	b := append(room[:0], policyName...)
	b = append(b, ";r="...)
	b = strconv.AppendInt(b, int64(max(s.Remaining, 0)), 10)
	b = append(b, ";t="...)
	b = strconv.AppendInt(b, wholeSeconds(min(s.Reset, s.Rate.Window)), 10) // counters err by less than a microsecond on the safe side
	h["Ratelimit"] = []string{string(b)}
}

// writeRetryAfter sets Retry-After (RFC 9110, section 10.2.3) to the seconds
// until one more request is allowed, at least 1.
func writeRetryAfter(h http.Header, reset time.Duration) {
	h["Retry-After"] = []string{strconv.FormatInt(max(wholeSeconds(reset), 1), 10)}
}

// wholeSeconds rounds up; negative durations are 0.
func wholeSeconds(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d + time.Second - 1) / time.Second)
}

// policyField is the RateLimit-Policy field of a rate. A configuration has few
// rates, so the rendered fields are kept in a small table; a collision only
// costs rendering again. The slices are shared and never written to.
func policyField(r *keystile.Rate) []string {
	key := policyKey{requests: r.Requests, window: r.Window}
	slot := &policyFields[maphash.Comparable(renderingSeed, key)%uint64(len(policyFields))]
	if f := slot.Load(); f != nil && f.of == key {
		return f.value
	}
	text := policyName + ";q=" + strconv.Itoa(r.Requests) + ";w=" + strconv.FormatInt(max(wholeSeconds(r.Window), 1), 10)
	f := &policyRendering{of: key, value: []string{text}}
	slot.Store(f)
	return f.value
}

type policyKey struct {
	requests int
	window   time.Duration
}

type policyRendering struct {
	of    policyKey
	value []string
}

var policyFields [256]atomic.Pointer[policyRendering]

package keystile

import "time"

// KeyUsage is how an API key was used in one hour. Requests count once the key
// is proven: what came with an unknown key is nobody's use.
type KeyUsage struct {
	KeyID string
	// Hour is when it began, UTC.
	Hour time.Time
	// Allowed and Refused count requests.
	Allowed, Refused int64
	// LastAt, LastAddr and LastRoute tell of the last request: when, the caller's
	// address, and the route's ID, empty if no route took it.
	LastAt    time.Time
	LastAddr  string
	LastRoute string
	// Place asks for the last request to be noted with the key itself too.
	Place bool
	// Aspects are what was newly seen to be used.
	Aspects []KeyAspect
}

// KeyAspect is one thing that a key really used in a request that was allowed.
type KeyAspect struct {
	KeyID  string
	Aspect Aspect
	// Name is the scope that a route asked for, the site's id, or the route's ID.
	Name string
	// FirstAt and LastAt bound its use; LastAt may lag by an hour.
	FirstAt, LastAt time.Time
}

// Aspect says what was used.
type Aspect string

// The aspects of a key's use.
const (
	AspectScope Aspect = "scope"
	AspectSite  Aspect = "site"
	AspectRoute Aspect = "route"
)

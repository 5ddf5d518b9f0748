package partner

import (
	"sync"

	"keystile.dev/keystile/internal/store"
)

// Bounds of what is remembered. What is beyond them is forgotten with the rest.
const (
	maxKnownKeys    = 16_384
	maxKnownTenants = 65_536
)

// known remembers what allowed earlier exchanges, so that the next ones need not
// look it up. It may be out of date: every exchange names the revision of the feed
// it was judged at, and the transaction that makes the key finds out whether
// anything changed since. So memory can neither allow what was withdrawn nor, for
// refusals are always looked up, refuse what was granted.
type known struct {
	mu sync.RWMutex
	// asOf is a revision at which all that is remembered was true.
	asOf    int64
	keys    map[[32]byte]*store.ApplicationKeyLookup
	tenants map[tenantOf]*store.TenantLookup
}

// tenantOf names a tenant, by its id on the wire, as an application meets it.
type tenantOf struct{ application, tenant string }

func newKnown() *known {
	k := &known{}
	k.forget()
	return k
}

func (k *known) forget() {
	k.keys, k.tenants = map[[32]byte]*store.ApplicationKeyLookup{}, map[tenantOf]*store.TenantLookup{}
}

// find returns what is remembered of the key with a SHA-256 sum and of the tenant
// of a request, and the revision it is true at.
func (k *known) find(sum [32]byte, r ExchangeRequest) (*judgement, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	key, tenant := k.keys[sum], k.tenants[tenantOf{r.ApplicationID, r.TenantID}]
	if key == nil || tenant == nil {
		return nil, false
	}
	return &judgement{key: key, tenant: tenant, seen: max(k.asOf, min(key.Revision, tenant.Revision))}, true
}

// keep remembers what was just looked up, unless it is older than the rest is.
func (k *known) keep(sum [32]byte, r ExchangeRequest, j *judgement) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if j.seen < k.asOf {
		return
	}
	if len(k.keys) >= maxKnownKeys || len(k.tenants) >= maxKnownTenants {
		k.forget()
	}
	if len(k.keys) == 0 {
		k.asOf = j.seen
	}
	k.keys[sum], k.tenants[tenantOf{r.ApplicationID, r.TenantID}] = j.key, j.tenant
}

// learn takes from a transaction up to where what is remembered is still true.
func (k *known) learn(r *store.ExchangeReport) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case r.Changed:
		k.forget()
		k.asOf = r.Revision
	case r.From <= k.asOf:
		k.asOf = max(k.asOf, r.Revision)
	}
}

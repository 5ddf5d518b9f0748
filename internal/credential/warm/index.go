package warm

import (
	"slices"
	"sync"
)

// idIndex finds the digests of a credential and of an organisation, for dropping.
// A credential has one digest, or two while it is being rotated.
type idIndex struct {
	mu            sync.Mutex
	credentials   map[string][]Digest
	organizations map[string]map[Digest]struct{}
}

func newIDIndex() *idIndex {
	return &idIndex{credentials: map[string][]Digest{}, organizations: map[string]map[Digest]struct{}{}}
}

func (x *idIndex) add(e *Entry, digest Digest) {
	x.mu.Lock()
	defer x.mu.Unlock()
	id := e.Principal.CredentialID
	if !slices.Contains(x.credentials[id], digest) {
		x.credentials[id] = append(x.credentials[id], digest)
	}
	set := x.organizations[e.Principal.OrganizationID]
	if set == nil {
		set = map[Digest]struct{}{}
		x.organizations[e.Principal.OrganizationID] = set
	}
	set[digest] = struct{}{}
}

func (x *idIndex) remove(e *Entry, digest Digest) {
	x.mu.Lock()
	defer x.mu.Unlock()
	id := e.Principal.CredentialID
	left := slices.DeleteFunc(x.credentials[id], func(d Digest) bool { return d == digest })
	if len(left) == 0 {
		delete(x.credentials, id)
	} else {
		x.credentials[id] = left
	}
	set := x.organizations[e.Principal.OrganizationID]
	delete(set, digest)
	if len(set) == 0 {
		delete(x.organizations, e.Principal.OrganizationID)
	}
}

func (x *idIndex) ofCredential(id string) []Digest {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.credentials[id])
}

func (x *idIndex) ofOrganization(id string) []Digest {
	x.mu.Lock()
	defer x.mu.Unlock()
	digests := make([]Digest, 0, len(x.organizations[id]))
	for digest := range x.organizations[id] {
		digests = append(digests, digest)
	}
	return digests
}

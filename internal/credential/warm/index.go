package warm

import "sync"

// idIndex finds the digests of a credential and of an organisation, for dropping.
type idIndex struct {
	mu            sync.Mutex
	credentials   map[string]map[Digest]struct{}
	organizations map[string]map[Digest]struct{}
}

func newIDIndex() *idIndex {
	return &idIndex{
		credentials:   map[string]map[Digest]struct{}{},
		organizations: map[string]map[Digest]struct{}{},
	}
}

func (x *idIndex) add(e *Entry, digest Digest) {
	x.mu.Lock()
	defer x.mu.Unlock()
	put(x.credentials, e.Principal.CredentialID, digest)
	put(x.organizations, e.Principal.OrganizationID, digest)
}

func (x *idIndex) remove(e *Entry, digest Digest) {
	x.mu.Lock()
	defer x.mu.Unlock()
	cut(x.credentials, e.Principal.CredentialID, digest)
	cut(x.organizations, e.Principal.OrganizationID, digest)
}

func (x *idIndex) ofCredential(id string) []Digest   { return x.list(x.credentials, id) }
func (x *idIndex) ofOrganization(id string) []Digest { return x.list(x.organizations, id) }

func (x *idIndex) list(index map[string]map[Digest]struct{}, id string) []Digest {
	x.mu.Lock()
	defer x.mu.Unlock()
	set := index[id]
	digests := make([]Digest, 0, len(set))
	for digest := range set {
		digests = append(digests, digest)
	}
	return digests
}

func put(index map[string]map[Digest]struct{}, id string, digest Digest) {
	set := index[id]
	if set == nil {
		set = map[Digest]struct{}{}
		index[id] = set
	}
	set[digest] = struct{}{}
}

func cut(index map[string]map[Digest]struct{}, id string, digest Digest) {
	set := index[id]
	delete(set, digest)
	if len(set) == 0 {
		delete(index, id)
	}
}

package warm

import (
	"slices"
	"strings"
	"sync"

	keystile "keystile.dev/keystile"
)

const (
	// maxShared bounds what is shared; when it is reached, sharing starts anew.
	maxShared = 8192
	// maxSharedLength is the longest list that is shared, in members.
	maxSharedLength = 64
)

// sharing gives equal texts and lists of many principals one place in memory:
// the keys of an organisation mostly have its id, environment, sites and scopes
// in common. A hundred thousand warm keys then take less memory, and what a
// decision reads is in the processor's caches. A principal's lists are immutable,
// so they can be shared.
type sharing struct {
	mu     sync.Mutex
	texts  map[string]string
	sites  map[string][]string
	scopes map[string][]keystile.Scope
}

// principal replaces what p has in common with others. p is not shared yet.
func (s *sharing) principal(p *keystile.Principal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.texts == nil || len(s.texts)+len(s.sites)+len(s.scopes) > maxShared {
		s.texts, s.sites, s.scopes = map[string]string{}, map[string][]string{}, map[string][]keystile.Scope{}
	}
	p.OrganizationID = s.text(p.OrganizationID)
	p.Environment = keystile.Environment(s.text(string(p.Environment)))
	p.SiteIDs = shareList(s.sites, p.SiteIDs)
	p.Scopes = shareList(s.scopes, p.Scopes)
}

func (s *sharing) text(text string) string {
	shared, ok := s.texts[text]
	if !ok {
		shared = strings.Clone(text) // it may be a piece of something large
		s.texts[shared] = shared
	}
	return shared
}

// shareList returns the list that is equal to this one. Lists are found by their
// members joined; members with a zero byte, which no id has, are left alone.
func shareList[S ~string](lists map[string][]S, list []S) []S {
	if len(list) == 0 || len(list) > maxSharedLength {
		return list
	}
	var key strings.Builder
	for _, member := range list {
		if strings.IndexByte(string(member), 0) >= 0 {
			return list
		}
		key.WriteString(string(member))
		key.WriteByte(0)
	}
	shared, ok := lists[key.String()]
	if !ok {
		shared = slices.Clip(list)
		lists[key.String()] = shared
	}
	return shared
}

package keyring

import (
	"hash/maphash"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
)

const (
	mintedShards = 64
	// maxMinted bounds what one shard remembers in each half: 131 072 assertions
	// of about 900 bytes in all.
	maxMinted = 131_072 / 2 / mintedShards
)

type assertionKey struct {
	principal *keystile.Principal
	route     *keystile.Route
	audience  string
}

type minted struct {
	token string
	until time.Time
}

// mintedCache remembers assertions while they are handed out. It is safe for
// concurrent use.
type mintedCache struct {
	seed   maphash.Seed
	shards [mintedShards]mintedShard
}

// mintedShard has two halves: the young one is written to, and becomes the old
// one when it is full or assertionReuse old. What is in the old half is
// forgotten with it, so nothing stays longer than twice that, and nothing has
// to be taken out one by one.
type mintedShard struct {
	mu         sync.Mutex
	young, old map[assertionKey]minted
	turns      time.Time
}

func newMintedCache() *mintedCache { return &mintedCache{seed: maphash.MakeSeed()} }

func (c *mintedCache) shard(key *assertionKey) *mintedShard {
	return &c.shards[maphash.Comparable(c.seed, key.principal)%mintedShards]
}

// get returns the assertion that is still handed out at now, if there is one.
func (c *mintedCache) get(key *assertionKey, now time.Time) (token string, ok bool) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.young[*key]
	if !ok {
		m, ok = s.old[*key]
	}
	return m.token, ok && now.Before(m.until)
}

func (c *mintedCache) put(key *assertionKey, token string, now time.Time) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil || len(s.young) >= maxMinted || !now.Before(s.turns) {
		s.old, s.young, s.turns = s.young, make(map[assertionKey]minted, len(s.young)), now.Add(assertionReuse)
	}
	s.young[*key] = minted{token: token, until: now.Add(assertionReuse)}
}

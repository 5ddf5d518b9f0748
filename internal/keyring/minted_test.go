package keyring

import (
	"strconv"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
)

func TestRememberedAssertionsAreBoundedAndTheNewestAreKept(t *testing.T) {
	c, now, route := newMintedCache(), time.Unix(1_000_000, 0), &keystile.Route{}
	var last assertionKey
	for n := range 400_000 {
		last = assertionKey{&keystile.Principal{}, route, "http://a"}
		c.put(&last, strconv.Itoa(n), now)
	}
	kept := 0
	for i := range c.shards {
		kept += len(c.shards[i].young) + len(c.shards[i].old)
	}
	if kept > 131_072 {
		t.Errorf("%d are remembered", kept)
	}
	if token, ok := c.get(&last, now); !ok || token != "399999" {
		t.Errorf("the newest is %q, %v", token, ok)
	}
}

func TestAnAssertionIsHandedOutForHalfAMinuteAndForgottenSoonAfter(t *testing.T) {
	c, now := newMintedCache(), time.Unix(1_000_000, 0)
	p, route := &keystile.Principal{}, &keystile.Route{}
	key := assertionKey{p, route, "http://a"}
	c.put(&key, "token", now)
	// Others are minted for the same principal meanwhile: same shard.
	for i, later := range []time.Duration{time.Second, 29 * time.Second, 30 * time.Second, 61 * time.Second} {
		other := assertionKey{p, route, "http://" + strconv.Itoa(i)}
		c.put(&other, "other", now.Add(later))
		if _, ok := c.get(&key, now.Add(later)); ok != (later < assertionReuse) {
			t.Errorf("after %s: %v", later, ok)
		}
	}
	s := c.shard(&key)
	_, young := s.young[key]
	_, old := s.old[key]
	if young || old {
		t.Error("it is still in memory after a minute")
	}
}

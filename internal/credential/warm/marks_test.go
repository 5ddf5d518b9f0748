package warm_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/warm"
)

const changeUser keystile.ChangeKind = "user"

// versioned is a store of one credential whose reads name the version they saw.
type versioned struct {
	version atomic.Int64
	reads   atomic.Int64
	also    []warm.Subject
}

func (v *versioned) lookup(_ context.Context, digests []warm.Digest) ([]warm.Result, error) {
	v.reads.Add(1)
	seen := v.version.Load()
	results := make([]warm.Result, len(digests))
	for i := range digests {
		results[i].Entry = &warm.Entry{
			Principal: &keystile.Principal{CredentialID: "key1", OrganizationID: "org"}, Also: v.also, Detail: seen,
		}
	}
	return results, nil
}

func newVersioned(t *testing.T, v *versioned) *warm.Cache {
	t.Helper()
	c, err := warm.New(warm.Options{
		Lookup: v.lookup, Credential: keystile.ChangeKey, Fresh: func(time.Time) bool { return true }, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestOfChangesThatArriveTogetherNoneIsUndoneByAnother(t *testing.T) {
	for name, change := range map[string]keystile.Change{
		"the key":          {Kind: keystile.ChangeKey, ID: "key1"},
		"its organisation": {Kind: keystile.ChangeOrganization, ID: "org"},
		"everything":       {Kind: keystile.ChangeAll},
	} {
		t.Run(name, func(t *testing.T) {
			v := &versioned{}
			c := newVersioned(t, v)
			var wg sync.WaitGroup
			for range 8 {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for range 300 {
						mine := v.version.Add(1)
						c.Apply(change)
						e, err := c.Load(context.Background(), digest(1), source)
						if err != nil {
							t.Error(err)
							return
						}
						if seen, ok := e.Detail.(int64); !ok || seen < mine {
							t.Errorf("change %d was made, a request begun later was served from %d", mine, seen)
							return
						}
					}
				}()
			}
			wg.Wait()
		})
	}
}

func TestAnEntryFallsWithEverythingItHangsOn(t *testing.T) {
	v := &versioned{also: []warm.Subject{{Kind: changeUser, ID: "ada"}, {Kind: "session", ID: "s1"}, {Kind: "client", ID: "app"}, {Kind: "client", ID: "other"}}}
	c := newVersioned(t, v)
	for _, change := range []keystile.Change{
		{Kind: changeUser, ID: "ada"},
		{Kind: "session", ID: "s1"},
		{Kind: "client", ID: "app"},
		{Kind: "client", ID: "other"},
		{Kind: keystile.ChangeKey, ID: "key1"},
		{Kind: keystile.ChangeOrganization, ID: "org"},
		{Kind: "of a later version", ID: ""}, // names nothing: everything may be meant
	} {
		mustLoad(t, c, digest(1))
		c.Apply(change)
		if _, ok := c.Get(digest(1), time.Now()); ok {
			t.Errorf("served after %+v", change)
		}
	}
}

func TestAChangeToSomethingElseLeavesAnEntryWarm(t *testing.T) {
	v := &versioned{also: []warm.Subject{{Kind: changeUser, ID: "ada"}}}
	c := newVersioned(t, v)
	mustLoad(t, c, digest(1))
	for _, change := range []keystile.Change{
		{Kind: keystile.ChangeReload},
		{Kind: keystile.ChangeSigningKey, ID: "key1"}, // other kinds of thing with the same id
		{Kind: keystile.ChangeSigningKey, ID: "ada"},
		{Kind: "session", ID: "org"},
	} {
		c.Apply(change)
		if _, ok := c.Get(digest(1), time.Now()); !ok {
			t.Errorf("gone after %+v", change)
		}
	}
	// Another thing of the same kind may share a mark by chance: once in 16 384.
	gone := 0
	for i := range 200 {
		c.Apply(keystile.Change{Kind: keystile.ChangeKey, ID: "other" + strconv.Itoa(i)})
		if _, ok := c.Get(digest(1), time.Now()); !ok {
			gone++
			mustLoad(t, c, digest(1))
		}
	}
	if gone > 5 {
		t.Errorf("of 200 changes to other keys %d made this one stale", gone)
	}
}

func TestAnEntryThatHangsOnMoreThanCanBeWatchedIsNotRemembered(t *testing.T) {
	v := &versioned{}
	for i := range 7 {
		v.also = append(v.also, warm.Subject{Kind: changeUser, ID: strconv.Itoa(i)})
	}
	c := newVersioned(t, v)
	for range 3 {
		mustLoad(t, c, digest(1))
	}
	if n := v.reads.Load(); n != 3 {
		t.Errorf("%d reads of 3 requests", n)
	}
}

func TestMoreKindsOfChangeThanHaveMarksOfTheirOwnAreStillNotMissed(t *testing.T) {
	v := &versioned{}
	c := newVersioned(t, v)
	for i := range 20 {
		kind := keystile.ChangeKind("kind" + strconv.Itoa(i))
		v.also = []warm.Subject{{Kind: kind, ID: "x"}}
		c.Apply(keystile.Change{Kind: keystile.ChangeAll})
		mustLoad(t, c, digest(1))
		c.Apply(keystile.Change{Kind: kind, ID: "x"})
		if _, ok := c.Get(digest(1), time.Now()); ok {
			t.Errorf("served after a change of kind %s", kind)
		}
	}
}

func TestLookingAtAWarmEntryAllocatesNothing(t *testing.T) {
	c := newVersioned(t, &versioned{also: []warm.Subject{{Kind: changeUser, ID: "ada"}}})
	mustLoad(t, c, digest(1))
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() { c.Get(digest(1), now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

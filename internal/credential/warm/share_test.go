package warm_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/warm"
)

// lists is a store whose credentials have the sites and scopes of a list's text.
func lists(t *testing.T, texts ...string) []*keystile.Principal {
	t.Helper()
	of := map[warm.Digest]int{}
	for n := range texts {
		of[digest(n)] = n
	}
	c, err := warm.New(warm.Options{
		Lookup: func(_ context.Context, digests []warm.Digest) ([]warm.Result, error) {
			results := make([]warm.Result, len(digests))
			for i, d := range digests {
				p := &keystile.Principal{CredentialID: strconv.Itoa(of[d]), OrganizationID: "org"}
				for member := range strings.SplitSeq(texts[of[d]], ",") {
					p.SiteIDs, p.Scopes = append(p.SiteIDs, member), append(p.Scopes, keystile.Scope(member))
				}
				results[i].Entry = &warm.Entry{Principal: p}
			}
			return results, nil
		},
		Credential: keystile.ChangeKey, Fresh: func(time.Time) bool { return true }, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var all []*keystile.Principal
	for n := range texts {
		all = append(all, mustLoad(t, c, digest(n)).Principal)
	}
	return all
}

func TestEqualListsOfPrincipalsAreOneInMemory(t *testing.T) {
	p := lists(t, "a,b", "a,b")
	if &p[0].SiteIDs[0] != &p[1].SiteIDs[0] || &p[0].Scopes[0] != &p[1].Scopes[0] {
		t.Error("two lists")
	}
}

func TestAPrincipalNeverGetsTheListOfAnother(t *testing.T) {
	texts := []string{"a,b", "ab", "b,a", "a", "a,b,c", "a,a", "a\x00b", "a,b\x00", "", ",a", strings.Repeat("x,", 100) + "x"}
	for n := range 10_000 { // more than are shared at a time
		texts = append(texts, "site"+strconv.Itoa(n))
	}
	for n, p := range lists(t, texts...) {
		if want := strings.Split(texts[n], ","); !slices.Equal(p.SiteIDs, want) || len(p.Scopes) != len(want) || string(p.Scopes[0]) != want[0] {
			t.Errorf("%q got sites %q and scopes %q", texts[n], p.SiteIDs, p.Scopes)
		}
	}
}

package storetest

import (
	"context"
	"crypto/ed25519"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// CheckpointKey signs checkpoints in tests, with a key made from its own text.
type CheckpointKey string

func (k CheckpointKey) private() ed25519.PrivateKey {
	seed := Digest(string(k))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Sign implements store.CheckpointKey.
func (k CheckpointKey) Sign(message []byte) (keyID string, signature []byte) {
	return string(k), ed25519.Sign(k.private(), message)
}

// Verify implements store.CheckpointKey.
func (k CheckpointKey) Verify(keyID string, message, signature []byte) bool {
	return keyID == string(k) && ed25519.Verify(ed25519.PublicKey(k.private()[ed25519.SeedSize:]), message, signature)
}

const sealKey = CheckpointKey("k1")

// seal seals every chain and returns the checkpoints by chain.
func seal(t *testing.T, s *store.Store) map[string]keystile.Checkpoint {
	t.Helper()
	made, err := s.Seal(t.Context(), sealKey)
	noError(t, err)
	byChain := map[string]keystile.Checkpoint{}
	for _, c := range made {
		byChain[c.Chain] = c
	}
	return byChain
}

func note(t *testing.T, s *store.Store, chain string, times int) {
	t.Helper()
	Must(t, s, func(ctx context.Context, tx *store.Tx) error {
		for range times {
			if err := tx.Record(ctx, chain, "note.make", "note:1", map[string]string{}); err != nil {
				return err
			}
		}
		return nil
	})
}

var checkpointBehaviours = []behaviour{
	{"each chain that has grown is sealed, once, and verifies through its checkpoint", func(t *testing.T, s *store.Store) {
		Seed(t, s)
		noError(t, s.RecordDecisions(t.Context(), []keystile.DecisionRecord{{At: T0}}))
		made := seal(t, s)
		if len(made) != 3 {
			t.Fatalf("sealed %v", made)
		}
		for chain, c := range made {
			report, err := s.Verify(t.Context(), chain, store.Verification{Key: sealKey, Outside: []keystile.Checkpoint{c}})
			if err != nil || report.Sealed != report.Last || report.Last != c.Seq || !report.SealedAt.Equal(c.At) || report.Removed != 0 {
				t.Errorf("%q: %+v, %v", chain, report, err)
			}
		}
		if again := seal(t, s); len(again) != 0 {
			t.Errorf("sealed again: %v", again)
		}
		note(t, s, "north", 2)
		again := seal(t, s)
		if c := again["north"]; len(again) != 1 || c.Seq != made["north"].Seq+2 || c.Kind != keystile.CheckpointSeal {
			t.Errorf("sealed then: %+v", again)
		}
		kept, err := s.Checkpoints(t.Context(), "north")
		same(t, err, []keystile.Checkpoint{made["north"], again["north"]}, kept)
	}},
	{"retention removes what was sealed long enough ago, and the rest verifies", func(t *testing.T, s *store.Store) {
		note(t, s, "north", 2300)
		noError(t, s.RecordDecisions(t.Context(), []keystile.DecisionRecord{{At: T0}, {At: T0}}))
		first := seal(t, s)
		note(t, s, "north", 5)
		removed, base, err := s.Prune(t.Context(), "north", first["north"].At, sealKey)
		if err != nil || removed != 2300 || base == nil || base.Seq != 2300 || base.Kind != keystile.CheckpointBase {
			t.Fatalf("removed %d, base %+v, %v", removed, base, err)
		}
		events, err := s.Events(t.Context(), store.EventFilter{OrganizationID: "north"})
		noError(t, err)
		if len(events) != 6 || events[0].Seq != 2301 || events[5].Action != "audit.prune" || events[5].Detail != `{"from":1,"through":2300}` {
			t.Errorf("left: %+v", events)
		}
		report, err := s.Verify(t.Context(), "north", store.Verification{Key: sealKey, Outside: []keystile.Checkpoint{first["north"], *base}})
		if err != nil || report.Removed != 2300 || report.Last != 2306 || report.Sealed != 2300 {
			t.Errorf("%+v, %v", report, err)
		}
		if removed, base, err := s.Prune(t.Context(), "north", time.Now().Add(time.Hour), sealKey); removed != 0 || base != nil || err != nil {
			t.Errorf("again: %d %+v %v", removed, base, err)
		}
		seal(t, s)
		_, base, err = s.Prune(t.Context(), "north", time.Now().Add(time.Hour), sealKey)
		if err != nil || base == nil || base.Seq != 2306 {
			t.Errorf("then: %+v, %v", base, err)
		}
		_, base, err = s.Prune(t.Context(), store.DecisionsChain, time.Now().Add(time.Hour), sealKey)
		if err != nil || base == nil || base.Seq != 2 {
			t.Errorf("decisions: %+v, %v", base, err)
		}
		noError(t, s.RecordDecisions(t.Context(), []keystile.DecisionRecord{{At: T0}}))
		for _, chain := range []string{"", "north", store.DecisionsChain} {
			_, err := s.Verify(t.Context(), chain, store.Verification{Key: sealKey})
			noError(t, err)
		}
		kept, err := s.Checkpoints(t.Context(), "north")
		if err != nil || len(kept) != 2 {
			t.Errorf("checkpoints kept: %+v, %v", kept, err)
		}
	}},
	{"what was issued has its event a moment later, once", func(t *testing.T, s *store.Store) {
		authorized(t, s)
		noError(t, s.CreatePartnerSession(t.Context(), session(1, 1)))
		if _, err := s.ExchangeKeys(t.Context(), []store.Exchange{exchangeOf(2, nil, T0)}); err != nil {
			t.Fatal(err)
		}
		written, err := s.AuditIssued(t.Context(), 100)
		if err != nil || written != 2 {
			t.Fatalf("%d, %v", written, err)
		}
		again, err := s.AuditIssued(t.Context(), 100)
		if err != nil || again != 0 {
			t.Errorf("again: %d, %v", again, err)
		}
		events, err := s.Events(t.Context(), store.EventFilter{OrganizationID: "south", NewestFirst: true, Limit: 2})
		noError(t, err)
		var got []string
		for _, e := range events {
			got = append(got, e.Actor+" "+e.Action+" "+e.Target+" "+e.Detail)
			if strings.Contains(e.Detail+e.Target, "partner credential") {
				t.Errorf("a digest: %+v", e)
			}
		}
		want := []string{
			"application:" + ApplicationID(1) + ` temporary_key.issue temporary_key:tmp_2 {"application":"` + ApplicationID(1) + `","expires_at":"` +
				T0.Add(keystile.TemporaryKeyLife).Format(time.RFC3339Nano) + `","issued_at":"2025-11-22T10:00:00.123456Z"}`,
			"application:" + ApplicationID(1) + " partner_session.issue application:" + ApplicationID(1) + ` {"expires_at":"` +
				T0.Add(keystile.PartnerSessionLife).Format(time.RFC3339Nano) + `","issued_at":"2025-11-22T10:00:00.123456Z"}`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}},
	{"what the authorization server issued has its event in the chain of the user's organization", func(t *testing.T, s *store.Store) {
		oauthSeeded(t, s)
		noError(t, s.CreateOAuthCode(t.Context(), oauthCode(1)))
		if issued, err := s.IssueOAuth(t.Context(), issueByCode(1)); !issued || err != nil {
			t.Fatalf("issued %v, %v", issued, err)
		}
		written, err := s.AuditIssued(t.Context(), 100)
		if err != nil || written != 2 {
			t.Fatalf("%d, %v", written, err)
		}
		events, err := s.Events(t.Context(), store.EventFilter{OrganizationID: "south", NewestFirst: true, Limit: 2})
		noError(t, err)
		token, grant := oauthToken(1, oauthGrant(1).ID), oauthGrant(1)
		for i, want := range []string{
			"client:" + token.ClientID + " access_token.issue access_token:" + token.ID,
			"user:" + grant.UserID + " grant.issue grant:" + grant.ID,
		} {
			if got := events[i].Actor + " " + events[i].Action + " " + events[i].Target; got != want {
				t.Errorf("event %s, want %s", got, want)
			}
		}
		noError(t, s.VerifyChain(t.Context(), "south"))
	}},
	{"however many were issued, each has one event", func(t *testing.T, s *store.Store) {
		authorized(t, s)
		exchanges := make([]store.Exchange, 1203)
		for i := range exchanges {
			exchanges[i] = exchangeOf(i, nil, T0)
		}
		if _, err := s.ExchangeKeys(t.Context(), exchanges); err != nil {
			t.Fatal(err)
		}
		for _, want := range []int{1100, 103, 0} {
			if written, err := s.AuditIssued(t.Context(), 1100); err != nil || written != want {
				t.Fatalf("%d written, want %d: %v", written, want, err)
			}
		}
		events, err := s.Events(t.Context(), store.EventFilter{OrganizationID: "south", Action: "temporary_key.issue", Limit: 2000})
		noError(t, err)
		targets := map[string]bool{}
		for _, e := range events {
			targets[e.Target] = true
		}
		if len(events) != len(exchanges) || len(targets) != len(exchanges) {
			t.Errorf("%d events on %d keys", len(events), len(targets))
		}
	}},
	{"what was issued in many organizations has its event in the chain of each", func(t *testing.T, s *store.Store) {
		authorized(t, s)
		const organizations, each = 90, 3
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			for i := range organizations {
				if err := tx.CreateOrganization(ctx, Organization("tenant-"+strconv.Itoa(i))); err != nil {
					return err
				}
			}
			return nil
		})
		exchanges := make([]store.Exchange, organizations*each)
		for i := range exchanges {
			exchanges[i] = exchangeOf(i, nil, T0)
			exchanges[i].Key.TenantID = "tenant-" + strconv.Itoa(i%organizations)
		}
		if _, err := s.ExchangeKeys(t.Context(), exchanges); err != nil {
			t.Fatal(err)
		}
		written := 0
		together(t, 4, func(int) error {
			_, err := s.AuditIssued(t.Context(), 70)
			return err
		})
		for n := 1; n > 0; {
			var err error
			n, err = s.AuditIssued(t.Context(), 70)
			noError(t, err)
			written += n
		}
		if written > len(exchanges)-70 {
			t.Errorf("%d were left", written)
		}
		for i := range organizations {
			id := "tenant-" + strconv.Itoa(i)
			events, err := s.Events(t.Context(), store.EventFilter{OrganizationID: id, Action: "temporary_key.issue", Limit: 10})
			noError(t, err)
			if len(events) != each {
				t.Errorf("%s has %d events of keys", id, len(events))
			}
			noError(t, s.VerifyChain(t.Context(), id))
		}
	}},
	{"events are found by who, what, on what and when, in one chain and in all", func(t *testing.T, s *store.Store) {
		everyChange(t, s)
		all, err := s.Events(t.Context(), store.EventFilter{All: true, Limit: 100})
		noError(t, err)
		first := all[0].At
		for name, c := range map[string]struct {
			filter store.EventFilter
			want   int
		}{
			"all":              {store.EventFilter{All: true, Limit: 100}, 23},
			"an actor":         {store.EventFilter{All: true, Actor: "cli", Limit: 100}, 23},
			"another actor":    {store.EventFilter{All: true, Actor: "cli'", Limit: 100}, 0},
			"an action":        {store.EventFilter{OrganizationID: "north", Action: "api_key.create"}, 1},
			"a noun":           {store.EventFilter{OrganizationID: "north", Action: "api_key.*"}, 6},
			"no wild cards":    {store.EventFilter{OrganizationID: "north", Action: "api%"}, 0},
			"a target":         {store.EventFilter{All: true, Target: "role:r"}, 3},
			"since":            {store.EventFilter{All: true, Since: first, Limit: 100}, 23},
			"until":            {store.EventFilter{All: true, Until: first}, 0},
			"of another chain": {store.EventFilter{Target: "api_key:key"}, 0},
		} {
			got, err := s.Events(t.Context(), c.filter)
			if err != nil || len(got) != c.want {
				t.Errorf("%s: %d events, want %d, %v", name, len(got), c.want, err)
			}
		}
		for _, newest := range []bool{false, true} {
			var seen []keystile.Event
			for f := (store.EventFilter{All: true, NewestFirst: newest, Limit: 4}); ; {
				page, err := s.Events(t.Context(), f)
				noError(t, err)
				if len(page) == 0 {
					break
				}
				last := page[len(page)-1]
				f.After = &store.EventPlace{At: last.At, OrganizationID: last.OrganizationID, Seq: last.Seq}
				if newest {
					for _, e := range page {
						seen = append([]keystile.Event{e}, seen...)
					}
				} else {
					seen = append(seen, page...)
				}
			}
			if diff := cmp.Diff(all, seen); diff != "" {
				t.Errorf("newest first %v:\n%s", newest, diff)
			}
		}
	}},
}

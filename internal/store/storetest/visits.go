package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store"
)

// visited has ann of north and bob of south, each with a session that signed in to a
// client which wants to know of its end.
func visited(t *testing.T, s *store.Store) {
	t.Helper()
	withUsers(t, s)
	for n, who := range []struct{ session, user, organization string }{{"ses_1", "ann", "north"}, {"ses_2", "ann", "north"}, {"ses_3", "bob", "south"}} {
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.CreateSession(ctx, Session(who.session, who.user, who.organization))
		})
		visit(t, s, n+1, who.session, who.user)
	}
}

func visit(t *testing.T, s *store.Store, n int, session, user string) {
	t.Helper()
	code := oauthCode(n)
	code.Grant.SessionID, code.Grant.UserID, code.SessionExpiresAt = session, user, T0.Add(time.Hour)
	noError(t, s.CreateOAuthCode(t.Context(), code))
}

// due are the sessions whose clients have to be told, at a moment that all have come to.
func due(t *testing.T, s *store.Store, limit int) []keystile.OAuthVisit {
	t.Helper()
	claimed, err := s.ClaimOAuthVisits(t.Context(), later, later.Add(time.Minute), store.VisitRoom{All: limit, Each: limit})
	noError(t, err)
	return claimed
}

// later is after every change of a test, by whatever clock the store stamps them.
var later = time.Now().Add(1000 * time.Hour).UTC().Truncate(time.Microsecond)

var visitBehaviours = []behaviour{
	{"the client of a session is told of its end, whatever ended it, and of no other", func(t *testing.T, s *store.Store) {
		visited(t, s)
		for name, c := range map[string]struct {
			end  func(context.Context, *store.Tx) error
			want []string
		}{
			"nothing":                {func(context.Context, *store.Tx) error { return nil }, nil},
			"the session is revoked": {func(ctx context.Context, tx *store.Tx) error { return tx.RevokeSession(ctx, "ses_1") }, []string{"ses_1"}},
			"the user's other sessions are": {func(ctx context.Context, tx *store.Tx) error {
				u, err := tx.User(ctx, "ann")
				return errors.Join(err, tx.RevokeSessionsOfUser(ctx, u, "ses_1"))
			}, []string{"ses_2"}},
			"the user is disabled": {func(ctx context.Context, tx *store.Tx) error {
				u, err := tx.User(ctx, "ann")
				u.Disabled = true
				return errors.Join(err, tx.UpdateUser(ctx, u, Names("ann")...))
			}, []string{"ses_1", "ses_2"}},
			"the user is deleted": {func(ctx context.Context, tx *store.Tx) error { return tx.DeleteUser(ctx, "ann") }, []string{"ses_1", "ses_2"}},
			"the organisation is disabled": {func(ctx context.Context, tx *store.Tx) error {
				o, err := tx.Organization(ctx, "south")
				o.Disabled = true
				return errors.Join(err, tx.UpdateOrganization(ctx, o))
			}, []string{"ses_3"}},
		} {
			// Each in a transaction that is undone, so that all begin alike.
			undo := errors.New("undo")
			got := map[string]bool{}
			err := s.Mutate(t.Context(), Actor, func(ctx context.Context, tx *store.Tx) error {
				if err := c.end(ctx, tx); err != nil {
					return err
				}
				for _, session := range []string{"ses_1", "ses_2", "ses_3"} {
					live, err := tx.OAuthVisits(ctx, session)
					if err != nil {
						return err
					}
					got[session] = len(live) == 0
				}
				return undo
			})
			if !errors.Is(err, undo) {
				t.Fatalf("%s: %v", name, err)
			}
			for _, session := range []string{"ses_1", "ses_2", "ses_3"} {
				if got[session] != slices.Contains(c.want, session) {
					t.Errorf("%s: the client of %s is told: %v", name, session, got[session])
				}
			}
		}
	}},
	{"a client is told no more at once than it has room for", func(t *testing.T, s *store.Store) {
		visited(t, s)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.RevokeSession(ctx, "ses_1"), tx.RevokeSession(ctx, "ses_2"), tx.RevokeSession(ctx, "ses_3"))
		})
		claim := func(room store.VisitRoom) int {
			t.Helper()
			got, err := s.ClaimOAuthVisits(t.Context(), later, later.Add(time.Minute), room)
			noError(t, err)
			return len(got)
		}
		first, others := ApplicationID(1), map[string]int{ApplicationID(2): 2, ApplicationID(3): 2, ApplicationID(4): 2}
		for _, c := range []struct {
			room store.VisitRoom
			want int
		}{
			{store.VisitRoom{All: 10, Each: 2, UnderWay: map[string]int{first: 2}}, 0},
			{store.VisitRoom{All: 10, Each: 2, UnderWay: map[string]int{first: 1}}, 1},
			{store.VisitRoom{All: 10, Each: 1, UnderWay: others}, 1}, // whoever else has none
			{store.VisitRoom{All: 10, Each: 2}, 1},                   // the last of three
		} {
			if n := claim(c.room); n != c.want {
				t.Errorf("%+v: %d claimed, want %d", c.room, n, c.want)
			}
		}
	}},
	{"what is due is claimed by one server of 64, and is due again until it was told", func(t *testing.T, s *store.Store) {
		visited(t, s)
		if got := due(t, s, 10); len(got) != 0 {
			t.Fatalf("of live sessions: %+v", got)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeSession(ctx, "ses_1") })
		var claimed keystile.OAuthVisit
		once(t, func(int) (bool, error) {
			got, err := s.ClaimOAuthVisits(t.Context(), later, later.Add(time.Minute), store.VisitRoom{All: 10, Each: 10})
			if len(got) == 1 {
				claimed = got[0]
			}
			return len(got) == 1, err
		})
		want := keystile.OAuthVisit{SID: "ses_1", SessionID: "ses_1", ClientID: ApplicationID(1), UserID: "ann", ExpiresAt: T0.Add(time.Hour), DueAt: later.Add(time.Minute), Tries: 1}
		same(t, nil, want, claimed)
		again := func(at time.Time) int {
			t.Helper()
			got, err := s.ClaimOAuthVisits(t.Context(), at, at.Add(time.Minute), store.VisitRoom{All: 10, Each: 10})
			noError(t, err)
			return len(got)
		}
		if n := again(later.Add(59 * time.Second)); n != 0 {
			t.Error("claimed while another has it")
		}
		noError(t, s.EndOAuthVisit(t.Context(), claimed, later.Add(time.Hour)))
		if n := again(later.Add(59 * time.Minute)); n != 0 {
			t.Error("claimed before it is due")
		}
		if n := again(later.Add(time.Hour)); n != 1 {
			t.Error("not due again")
		}
		noError(t, s.EndOAuthVisit(t.Context(), claimed, time.Time{})) // who claimed it before may not end it
		if n := again(later.Add(2 * time.Hour)); n != 1 {
			t.Error("ended by who had lost it")
		}
		claimed.Tries = 3
		noError(t, s.EndOAuthVisit(t.Context(), claimed, time.Time{}))
		if n := again(later.Add(1000 * time.Hour)); n != 0 {
			t.Error("told, and due all the same")
		}
	}},
	{"a new sign-in at a client is not ended by what was said of the one before", func(t *testing.T, s *store.Store) {
		visited(t, s)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeSession(ctx, "ses_1") })
		claimed := due(t, s, 10)
		visit(t, s, 9, "ses_1", "ann")
		noError(t, s.EndOAuthVisit(t.Context(), claimed[0], time.Time{}))
		live, err := s.OAuthVisits(t.Context(), "ses_1")
		if err != nil || len(live) != 1 || live[0].Tries != 0 {
			t.Errorf("%+v, %v", live, err)
		}
	}},
	{"a session that takes another's place takes its clients over, who know the old one", func(t *testing.T, s *store.Store) {
		visited(t, s)
		Must(t, s, func(ctx context.Context, tx *store.Tx) error {
			into := Session("ses_2", "ann", "north")
			return errors.Join(tx.MoveOAuthVisits(ctx, "ses_1", into), tx.RevokeSession(ctx, "ses_1"))
		})
		if got := due(t, s, 10); len(got) != 0 {
			t.Fatalf("told of a session that goes on: %+v", got)
		}
		Must(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RevokeSession(ctx, "ses_2") })
		got := due(t, s, 10)
		if len(got) != 2 || got[0].SID == got[1].SID {
			t.Errorf("%+v", got)
		}
	}},
	{"visits of sessions that ended by themselves go in batches", func(t *testing.T, s *store.Store) {
		visited(t, s)
		most, err := s.PurgeOAuth(t.Context(), T0.Add(time.Hour), 2)
		if err != nil || most != 2 {
			t.Fatalf("%d, %v", most, err)
		}
		if most, err = s.PurgeOAuth(t.Context(), T0.Add(time.Hour), 2); err != nil || most != 1 {
			t.Errorf("%d, %v", most, err)
		}
		for n := range 3 {
			if live, err := s.OAuthVisits(t.Context(), fmt.Sprintf("ses_%d", n+1)); err != nil || len(live) != 0 {
				t.Errorf("%+v, %v", live, err)
			}
		}
	}},
}

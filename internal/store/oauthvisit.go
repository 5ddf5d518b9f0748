package store

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// maxVisits bounds how many clients of one session are listed.
const maxVisits = 50

// OAuthVisits lists the clients that a live session signed in to and that want to know
// of its end, by id: at most 50.
func (r *reads) OAuthVisits(ctx context.Context, sessionID string) ([]keystile.OAuthVisit, error) {
	rows, err := r.q.ListOAuthVisits(ctx, sessionID, maxVisits)
	return oauthVisitsOf(rows), r.fail("list the clients of session "+clip(sessionID), err)
}

// MoveOAuthVisits hands the clients of a session on to another one of the same user,
// which takes its place: they are told when that ends.
func (t *Tx) MoveOAuthVisits(ctx context.Context, from string, into keystile.Session) error {
	return t.fail("hand on the clients of session "+clip(from), t.q.MoveOAuthVisits(ctx, into.ID, micros(into.ExpiresAt), from))
}

// VisitRoom is how many clients somebody has room to tell of the end of a session.
type VisitRoom struct {
	// All is how many sessions' ends can be told, Each how many to one client, with those
	// under way to it.
	All, Each int
	// UnderWay is how many are being told to each client. Four of them may have no room.
	UnderWay map[string]int
}

// full are the clients that have no room.
func (r *VisitRoom) full() (clients [4]string) {
	n := 0
	for client, under := range r.UnderWay {
		if under >= r.Each && n < len(clients) {
			clients[n] = client
			n++
		}
	}
	return clients
}

// ClaimOAuthVisits takes clients that have to be told now of the end of a session, as far
// as there is room, and holds each until an instant: then it is due again, unless
// [Store.EndOAuthVisit] was called. Of any number of servers one gets each.
func (s *Store) ClaimOAuthVisits(ctx context.Context, now, until time.Time, room VisitRoom) ([]keystile.OAuthVisit, error) {
	const op = "claim clients to be told of a sign-out"
	full := room.full()
	rows, err := s.q.DueOAuthVisits(ctx, gen.DueOAuthVisitsParams{
		Now: nullMicros(now), Busy1: full[0], Busy2: full[1], Busy3: full[2], Busy4: full[3], RowLimit: rowLimit(room.All),
	})
	if err != nil || len(rows) == 0 {
		return nil, s.fail(op, err)
	}
	if err := s.writable(); err != nil {
		return nil, err
	}
	var claimed []keystile.OAuthVisit
	taken := map[string]int{}
	for _, v := range oauthVisitsOf(rows) {
		if room.UnderWay[v.ClientID]+taken[v.ClientID] >= room.Each {
			continue
		}
		n, err := gen.New(s.writer).ClaimOAuthVisit(ctx, gen.ClaimOAuthVisitParams{
			Until: nullMicros(until), Sid: v.SID, ClientID: v.ClientID, Tries: int32(v.Tries), Now: nullMicros(now), //nolint:gosec // G115: it was an int32
		})
		if err != nil {
			return claimed, s.fail(op, err)
		}
		if n == 1 {
			taken[v.ClientID]++
			v.Tries++
			v.DueAt = until
			claimed = append(claimed, v)
		}
	}
	return claimed, nil
}

// EndOAuthVisit says what became of a claimed visit: it is told again at due, or, where
// that is zero, never more. One that was claimed again since, or begun anew by another
// sign-in at the client, stays as it is.
func (s *Store) EndOAuthVisit(ctx context.Context, v keystile.OAuthVisit, due time.Time) error {
	const op = "note that a client was told of a sign-out"
	if err := s.writable(); err != nil {
		return err
	}
	q, tries := gen.New(s.writer), int32(v.Tries) //nolint:gosec // G115: it was an int32
	if due.IsZero() {
		return s.fail(op, q.DeleteOAuthVisit(ctx, v.SID, v.ClientID, tries))
	}
	return s.fail(op, q.PostponeOAuthVisit(ctx, nullMicros(due), v.SID, v.ClientID, tries))
}

func oauthVisitsOf(rows []gen.OauthVisit) []keystile.OAuthVisit {
	visits := make([]keystile.OAuthVisit, len(rows))
	for i, row := range rows {
		visits[i] = keystile.OAuthVisit{
			SID: row.Sid, SessionID: row.SessionID, ClientID: row.ClientID, UserID: row.UserID, ExpiresAt: timeOf(row.ExpiresAt), DueAt: nullTimeOf(row.DueAt), Tries: int(row.Tries),
		}
	}
	return visits
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// APIKeyFilter chooses API keys.
type APIKeyFilter struct {
	Page
	// OrganizationID: only this organisation's; empty: all.
	OrganizationID string
	// UserID: only keys that this user owns.
	UserID string
	// State: only keys that are active, expired or revoked now; empty: all.
	State string
	// SiteID: only keys that permit this site.
	SiteID string
	// Scope: only keys that grant this scope, by itself or with noun:*.
	Scope keystile.Scope
	// Head: only keys whose newest secret begins so; it may be longer than the hint that is kept.
	Head string
	// IdleSince: only keys that were not used from then on; zero: all. A key that was
	// never used counts from when it was made.
	IdleSince time.Time
	// ExpiresBefore: only keys that end before then; zero: all.
	ExpiresBefore time.Time
}

// plain says that nothing is asked for but the organisation.
func (f APIKeyFilter) plain() bool {
	return f == APIKeyFilter{Page: f.Page, OrganizationID: f.OrganizationID}
}

const (
	// fewKeys is how many keys a condition may choose for its index to be read whole:
	// each is one look-up at a random place. Of ten million keys a condition that
	// chooses more is met so often that walking by id finds some in time.
	fewKeys = 1000
	// scanStep is how many keys one step of a walk by id looks at, 5 to 9 ms on SQLite.
	scanStep = 10_000
	// scanTime is when a walk begins no further step, so that a page takes at most
	// 50 ms though no key of ten million is what was asked for.
	scanTime = 30 * time.Millisecond
)

// FilterAPIKeys lists the keys that a filter asks for, by id. What few keys have is
// found by its index: a key by how its secret begins, a user's, those that end.
// Otherwise it walks by id, in steps, until the page is full or it has looked long
// enough: through is where it stopped before the end, and where the next page
// begins, even if this one is not full; empty: at the end.
func (s *Store) FilterAPIKeys(ctx context.Context, f APIKeyFilter) (keys []keystile.APIKey, through string, err error) {
	const op = "list API keys"
	if f.plain() {
		keys, err = s.APIKeys(ctx, f)
		return keys, "", err
	}
	if f.SiteID != "" && f.OrganizationID == "" {
		// Keys permit sites of their own organisation.
		site, err := s.Site(ctx, f.SiteID)
		if err == nil {
			f.OrganizationID = site.OrganizationID
		} else if !errors.Is(err, keystile.ErrNotFound) {
			return nil, "", err
		}
	}
	f.Limit = int(rowLimit(f.Limit))
	now := s.now()
	few, err := s.fewAPIKeys(ctx, f, now)
	if err != nil {
		return nil, "", s.fail(op, err)
	}
	if few == nil {
		keys, through, err = s.walkAPIKeys(ctx, f, now)
	} else {
		few.and(unindexed("id")+" > %", f.AfterID)
		keys, err = s.selectAPIKeys(ctx, few, unindexed("id"), f.Limit)
		if len(keys) == f.Limit {
			through = keys[len(keys)-1].ID
		}
	}
	return keys, through, s.fail(op, err)
}

// fewAPIKeys is a query by the first index that chooses few keys, and by all else
// that is asked for; nil if none does.
func (s *Store) fewAPIKeys(ctx context.Context, f APIKeyFilter, now time.Time) (*query, error) {
	place := "id"
	if s.Engine() == "sqlite" {
		place = "rowid" // which every index has: no row is read to find it
	}
	for _, choose := range []func(APIKeyFilter, *query, time.Time) (chosen string, rest APIKeyFilter){byUser, byHead, byExpiry} {
		q := &query{}
		chosen, rest := choose(f, q, now)
		chosen = strings.ReplaceAll(chosen, "SELECT id", "SELECT "+place)
		if chosen == "" {
			continue
		}
		rows, err := s.searches.QueryContext(ctx, fmt.Sprintf("SELECT count(*) FROM (%s LIMIT %d) AS found", chosen, fewKeys+1), q.args...)
		if err != nil {
			return nil, err
		}
		var n int
		if err = onlyRow(rows, &n); err != nil {
			return nil, err
		}
		if n <= fewKeys {
			q.and(place + " IN (" + chosen + ")")
			if rest.OrganizationID != "" {
				q.and(unindexed("organization_id")+" = %", rest.OrganizationID)
			}
			rest.unindexed(q, now)
			return q, nil
		}
	}
	return nil, nil
}

// onlyRow scans the one row of a result and closes it.
func onlyRow(rows *sql.Rows, into ...any) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	if !rows.Next() {
		return errors.Join(sql.ErrNoRows, rows.Err())
	}
	return rows.Scan(into...)
}

// Each of these is a query for the ids that an index chooses, empty if nothing of the
// kind is asked for, and what else is asked for then. Its arguments are q's.

func byUser(f APIKeyFilter, q *query, _ time.Time) (chosen string, rest APIKeyFilter) {
	if f.UserID == "" {
		return "", f
	}
	// The second condition is that of the index.
	chosen = "SELECT id FROM api_keys WHERE user_id = " + q.arg(f.UserID) + " AND user_id <> ''"
	f.UserID = ""
	return chosen, f
}

// byHead asks for hints that go on after the head, and for those that the head goes
// on after: each of its beginnings. For an OR of both SQLite would read the whole index.
func byHead(f APIKeyFilter, q *query, _ time.Time) (chosen string, rest APIKeyFilter) {
	if f.Head == "" {
		return "", f
	}
	// U+10FFFF is after every character, by byte too. hint <> '' is the condition of the index.
	chosen = "SELECT id FROM api_keys WHERE hint <> '' AND hint >= " + q.arg(f.Head) + " AND hint < " + q.arg(f.Head+"\U0010FFFF")
	var shorter []string
	for i := range f.Head {
		if i > 0 {
			shorter = append(shorter, q.arg(f.Head[:i]))
		}
	}
	if len(shorter) > 0 {
		chosen += " UNION ALL SELECT id FROM api_keys WHERE hint <> '' AND hint IN (" + strings.Join(shorter, ", ") + ")"
	}
	f.Head = ""
	return chosen, f
}

func byExpiry(f APIKeyFilter, q *query, now time.Time) (chosen string, rest APIKeyFilter) {
	if f.ExpiresBefore.IsZero() && f.State != "expired" {
		return "", f
	}
	chosen = "SELECT id FROM api_keys WHERE expires_at IS NOT NULL"
	if !f.ExpiresBefore.IsZero() {
		chosen += " AND expires_at < " + q.arg(micros(f.ExpiresBefore))
		f.ExpiresBefore = time.Time{}
	}
	// What expired long ago is not among those that are about to. The state stays: it asks for more.
	switch f.State {
	case "expired":
		chosen += " AND expires_at <= " + q.arg(micros(now))
	case "active":
		chosen += " AND expires_at > " + q.arg(micros(now))
	}
	return chosen, f
}

// walkAPIKeys walks by id, revoked keys and those of an organisation along indexes
// that hold no others.
func (s *Store) walkAPIKeys(ctx context.Context, f APIKeyFilter, began time.Time) (keys []keystile.APIKey, through string, err error) {
	for {
		along := &query{}
		if f.State == "revoked" {
			along.and("revoked_at IS NOT NULL")
			if f.OrganizationID != "" { // as the index of revoked keys has it: SQLite would take the other
				along.and(unindexed("organization_id")+" = %", f.OrganizationID)
			}
		} else {
			along.text("organization_id", f.OrganizationID)
		}
		along.and("id > %", f.AfterID)
		if through, err = s.stepEnd(ctx, along); err != nil {
			return nil, "", err
		}
		if through != "" {
			along.and("id <= %", through)
		}
		f.unindexed(along, began)
		found, err := s.selectAPIKeys(ctx, along, "id", f.Limit-len(keys))
		if err != nil {
			return nil, "", err
		}
		if keys = append(keys, found...); len(keys) == f.Limit {
			return keys, keys[len(keys)-1].ID, nil
		}
		if through == "" || s.now().Sub(began) >= scanTime {
			return keys, through, nil
		}
		f.AfterID = through
	}
}

// stepEnd is where a step ends that begins where along does; empty: at the end.
func (s *Store) stepEnd(ctx context.Context, along *query) (id string, err error) {
	text := fmt.Sprintf("SELECT id FROM api_keys WHERE %s ORDER BY id LIMIT 1 OFFSET %d", strings.Join(along.conditions, " AND "), scanStep-1)
	rows, err := s.searches.QueryContext(ctx, text, along.args...)
	if err != nil {
		return "", err
	}
	if err = onlyRow(rows, &id); errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return id, err
}

// unindexed is a text column as no index knows it: the planner knows less than we
// do about how many keys a condition chooses.
func unindexed(column string) string { return column + " || ''" }

// unindexed adds what the filter asks for, but its page and organisation, so that
// no index is used for it. Lists are searched as in ListLiveAPIKeysPermittingSite.
func (f APIKeyFilter) unindexed(q *query, now time.Time) {
	at := micros(now)
	switch f.State {
	case "":
	case "revoked":
		q.and("revoked_at + 0 IS NOT NULL")
	case "expired":
		q.and("revoked_at IS NULL AND expires_at + 0 <= %", at)
	case "active":
		q.and("revoked_at IS NULL AND (expires_at IS NULL OR expires_at + 0 > %)", at)
	default:
		q.and("FALSE")
	}
	const listed = "replace(' ' || {} || ' ', %, '') <> ' ' || {} || ' '"
	if f.SiteID != "" {
		q.and(strings.ReplaceAll(listed, "{}", "permitted_site_ids"), " "+f.SiteID+" ")
	}
	if f.Scope != "" {
		noun, _, _ := strings.Cut(string(f.Scope), ":")
		granted := strings.ReplaceAll(listed, "{}", "scopes")
		q.and("("+granted+" OR "+granted+")", " "+string(f.Scope)+" ", " "+noun+":* ")
	}
	if f.UserID != "" {
		q.and(unindexed("user_id")+" = %", f.UserID)
	}
	if f.Head != "" {
		q.and("(substr(hint, 1, length(CAST(% AS text))) = % OR hint <> '' AND substr(CAST(% AS text), 1, length(hint)) = hint)", f.Head, f.Head, f.Head)
	}
	if !f.IdleSince.IsZero() {
		q.and("COALESCE(last_used_at, created_at) < %", micros(f.IdleSince))
	}
	if !f.ExpiresBefore.IsZero() {
		q.and("expires_at + 0 < %", micros(f.ExpiresBefore))
	}
}

// selectAPIKeys reads the keys that a query chooses.
func (s *Store) selectAPIKeys(ctx context.Context, q *query, order string, limit int) ([]keystile.APIKey, error) {
	return search(ctx, &s.reads, q.statement(keyFields, "api_keys", order, limit), q.args, scanAPIKey)
}

const keyFields = "id, organization_id, name, environment, permitted_site_ids, scopes, allowed_ips, rate, rate_algorithm, hint, " +
	"expires_at, revoked_at, last_used_at, created_at, updated_at, user_id, last_used_addr, last_used_route"

func scanAPIKey(rows *sql.Rows) (keystile.APIKey, error) {
	var row gen.ApiKey
	err := rows.Scan(&row.ID, &row.OrganizationID, &row.Name, &row.Environment, &row.PermittedSiteIds, &row.Scopes, &row.AllowedIps,
		&row.Rate, &row.RateAlgorithm, &row.Hint, &row.ExpiresAt, &row.RevokedAt, &row.LastUsedAt, &row.CreatedAt, &row.UpdatedAt,
		&row.UserID, &row.LastUsedAddr, &row.LastUsedRoute)
	if err != nil {
		return keystile.APIKey{}, err
	}
	return apiKeyOf(row)
}

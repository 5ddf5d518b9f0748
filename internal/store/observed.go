package store

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

// ObservedRefusal is what a route that only observes would have refused, of one
// credential for one reason.
type ObservedRefusal struct {
	RouteID string
	Reason  keystile.Reason
	// OrganizationID and CredentialID are empty where the credential was not proven.
	OrganizationID string
	CredentialID   string
	// Recorded counts the requests that were recorded: all up to 100 a second of an
	// organisation, at least one in each minute.
	Recorded        int64
	FirstAt, LastAt time.Time
}

// ObservedRefusals tells what would have been refused from since on, by route,
// reason and credential.
func (r *reads) ObservedRefusals(ctx context.Context, since time.Time, limit int) ([]ObservedRefusal, error) {
	const op = "list what was only observed"
	rows, err := r.q.ListObservedRefusals(ctx, micros(since), rowLimit(limit))
	if err != nil {
		return nil, r.fail(op, err)
	}
	return mapRows(rows, func(row gen.ListObservedRefusalsRow) (ObservedRefusal, error) {
		return ObservedRefusal{
			RouteID: row.RouteID, Reason: keystile.Reason(row.Reason), OrganizationID: row.OrganizationID, CredentialID: row.CredentialID,
			Recorded: row.Recorded, FirstAt: timeOf(row.FirstAt), LastAt: timeOf(row.LastAt),
		}, nil
	}, r.fail, op)
}

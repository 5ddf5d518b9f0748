package store

import (
	"context"
	"database/sql"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/store/gen"
)

const decisionColumns = "audit_decisions (seq, at, request_id, organization_id, kind, credential_id, route_id, point, method, path, " +
	"client_addr, allowed, observed, reason, cause, prev_hash, hash)"

// RecordDecisions appends a batch of decisions to their chain, all or none.
func (s *Store) RecordDecisions(ctx context.Context, batch []keystile.DecisionRecord) error {
	if err := s.writable(); err != nil {
		return err
	}
	if len(batch) == 0 {
		return nil
	}
	err := s.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		q := gen.New(s.prepared(tx))
		c, err := lockChain(ctx, q, DecisionsChain)
		if err != nil {
			return err
		}
		rows := make([][]any, len(batch))
		for i := range batch {
			d := cleanDecision(batch[i])
			prev := c.hash
			c.seq++
			c.hash = decisionHash(c.seq, prev, &d)
			hash := c.hash
			rows[i] = []any{
				c.seq, micros(d.At), d.RequestID, d.OrganizationID, string(d.Kind), d.CredentialID, d.RouteID, string(d.Point),
				d.Method, d.Path, d.ClientAddr, d.Allowed, d.Observed, string(d.Reason), d.Cause, prev[:], hash[:],
			}
		}
		if _, err := s.insertRows(ctx, tx, decisionColumns, rows, ""); err != nil {
			return err
		}
		return q.SaveAuditHead(ctx, c.id, c.seq, c.hash[:])
	})
	return s.fail("record decisions", err)
}

// cleanDecision makes a record of what a caller sent storable.
func cleanDecision(d keystile.DecisionRecord) keystile.DecisionRecord {
	d.At = stored(d.At)
	for _, p := range []*string{
		&d.RequestID, &d.OrganizationID, (*string)(&d.Kind), &d.CredentialID, &d.RouteID, (*string)(&d.Point),
		&d.Method, &d.Path, &d.ClientAddr, (*string)(&d.Reason), &d.Cause,
	} {
		*p = clean(*p)
	}
	return d
}

func decisionHash(seq int64, prev [32]byte, d *keystile.DecisionRecord) [32]byte {
	h := newChainHash("keystile audit decision 1", prev)
	h.number(seq)
	h.number(micros(d.At))
	for _, s := range []string{
		d.RequestID, d.OrganizationID, string(d.Kind), d.CredentialID, d.RouteID, string(d.Point),
		d.Method, d.Path, d.ClientAddr, string(d.Reason), d.Cause,
	} {
		h.text(s)
	}
	h.flag(d.Allowed)
	h.flag(d.Observed)
	return h.sum()
}

func decisionOf(row gen.AuditDecision) keystile.DecisionRecord {
	return keystile.DecisionRecord{
		Seq: row.Seq, At: timeOf(row.At), RequestID: row.RequestID, OrganizationID: row.OrganizationID, Kind: keystile.KindName(row.Kind),
		CredentialID: row.CredentialID, RouteID: row.RouteID, Point: keystile.Point(row.Point), Method: row.Method, Path: row.Path,
		ClientAddr: row.ClientAddr, Allowed: row.Allowed, Observed: row.Observed, Reason: keystile.Reason(row.Reason), Cause: row.Cause,
	}
}

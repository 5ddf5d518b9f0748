package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// Event is one entry of the audit log on the wire.
type Event struct {
	Organization string          `json:"organization" doc:"The chain it belongs to; empty: the global one"`
	Seq          int64           `json:"seq" doc:"Counts from 1 within the chain"`
	At           time.Time       `json:"at"`
	Actor        string          `json:"actor" example:"admin:adm_3k7xq2m5v6a4tz2e"`
	Action       string          `json:"action" example:"api_key.create"`
	Target       string          `json:"target" example:"api_key:key_sibaya"`
	Detail       json.RawMessage `json:"detail" doc:"The changed members; never a secret"`
	RequestID    string          `json:"request_id"`
	PrevHash     string          `json:"prev_hash" doc:"hash of the event before, hexadecimal"`
	Hash         string          `json:"hash" doc:"SHA-256 over prev_hash and this event, hexadecimal"`
}

func wireEvent(e keystile.Event) Event {
	detail := json.RawMessage(e.Detail)
	if !json.Valid(detail) {
		detail = json.RawMessage("null")
	}
	return Event{
		Organization: e.OrganizationID, Seq: e.Seq, At: e.At, Actor: e.Actor, Action: e.Action, Target: e.Target,
		Detail: detail, RequestID: e.RequestID,
		PrevHash: hex.EncodeToString(e.PrevHash[:]), Hash: hex.EncodeToString(e.Hash[:]),
	}
}

func registerAudit(a *API) error {
	return handle(a, "list-audit", func(ctx context.Context, c *caller, in *ofOrganization) (*listOutput[Event], error) {
		return listPage(a, c, in.Paging, listing[keystile.Event, Event]{
			binding: []string{"audit", in.Organization},
			read: func(after string, limit int) ([]keystile.Event, error) {
				var seq int64
				if after != "" {
					var err error
					if seq, err = strconv.ParseInt(after, 10, 64); err != nil {
						return nil, fmt.Errorf("place of an audit cursor: %w", err)
					}
				}
				return c.service.Events(ctx, manage.EventFilter{OrganizationID: in.Organization, AfterSeq: seq, Limit: limit})
			},
			place: func(e keystile.Event) string { return strconv.FormatInt(e.Seq, 10) },
			wire:  wireEvent,
		})
	})
}

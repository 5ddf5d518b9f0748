package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
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

// AuditTimes bounds a search in time.
type AuditTimes struct {
	Since time.Time `query:"since" example:"2026-11-01T00:00:00Z" doc:"At or after this time"`
	Until time.Time `query:"until" example:"2026-12-01T00:00:00Z" doc:"Before this time"`
}

func (t AuditTimes) binding() []string {
	return []string{t.Since.UTC().Format(time.RFC3339Nano), t.Until.UTC().Format(time.RFC3339Nano)}
}

type auditInput struct {
	Paging
	AuditTimes
	Organization string `query:"organization" doc:"Whose chain; absent: the global one"`
	All          bool   `query:"all" doc:"Every chain that the token may see, in the order of time"`
	Actor        string `query:"actor" maxLength:"256" example:"admin:adm_3k7xq2m5v6a4tz2e" doc:"Who acted"`
	Action       string `query:"action" maxLength:"128" example:"api_key.*" doc:"What was done; noun.* for everything of a noun"`
	Target       string `query:"target" maxLength:"256" example:"api_key:key_sibaya" doc:"What it was done to"`
	NewestFirst  bool   `query:"newest_first" doc:"The other way round"`
}

func (in *auditInput) filter(after string, limit int) (manage.EventFilter, error) {
	f := manage.EventFilter{
		OrganizationID: in.Organization, All: in.All, Actor: in.Actor, Action: in.Action, Target: in.Target,
		Since: in.Since, Until: in.Until, NewestFirst: in.NewestFirst, Limit: limit,
	}
	if after == "" {
		return f, nil
	}
	place, err := readEventPlace(after)
	if in.All {
		f.After = &place
	}
	f.AfterSeq = place.Seq
	return f, err
}

// eventPlace is where an event stands, for a cursor: both orders go by it.
func eventPlace(e keystile.Event) string {
	return strconv.FormatInt(e.Seq, 10) + " " + strconv.FormatInt(e.At.UnixMicro(), 10) + " " + e.OrganizationID
}

func readEventPlace(text string) (manage.EventPlace, error) {
	parts := strings.SplitN(text, " ", 3)
	if len(parts) != 3 {
		return manage.EventPlace{}, errors.New("place of an audit cursor: not three parts")
	}
	seq, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return manage.EventPlace{}, fmt.Errorf("place of an audit cursor: %w", err)
	}
	at, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return manage.EventPlace{}, fmt.Errorf("place of an audit cursor: %w", err)
	}
	return manage.EventPlace{At: time.UnixMicro(at).UTC(), OrganizationID: parts[2], Seq: seq}, nil
}

// Decision is one recorded decision on the wire.
type Decision struct {
	Seq          int64     `json:"seq" doc:"Counts from 1 within the chain of decisions"`
	At           time.Time `json:"at"`
	RequestID    string    `json:"request_id"`
	Organization string    `json:"organization" doc:"Whose credential it was; empty: of nobody known"`
	Kind         string    `json:"kind" example:"api_key" doc:"Kind of the credential; empty: none was found"`
	Credential   string    `json:"credential" doc:"Id of the credential"`
	Route        string    `json:"route"`
	Point        string    `json:"point" doc:"The enforcement point that asked"`
	Method       string    `json:"method"`
	Path         string    `json:"path"`
	ClientAddr   string    `json:"client_addr"`
	Allowed      bool      `json:"allowed"`
	Observed     bool      `json:"observed" doc:"It was recorded and not enforced"`
	Reason       string    `json:"reason" example:"scope_missing" doc:"Why it was refused; empty: it was allowed"`
	Cause        string    `json:"cause" doc:"What exactly, for the operator"`
}

func wireDecision(d keystile.DecisionRecord) Decision {
	return Decision{
		Seq: d.Seq, At: d.At, RequestID: d.RequestID, Organization: d.OrganizationID, Kind: string(d.Kind), Credential: d.CredentialID,
		Route: d.RouteID, Point: string(d.Point), Method: d.Method, Path: d.Path, ClientAddr: d.ClientAddr,
		Allowed: d.Allowed, Observed: d.Observed, Reason: string(d.Reason), Cause: d.Cause,
	}
}

type decisionsInput struct {
	Paging
	AuditTimes
	Organization string `query:"organization" doc:"Only of this organization's credentials"`
	Credential   string `query:"credential" maxLength:"256" doc:"Only of this credential"`
	Reason       string `query:"reason" maxLength:"64" example:"scope_missing" doc:"Only refusals for this reason"`
	RequestID    string `query:"request_id" maxLength:"128" doc:"Only of this request"`
	OldestFirst  bool   `query:"oldest_first" doc:"The other way round"`
}

func (in *decisionsInput) filter(after string, limit int) (manage.DecisionFilter, error) {
	f := manage.DecisionFilter{
		OrganizationID: in.Organization, CredentialID: in.Credential, Reason: keystile.Reason(in.Reason), RequestID: in.RequestID,
		Since: in.Since, Until: in.Until, OldestFirst: in.OldestFirst, Limit: limit,
	}
	if after == "" {
		return f, nil
	}
	var err error
	if f.AfterSeq, err = strconv.ParseInt(after, 10, 64); err != nil {
		return f, fmt.Errorf("place of a decision cursor: %w", err)
	}
	return f, nil
}

func registerAudit(a *API) error {
	return registerAll(
		handle(a, "list-audit", func(ctx context.Context, c *caller, in *auditInput) (*listOutput[Event], error) {
			return listPage(a, c, in.Paging, listing[keystile.Event, Event]{
				binding: append(in.binding(), "audit", in.Organization, strconv.FormatBool(in.All), in.Actor, in.Action, in.Target, strconv.FormatBool(in.NewestFirst)),
				read: func(after string, limit int) ([]keystile.Event, error) {
					filter, err := in.filter(after, limit)
					if err != nil {
						return nil, err
					}
					return c.service.Events(ctx, filter)
				},
				place: eventPlace,
				wire:  wireEvent,
			})
		}),
		handle(a, "list-decisions", func(ctx context.Context, c *caller, in *decisionsInput) (*listOutput[Decision], error) {
			return listPage(a, c, in.Paging, listing[keystile.DecisionRecord, Decision]{
				binding: append(in.binding(), "decisions", in.Organization, in.Credential, in.Reason, in.RequestID, strconv.FormatBool(in.OldestFirst)),
				read: func(after string, limit int) ([]keystile.DecisionRecord, error) {
					filter, err := in.filter(after, limit)
					if err != nil {
						return nil, err
					}
					return c.service.Decisions(ctx, filter)
				},
				place: func(d keystile.DecisionRecord) string { return strconv.FormatInt(d.Seq, 10) },
				wire:  wireDecision,
			})
		}),
	)
}

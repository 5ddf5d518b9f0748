package decisionapi

import (
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/problem"
)

// answer is one decision on the wire. Every member but detail and observed is
// always there.
type answer struct {
	Allow bool `json:"allow"`
	// Status is what the caller's caller should be answered: 200 if allowed.
	Status int `json:"status"`
	// Code is the true reason; empty if allowed. With observed it is what would
	// have been the reason.
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"`
	// Challenge is the WWW-Authenticate that a step-up is answered with (RFC 9470).
	Challenge string     `json:"challenge,omitempty"`
	Observed  bool       `json:"observed,omitempty"`
	Principal *principal `json:"principal"`
	Limit     *limit     `json:"limit"`
	RequestID string     `json:"request_id"`
}

type batchAnswer struct {
	Decisions []answer `json:"decisions"`
}

type principal struct {
	Subject      string           `json:"subject"`
	Organization string           `json:"organization"`
	Credential   credential       `json:"credential"`
	Scopes       []keystile.Scope `json:"scopes"`
	Sites        []string         `json:"sites"`
}

type credential struct {
	Kind keystile.KindName `json:"kind"`
	ID   string            `json:"id"`
}

// limit is the tightest limit that applied; times are whole seconds, rounded up.
type limit struct {
	Per           keystile.LimitPer `json:"per"`
	Quota         int               `json:"quota"`
	WindowSeconds int64             `json:"window_seconds"`
	Remaining     int               `json:"remaining"`
	ResetSeconds  int64             `json:"reset_seconds"`
}

func newAnswer(d *keystile.Decision, id string) answer {
	a := answer{
		Allow: d.Allowed, Status: d.Status(), Code: string(d.Reason), Detail: d.Public, Observed: d.Observed,
		Principal: newPrincipal(d.Principal), Limit: newLimit(&d.Limit), RequestID: id,
	}
	if !d.Allowed && d.Reason == keystile.ReasonNone {
		a.Code = problem.CodeUnavailable
	}
	if d.StepUp && !d.Allowed {
		a.Challenge = enforce.Challenge(d)
	}
	if d.Observed {
		a.Principal = nil // the credential may be bad; nobody may act on it
	}
	return a
}

func newPrincipal(p *keystile.Principal) *principal {
	if p == nil {
		return nil
	}
	out := &principal{
		Subject: p.Subject, Organization: p.OrganizationID,
		Credential: credential{Kind: p.Kind, ID: p.CredentialID}, Scopes: p.Scopes, Sites: p.SiteIDs,
	}
	if out.Scopes == nil {
		out.Scopes = []keystile.Scope{}
	}
	if out.Sites == nil {
		out.Sites = []string{}
	}
	return out
}

func newLimit(s *keystile.LimitState) *limit {
	if s.Rate == nil {
		return nil
	}
	return &limit{
		Per: s.Per, Quota: s.Rate.Requests, WindowSeconds: seconds(s.Rate.Window),
		Remaining: max(s.Remaining, 0), ResetSeconds: seconds(min(s.Reset, s.Rate.Window)), // counters err by less than a microsecond on the safe side
	}
}

func seconds(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d + time.Second - 1) / time.Second)
}

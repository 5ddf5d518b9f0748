package ona

import (
	"context"
	"errors"
	"net/http"
	"slices"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect/door"
)

// keyInfo is the answer of api-key-info.
type keyInfo struct {
	ID             string   `json:"api_key_id"`
	PermittedSites []string `json:"permitted_site_ids"`
	// ExpiresAt is absent from keys that never expire: the SDK fails on null.
	ExpiresAt string `json:"expires_at,omitempty"`
	CreatedAt string `json:"created_at"`
}

// keyValidity is the answer of validate-api-key.
type keyValidity struct {
	Valid          bool     `json:"valid"`
	PermittedSites []string `json:"permitted_site_ids"`
	Error          string   `json:"error,omitempty"`
}

// keyInfo is POST /api/auth/api-key-info. The key itself is the proof.
func (s *Server) keyInfo(ctx context.Context, c *call) answer {
	in, ok := door.Texts(c.body, "api_key")
	if !ok || in["api_key"] == "" {
		return invalidRequest
	}
	principal, refused := s.proveKey(ctx, c, in["api_key"])
	if refused != nil {
		return *refused
	}
	key, err := s.o.Key(ctx, principal.CredentialID)
	if errors.Is(err, keystile.ErrNotFound) {
		return keyNotFound // deleted meanwhile
	}
	if err != nil {
		return s.refuse(ctx, c, err)
	}
	info := keyInfo{ID: key.ID, PermittedSites: list(principal.SiteIDs), CreatedAt: stamp(key.CreatedAt)}
	if !principal.ExpiresAt.IsZero() {
		info.ExpiresAt = stamp(principal.ExpiresAt)
	}
	return success(info)
}

// validateKey is POST /api/auth/validate-api-key. A live key is answered whether
// the site is one of its or not.
func (s *Server) validateKey(ctx context.Context, c *call) answer {
	in, ok := door.Texts(c.body, "api_key", "site_id")
	if !ok || in["api_key"] == "" || in["site_id"] == "" {
		return invalidRequest
	}
	principal, refused := s.proveKey(ctx, c, in["api_key"])
	if refused != nil {
		return *refused
	}
	validity := keyValidity{Valid: slices.Contains(principal.SiteIDs, in["site_id"]), PermittedSites: list(principal.SiteIDs)}
	if !validity.Valid {
		validity.Error = textSiteNotPermitted
	}
	return success(validity)
}

// proveKey verifies an API key and counts the question. Unknown, expired and
// revoked keys are one answer, and so is one that may not be used from here.
func (s *Server) proveKey(ctx context.Context, c *call, text string) (*keystile.Principal, *answer) {
	found := keystile.Found{Value: keystile.Secret(text)}
	principal, err := door.Prove(ctx, s.o.Keys, found, c.caller.Addr, c.caller.RequestID)
	quota := &s.good
	if err != nil {
		if _, told := door.ReasonOf(err); !told {
			a := s.refuse(ctx, c, err)
			return nil, &a
		}
		quota = &s.bad
	}
	hold, failed := quota.Take(ctx, c.caller.Addr, s.o.Now())
	switch {
	case failed != nil:
		a := s.refuse(ctx, c, failed)
		return nil, &a
	case hold > 0:
		a := wait(http.StatusTooManyRequests, hold)
		return nil, &a
	case err != nil:
		return nil, &keyNotFound
	}
	return principal, nil
}

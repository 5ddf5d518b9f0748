package manage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
)

// BootstrapLife is how long a bootstrap token lives after its first use.
const BootstrapLife = 24 * time.Hour

// adminTokenLength: head, 32 random characters, 6 of checksum.
const adminTokenLength = len(adminTokenHead) + 32 + 6

// Authenticate says whose admin token a secret is. A secret that is no good one
// is an error that wraps keystile.ErrRejected with a *keystile.Rejection naming
// the reason; any other error means that it cannot be told, which is a refusal
// too.
//
// Each call is one look-up by keyed digest, so that revoking counts at once and
// nothing is compared byte by byte with what a caller sent.
func (s *Service) Authenticate(ctx context.Context, secret keystile.Secret, now time.Time) (keystile.AdminToken, error) {
	var none keystile.AdminToken
	if !adminTokenShape(secret.Reveal()) {
		return none, keystile.Reject(keystile.ReasonCredentialMalformed, "not the form of an admin token")
	}
	candidates := s.Digester.Candidates(apikey.Sum(secret), make([][32]byte, 0, 3))
	token, err := s.Store.FindAdminToken(ctx, candidates)
	if errors.Is(err, keystile.ErrNotFound) {
		return none, keystile.Reject(keystile.ReasonCredentialUnknown, "no admin token has this digest")
	}
	if err != nil {
		return none, fmt.Errorf("look up an admin token: %w", err)
	}
	if err := liveToken(token, now); err != nil {
		return none, err
	}
	if token.OrganizationID != "" {
		if err := s.ownerEnabled(ctx, token); err != nil {
			return none, err
		}
	}
	if token.Bootstrap && token.FirstUsedAt.IsZero() {
		// The first use must be on record before it counts, or the 24 h would
		// never begin.
		if err := s.Store.MarkAdminTokenUsed(ctx, token.ID, now); err != nil {
			return none, fmt.Errorf("record the first use of admin token %q: %w", token.ID, err)
		}
		token.FirstUsedAt = now
	}
	return token, nil
}

func adminTokenShape(text string) bool {
	if len(text) != adminTokenLength || !strings.HasPrefix(text, adminTokenHead) {
		return false
	}
	for _, c := range []byte(text[len(adminTokenHead):]) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// liveToken refuses a token that was revoked or is over.
func liveToken(token keystile.AdminToken, now time.Time) error {
	switch {
	case !token.RevokedAt.IsZero():
		return keystile.Reject(keystile.ReasonCredentialRevoked, "admin token "+token.ID+" is revoked")
	case !token.ExpiresAt.IsZero() && !now.Before(token.ExpiresAt):
		return keystile.Reject(keystile.ReasonCredentialExpired, "admin token "+token.ID+" is expired")
	case token.Bootstrap && !token.FirstUsedAt.IsZero() && now.Sub(token.FirstUsedAt) >= BootstrapLife:
		return keystile.Reject(keystile.ReasonCredentialExpired, "bootstrap token "+token.ID+" was first used more than 24 h ago")
	}
	return nil
}

// ownerEnabled refuses a token whose organisation is gone or disabled.
func (s *Service) ownerEnabled(ctx context.Context, token keystile.AdminToken) error {
	org, err := s.Store.Organization(ctx, token.OrganizationID)
	switch {
	case errors.Is(err, keystile.ErrNotFound):
		return keystile.Reject(keystile.ReasonCredentialUnknown, "the organization of admin token "+token.ID+" is gone")
	case err != nil:
		return fmt.Errorf("organization of admin token %q: %w", token.ID, err)
	case org.Disabled:
		return keystile.Reject(keystile.ReasonCredentialRevoked, "the organization of admin token "+token.ID+" is disabled")
	}
	return nil
}

package partner

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/partner"
)

// Parameters name the query parameters of a launch URL (protocols 2.8, "Launch").
type Parameters struct {
	SessionToken, TenantID, ApplicationID string
}

// DefaultParameters are the platform's.
var DefaultParameters = Parameters{SessionToken: "aurora_session_token", TenantID: "aurora_tenant_id", ApplicationID: "application_id"}

// Launch makes a session token for a user of a tenant and returns the URL the
// user's browser is sent to. app must be as the store holds it, tenant the user's
// own organisation. The token is good for one exchange within the hour.
func (s *Service) Launch(ctx context.Context, app keystile.Application, tenant keystile.Organization, userID string, p Parameters) (string, error) {
	if app.Kind != keystile.ApplicationEmbedded || app.LaunchURL == "" {
		return "", &Refusal{http.StatusConflict, "not_launchable", "The application has no page to open.", "application " + app.ID + " is not embedded"}
	}
	target, err := url.Parse(app.LaunchURL)
	if err != nil {
		return "", fmt.Errorf("launch: the stored URL of application %s: %w", app.ID, err)
	}
	now := s.now()
	found, err := s.tenant(ctx, &app, tenant.TenantID, now)
	if err != nil {
		return "", err
	}
	if found.Tenant.ID != tenant.ID {
		return "", errors.New("launch: the tenant's id on the wire is another tenant's")
	}
	secret, err := partner.Generate(s.random, partner.SessionToken, app.Environment)
	if err != nil {
		return "", err
	}
	session := keystile.PartnerSession{
		ApplicationID: app.ID, TenantID: tenant.ID, Generation: found.Authorization.Generation, UserID: userID,
		CreatedAt: now, ExpiresAt: now.Add(keystile.PartnerSessionLife),
	}
	session.Digest, session.PepperID = s.digester.Digest(partner.Sum(secret))
	if err := s.store.CreatePartnerSession(ctx, session); err != nil {
		return "", fmt.Errorf("launch: %w", err)
	}
	given := url.Values{p.SessionToken: {secret.Reveal()}, p.TenantID: {tenant.TenantID}, p.ApplicationID: {app.ID}}
	target.RawQuery = withParameters(target.RawQuery, given)
	return target.String(), nil
}

// withParameters adds parameters to a query, in place of any of the same names.
// Everything else stays as the partner wrote it.
func withParameters(query string, given url.Values) string {
	kept := make([]string, 0, 4)
	for piece := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(piece, "=")
		plain, err := url.QueryUnescape(name)
		if piece == "" || err == nil && given.Has(plain) {
			continue
		}
		kept = append(kept, piece)
	}
	return strings.Join(append(kept, given.Encode()), "&")
}

package manage

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/store"
)

// CreateOrganization makes an organisation. ID may be empty, then one is drawn;
// Name defaults to the id, Environment to production, KeyPrefix to "opa", and
// TenantID to the id itself if that is a UUID, else to a random one. Times in
// the input are ignored.
func (s *Service) CreateOrganization(ctx context.Context, a store.Actor, in keystile.Organization) (keystile.Organization, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.Organization, error) {
		return s.CreateOrganizationTx(ctx, tx, in)
	})
}

// CreateOrganizationTx is CreateOrganization inside a transaction.
func (s *Service) CreateOrganizationTx(ctx context.Context, tx *store.Tx, in keystile.Organization) (keystile.Organization, error) {
	if err := s.global("create an organization"); err != nil {
		return keystile.Organization{}, err
	}
	org, err := s.completeOrganization(in)
	if err != nil {
		return keystile.Organization{}, err
	}
	if err := checkOrganization(nil, org); err != nil {
		return keystile.Organization{}, err
	}
	org.CreatedAt = s.now()
	org.UpdatedAt = org.CreatedAt
	if err := tx.CreateOrganization(ctx, org); err != nil {
		return keystile.Organization{}, fmt.Errorf("create organization %q: %w", org.ID, err)
	}
	return org, nil
}

// completeOrganization fills what a new organisation leaves to defaults.
func (s *Service) completeOrganization(org keystile.Organization) (keystile.Organization, error) {
	var err error
	org.Leak = steadyLeak(org.Leak)
	if org.ID == "" {
		if org.ID, err = s.newID("org_"); err != nil {
			return org, err
		}
	}
	if org.Name == "" {
		org.Name = org.ID
	}
	if org.Environment == "" {
		org.Environment = keystile.Production
	}
	if org.KeyPrefix == "" {
		org.KeyPrefix = keystile.DefaultKeyPrefix
	}
	if org.TenantID == "" {
		if org.TenantID, err = s.tenantID(org.ID); err != nil {
			return org, err
		}
	}
	return org, nil
}

// tenantID is the organisation's id if that is a UUID, else a random UUID
// (version 4; RFC 9562, section 5.4).
func (s *Service) tenantID(organizationID string) (string, error) {
	if isUUID(organizationID) {
		return strings.ToLower(organizationID), nil
	}
	var u [16]byte
	if _, err := io.ReadFull(s.Random, u[:]); err != nil {
		return "", fmt.Errorf("draw random bytes for a tenant id: %w", err)
	}
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	h := hex.EncodeToString(u[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-"), nil
}

// isUUID says whether s is a UUID in its text form (RFC 9562, section 4).
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}

func checkOrganization(p problems, org keystile.Organization) error {
	p.id("id", org.ID)
	p.name("name", org.Name)
	checkEnvironment(&p, org.Environment)
	if !isUUID(org.TenantID) {
		p.add("tenant_id", "write it as 8-4-4-4-12 hexadecimal digits, or leave it out", "not a UUID")
	}
	if !apikey.ValidPrefix(org.KeyPrefix) {
		p.add("key_prefix", "use 1 to 16 of a-z 0-9 and no prefix that names another kind of credential", "not a usable key prefix")
	}
	checkOneTime(&p, org.OneTime)
	checkLeak(&p, org.Leak)
	p.mfa("mfa", org.MFA)
	return p.err()
}

// Bounds of an organisation's clock window: a narrower one refuses honest
// clocks, a wider one keeps every nonce for longer.
const (
	MinClockWindow = 5 * time.Second
	MaxClockWindow = 15 * time.Minute
)

func checkOneTime(p *problems, policy keystile.OneTimePolicy) {
	if w := policy.ClockWindow; w != 0 && (w < MinClockWindow || w > MaxClockWindow || w%time.Second != 0) {
		p.add("onetime.clock_window", "use whole seconds from 5s to 15m, or leave it out for the server's default", "not a clock window")
	}
	seen := map[keystile.OneTimeForm]bool{}
	for i, form := range policy.Forms {
		at := fmt.Sprintf("onetime.forms[%d]", i)
		switch {
		case form != keystile.FormHeader && form != keystile.FormJWT && form != keystile.FormHTTPSignature:
			p.add(at, "use header, jwt or http_signature", "not a form of one-time requests")
		case seen[form]:
			p.add(at, "name it once", "names a form a second time")
		}
		seen[form] = true
	}
}

// steadyLeak writes the default response in one way.
func steadyLeak(p keystile.LeakPolicy) keystile.LeakPolicy {
	if p.Response == keystile.LeakNotify {
		p.Response = ""
	}
	return p
}

func checkLeak(p *problems, policy keystile.LeakPolicy) {
	switch policy.Response {
	case "", keystile.LeakNotify, keystile.LeakThrottle, keystile.LeakRevoke:
	default:
		p.add("leak.response", "use notify, throttle or revoke", "not a response to a leak")
	}
	switch {
	case policy.Grace < 0 || policy.Grace > MaxLeakGrace || policy.Grace%time.Second != 0:
		p.add("leak.grace", "use whole seconds from 0s to 2160h", "not a grace")
	case policy.Grace > 0 && policy.Response != keystile.LeakRevoke:
		p.add("leak.grace", "leave it out, or let leak.response be revoke", "means nothing without revoking")
	}
}

func checkEnvironment(p *problems, env keystile.Environment) {
	if env != keystile.Production && env != keystile.Sandbox {
		p.add("environment", "use production or sandbox", "not an environment")
	}
}

// UpdateOrganization lets edit change an organisation. Its id and times are
// not edit's to set. A token bound to the organisation may change its name, key
// prefix and response to leaks and nothing else: whether an organisation is on, and in which
// environment, is for whoever runs the server.
func (s *Service) UpdateOrganization(ctx context.Context, a store.Actor, id string, edit func(*keystile.Organization) error) (keystile.Organization, error) {
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (keystile.Organization, error) {
		return s.UpdateOrganizationTx(ctx, tx, id, edit)
	})
}

// UpdateOrganizationTx is UpdateOrganization inside a transaction.
func (s *Service) UpdateOrganizationTx(ctx context.Context, tx *store.Tx, id string, edit func(*keystile.Organization) error) (keystile.Organization, error) {
	old, err := s.organization(ctx, tx, id)
	if err != nil {
		return keystile.Organization{}, err
	}
	// Read a second time rather than copied: edit may then change a list in
	// place, and old stays what it was.
	org, err := s.organization(ctx, tx, id)
	if err != nil {
		return keystile.Organization{}, err
	}
	var p problems
	if err := p.take(edit(&org)); err != nil {
		return keystile.Organization{}, err
	}
	org.ID, org.CreatedAt, org.UpdatedAt = old.ID, old.CreatedAt, old.UpdatedAt
	org.Leak = steadyLeak(org.Leak)
	if len(org.OneTime.Forms) == 0 {
		org.OneTime.Forms = nil
	}
	if reflect.DeepEqual(org, old) && len(p) == 0 {
		return old, nil
	}
	own := old
	own.Name, own.KeyPrefix, own.Leak = org.Name, org.KeyPrefix, org.Leak
	if s.boundTo() != "" && !reflect.DeepEqual(org, own) {
		return keystile.Organization{}, fmt.Errorf("change more than the name, key prefix and response to leaks of organization %q: %w", id, ErrNotPermitted)
	}
	if err := checkOrganization(p, org); err != nil {
		return keystile.Organization{}, err
	}
	if err := tx.UpdateOrganization(ctx, org); err != nil {
		return keystile.Organization{}, fmt.Errorf("update organization %q: %w", id, err)
	}
	return s.organization(ctx, tx, id) // the store stamped it
}

// DeleteOrganization deletes an organisation that owns nothing any more; one
// that still owns sites, users, identity providers, keys, signing keys or admin tokens is keystile.ErrConflict.
func (s *Service) DeleteOrganization(ctx context.Context, a store.Actor, id string) error {
	return remove(ctx, s, a, func(ctx context.Context, tx *store.Tx) error {
		return s.DeleteOrganizationTx(ctx, tx, id)
	})
}

// DeleteOrganizationTx is DeleteOrganization inside a transaction.
func (s *Service) DeleteOrganizationTx(ctx context.Context, tx *store.Tx, id string) error {
	if err := s.global("delete an organization"); err != nil {
		return err
	}
	if _, err := s.organization(ctx, tx, id); err != nil {
		return err
	}
	if err := tx.DeleteOrganization(ctx, id); err != nil {
		return fmt.Errorf("delete organization %q: %w", id, err)
	}
	return nil
}

// Organization returns one organisation.
func (s *Service) Organization(ctx context.Context, id string) (keystile.Organization, error) {
	return s.organization(ctx, s.Store, id)
}

// Organizations lists organisations by id; a caller bound to one sees that one.
func (s *Service) Organizations(ctx context.Context, page store.Page) ([]keystile.Organization, error) {
	bound := s.boundTo()
	if bound == "" {
		orgs, err := s.Store.Organizations(ctx, page)
		if err != nil {
			return nil, fmt.Errorf("list organizations: %w", err)
		}
		return orgs, nil
	}
	if page.AfterID >= bound {
		return nil, nil
	}
	org, err := s.organization(ctx, s.Store, bound)
	if errors.Is(err, keystile.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []keystile.Organization{org}, nil
}

// organizationReader is what store.Store and store.Tx share here.
type organizationReader interface {
	Organization(ctx context.Context, id string) (keystile.Organization, error)
}

func (s *Service) organization(ctx context.Context, from organizationReader, id string) (keystile.Organization, error) {
	if !s.sees(id) || !keystile.ValidID(id) {
		return keystile.Organization{}, missing("organization", id)
	}
	org, err := from.Organization(ctx, id)
	if err != nil {
		return keystile.Organization{}, fmt.Errorf("organization %q: %w", id, err)
	}
	return org, nil
}

// owner returns the organisation that a new thing is to belong to. That it is
// absent, and that it is another's, are told the same way.
func (s *Service) owner(ctx context.Context, tx *store.Tx, id string) (keystile.Organization, error) {
	org, err := s.organization(ctx, tx, id)
	if errors.Is(err, keystile.ErrNotFound) {
		return org, keystile.Invalidf("organization", "name an organization that exists", "there is no such organization")
	}
	return org, err
}

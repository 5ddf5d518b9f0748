package manage

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/store"
)

// noticeInterval is how long after a notice that a key leaked there is no other (rulings R33).
const noticeInterval = 24 * time.Hour

// MaxLeakGrace is the longest that a leaked secret may go on.
const MaxLeakGrace = 90 * 24 * time.Hour

// LeakReport is a key that somebody found in the open.
type LeakReport struct {
	Secret keystile.Secret
	// Source and URL say where it was found, in the reporter's words; both may be empty.
	Source, URL string
	// From is the network it came from; the zero address: not known.
	From netip.Addr
}

// Leak is what a report came to.
type Leak struct {
	Key          keystile.APIKey
	Organization keystile.Organization
	// EndsAt is when the leaked secret ends; zero: it goes on.
	EndsAt time.Time
	// Told says that a notice is due: it is the first report of the key in a day.
	Told bool
}

// ReportLeak answers to a key that was found in the open, as its organisation
// wants. Whoever knows a key may report it: that is all the proof there is, and all
// that is needed. A key that is unknown or opens nothing any more is
// keystile.ErrNotFound; a report that changes nothing writes nothing.
func (s *Service) ReportLeak(ctx context.Context, a store.Actor, in LeakReport) (Leak, error) {
	unknown := fmt.Errorf("the reported key: %w", keystile.ErrNotFound)
	text := in.Secret.Reveal()
	if text == "" || len(text) > apikey.MaxImport || apikey.ShapeOf(text) == apikey.ShapeBadChecksum {
		return Leak{}, unknown // of our own shape and mistyped: nothing to look for
	}
	digests := s.Digester.Candidates(apikey.Sum(in.Secret), make([][32]byte, 0, keyring.MaxPeppers))
	found, err := s.Store.FindAPIKeySecret(ctx, digests)
	if err != nil {
		return Leak{}, fmt.Errorf("look for the reported key: %w", err)
	}
	if !s.opens(found) {
		return Leak{}, unknown
	}
	notice, err := s.Store.APIKeyNotice(ctx, found.Key.ID, store.NoticeLeaked)
	if err != nil {
		return Leak{}, err
	}
	if endsAt, due := s.leakEnd(found); !due && s.Now().Sub(notice.At) < noticeInterval {
		return Leak{Key: found.Key, Organization: found.Organization, EndsAt: endsAt}, nil
	}
	return change(ctx, s, a, func(ctx context.Context, tx *store.Tx) (Leak, error) {
		return s.answerLeak(ctx, tx, found, in)
	})
}

// opens says whether a secret opens anything.
func (s *Service) opens(found store.APIKeyLookup) bool {
	now, end := s.now(), found.Secret.ExpiresAt
	return StateOf(found.Key, now) == KeyActive && (end.IsZero() || now.Before(end))
}

// leakEnd is when a secret is to end by its organisation's policy, and whether
// anything is to be written for that.
func (s *Service) leakEnd(found store.APIKeyLookup) (endsAt time.Time, due bool) {
	leaked := found.Secret.LeakedAt
	if leaked.IsZero() {
		leaked, due = s.now(), true
	}
	endsAt = found.Secret.ExpiresAt
	if found.Organization.Leak.Response == keystile.LeakRevoke {
		if end := leaked.Add(found.Organization.Leak.Grace); endsAt.IsZero() || end.Before(endsAt) {
			return end, true
		}
	}
	return endsAt, due
}

// answerLeak reads everything again under the organisation's lock.
func (s *Service) answerLeak(ctx context.Context, tx *store.Tx, found store.APIKeyLookup, in LeakReport) (leak Leak, err error) {
	if found.Key, err = tx.APIKey(ctx, found.Key.ID); err != nil {
		return leak, fmt.Errorf("the reported key: %w", err)
	}
	if found.Organization, err = tx.Organization(ctx, found.Key.OrganizationID); err != nil {
		return leak, fmt.Errorf("organization of the reported key: %w", err)
	}
	if found.Secret, err = secretWith(ctx, tx, found.Key.ID, found.Secret.Digest); err != nil {
		return leak, err
	}
	if !s.opens(found) {
		return leak, fmt.Errorf("the reported key: %w", keystile.ErrNotFound)
	}
	leak = Leak{Key: found.Key, Organization: found.Organization}
	leak.EndsAt, _ = s.leakEnd(found)
	if err := tx.MarkAPIKeyLeaked(ctx, found.Key.ID, found.Secret.Digest, leak.EndsAt); err != nil {
		return leak, fmt.Errorf("mark the reported key: %w", err)
	}
	notice, err := tx.APIKeyNotice(ctx, found.Key.ID, store.NoticeLeaked)
	if err != nil {
		return leak, err
	}
	if now := s.now(); now.Sub(notice.At) >= noticeInterval {
		leak.Told = true
		if err := tx.NoteAPIKey(ctx, found.Key.ID, store.NoticeLeaked, now, leak.detail(in)); err != nil {
			return leak, fmt.Errorf("note the leak of a key: %w", err)
		}
	}
	return leak, s.revokeIfOver(ctx, tx, found.Key.ID)
}

// secretWith is the secret of a key that has a digest.
func secretWith(ctx context.Context, tx *store.Tx, keyID string, digest [32]byte) (keystile.APIKeySecret, error) {
	secrets, err := tx.APIKeySecrets(ctx, keyID)
	if err != nil {
		return keystile.APIKeySecret{}, err
	}
	for _, secret := range secrets {
		if secret.Digest == digest {
			return secret, nil
		}
	}
	return keystile.APIKeySecret{}, fmt.Errorf("secret of API key %q: %w", keyID, keystile.ErrNotFound)
}

// detail is what the audit log says of a leak. Who reports chooses the words: they
// are bounded, and nothing that holds the key itself is kept.
func (l Leak) detail(in LeakReport) map[string]any {
	response := l.Organization.Leak.Response
	if response == "" {
		response = keystile.LeakNotify
	}
	detail := map[string]any{"response": string(response), "hint": l.Key.Hint}
	if !l.EndsAt.IsZero() {
		detail["secret_expires_at"] = l.EndsAt.UTC().Format(time.RFC3339Nano)
	}
	if source := reported(in.Source, in.Secret); source != "" {
		detail["reported_source"] = source
	}
	if place := reportedURL(in.URL, in.Secret); place != "" {
		detail["reported_url"] = place
	}
	return detail
}

// maxReported bounds what is kept of a reporter's words, in bytes.
const maxReported = 256

// reported is a reporter's text as it may be kept: no control characters, bounded,
// and nothing at all if it holds the key.
func reported(text string, secret keystile.Secret) string {
	if strings.Contains(text, secret.Reveal()) {
		return ""
	}
	text = strings.Map(func(r rune) rune {
		if unprintable(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if len(text) > maxReported {
		text = strings.ToValidUTF8(text[:maxReported], "")
	}
	return text
}

// reportedURL is the scheme, host and path of a reporter's URL. User, query and
// fragment are where credentials stand in URLs.
func reportedURL(text string, secret keystile.Secret) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ""
	}
	if strings.Contains(u.Path, secret.Reveal()) {
		return ""
	}
	return reported((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String(), secret)
}

// revokeIfOver revokes a key that leaked and has no secret left.
func (s *Service) revokeIfOver(ctx context.Context, tx *store.Tx, keyID string) error {
	key, err := tx.APIKey(ctx, keyID)
	if err != nil {
		return fmt.Errorf("API key %q: %w", keyID, err)
	}
	secrets, err := tx.APIKeySecrets(ctx, keyID)
	if err != nil {
		return err
	}
	now, leaked := s.now(), false
	for _, secret := range secrets {
		if secret.ExpiresAt.IsZero() || now.Before(secret.ExpiresAt) {
			return nil
		}
		leaked = leaked || !secret.LeakedAt.IsZero()
	}
	if !leaked || !key.RevokedAt.IsZero() {
		return nil
	}
	if err := tx.RevokeAPIKey(ctx, keyID, now); err != nil {
		return fmt.Errorf("revoke API key %q, which leaked: %w", keyID, err)
	}
	return nil
}

// RevokeEnded revokes keys that leaked and whose last secret has ended. The secrets
// open nothing since then: this makes the keys say so. It does a bounded part and
// returns how many there were.
func (s *Service) RevokeEnded(ctx context.Context, a store.Actor, limit int) (int, error) {
	ids, err := s.Store.EndedLeakedAPIKeys(ctx, s.now(), limit)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, id := range ids {
		err := remove(ctx, s, a, func(ctx context.Context, tx *store.Tx) error { return s.revokeIfOver(ctx, tx, id) })
		if !isNotFound(err) { // deleted meanwhile: as good
			errs = append(errs, err)
		}
	}
	return len(ids), errors.Join(errs...)
}

// LeakAddressees are the users to be told that a key leaked: whoever administers
// its organisation, and its owner.
func (s *Service) LeakAddressees(ctx context.Context, key keystile.APIKey) ([]keystile.User, error) {
	users, err := s.Store.Administrators(ctx, key.OrganizationID)
	if err != nil {
		return nil, err
	}
	if key.UserID == "" {
		return users, nil
	}
	owner, err := s.Store.User(ctx, key.UserID)
	if errors.Is(err, keystile.ErrNotFound) || err == nil && (owner.Disabled || owner.Email == "") {
		return users, nil
	}
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		if u.ID == owner.ID {
			return users, nil
		}
	}
	return append(users, owner), nil
}

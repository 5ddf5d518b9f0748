package clientmetadata

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
)

// How long documents are used, whatever their servers say.
const (
	// MinFresh is the shortest time in which a document is not fetched again.
	MinFresh = time.Minute
	// DefaultFresh is how long one is used whose server does not say.
	DefaultFresh = 15 * time.Minute
	// MaxFresh is the longest: a client whose document is gone is gone a day later.
	MaxFresh = 24 * time.Hour
	// failedFor is how long a failure is remembered, so that a page that is loaded
	// again is not another fetch.
	failedFor = 10 * time.Second
	// maxDocuments bounds the memory for documents: 64 KiB each at the very most.
	maxDocuments = 1000
)

// IsDocumentURL says whether a client_id is meant to be the URL of a document: it has
// the form of no client that was registered here.
func IsDocumentURL(clientID string) bool { return strings.HasPrefix(clientID, "https://") }

// CheckDocumentURL judges the URL of a document (OAuth Client ID Metadata Document,
// section 3): https, a path, no dots in it, no user, no fragment; and no query, so
// that a client has one name. An error is a *keystile.Invalid for client_id.
func CheckDocumentURL(clientID string) error {
	problem := httpsProblem(clientID)
	if problem == "" {
		u, err := url.Parse(clientID)
		switch {
		case err != nil || u.Path == "":
			problem = "it has no path"
		case u.RawQuery != "" || u.ForceQuery:
			problem = "it has a query"
		default:
			problem = pathProblem(u.EscapedPath())
		}
	}
	if problem != "" {
		return keystile.Invalidf("client_id", "the https URL of a client metadata document", "%s", problem)
	}
	return nil
}

// ParseDocument reads and judges a document that was served at a URL. Beside what
// Parse asks: "client_id" is that URL, byte for byte, and there is no secret, since
// everybody can read it (section 4.1).
func ParseDocument(clientID string, data []byte) (*Metadata, error) {
	m, have, err := parse(data)
	if err != nil {
		return nil, err
	}
	_, said := have["token_endpoint_auth_method"]
	switch {
	case m.ClientID != clientID:
		return nil, keystile.Invalidf("client_id", "the URL that the document is served at", "it is missing or another one")
	case have.there("client_secret") || have.there("client_secret_expires_at"):
		return nil, keystile.Invalidf("client_secret", "private_key_jwt, or none", "a document that everybody can read holds no secret")
	case m.AuthMethod.Secret() && said:
		return nil, keystile.Invalidf("token_endpoint_auth_method", "private_key_jwt, or none", "there is no secret to prove")
	case m.AuthMethod.Secret():
		m.AuthMethod = AuthNone
	}
	return m, nil
}

// Fetch gets a URL and answers status, header and a body of at most limit bytes. It
// refuses addresses that are not public and follows no redirects.
type Fetch func(ctx context.Context, address string, limit int64) (status int, header http.Header, body []byte, err error)

// Documents fetches and remembers documents. It is safe for concurrent use.
type Documents struct {
	fetch Fetch
	now   func() time.Time

	mu    sync.Mutex
	known map[string]*document
}

// document is what is known of one URL. Its lock is held while it is fetched, so
// that many who ask at once are one fetch.
type document struct {
	mu       sync.Mutex
	metadata *Metadata
	failure  error
	until    time.Time // when it is fetched again
}

// NewDocuments makes Documents; both are required.
func NewDocuments(fetch Fetch, now func() time.Time) *Documents {
	return &Documents{fetch: fetch, now: now, known: map[string]*document{}}
}

// ErrNoDocument is "no": the URL is none of a document, or what it serves is not one.
// It wraps [keystile.ErrRejected]. That the URL cannot be reached is
// [keystile.ErrUnavailable].
var ErrNoDocument = fmt.Errorf("no client metadata document: %w", keystile.ErrRejected)

// Find is the document of a client that calls itself by a URL. It waits for a
// fetch where none is remembered. What it answers is shared: it is not to be changed.
func (d *Documents) Find(ctx context.Context, clientID string) (*Metadata, error) {
	if err := CheckDocumentURL(clientID); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDocument, err)
	}
	k := d.at(clientID)
	k.mu.Lock()
	defer k.mu.Unlock()
	now := d.now()
	// A clock that was set back makes nothing fresh for longer than it may be.
	if left := k.until.Sub(now); left <= 0 || left > MaxFresh {
		var fresh time.Duration
		// The fetch is not given up with whoever happened to need it; it is bounded by itself.
		k.metadata, fresh, k.failure = d.get(context.WithoutCancel(ctx), clientID)
		k.until = now.Add(fresh)
	}
	return k.metadata, k.failure
}

func (d *Documents) at(clientID string) *document {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.known[clientID]
	if k == nil {
		if len(d.known) >= maxDocuments {
			clear(d.known)
		}
		k = &document{}
		d.known[clientID] = k
	}
	return k
}

// get fetches a document and says for how long that counts.
func (d *Documents) get(ctx context.Context, clientID string) (*Metadata, time.Duration, error) {
	status, header, body, err := d.fetch(ctx, clientID, MaxSize)
	if err != nil {
		return nil, failedFor, fmt.Errorf("a client metadata document: %w: %w", keystile.ErrUnavailable, err)
	}
	if status != http.StatusOK {
		return nil, failedFor, fmt.Errorf("%w: the answer is %d and not 200", ErrNoDocument, status)
	}
	if err := checkType(header); err != nil {
		return nil, failedFor, fmt.Errorf("%w: %w", ErrNoDocument, err)
	}
	m, err := ParseDocument(clientID, body)
	if err != nil {
		return nil, failedFor, fmt.Errorf("%w: %w", ErrNoDocument, err)
	}
	return m, freshness(header), nil
}

// checkType wants JSON: application/json or a type made of it.
func checkType(header http.Header) error {
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || len(header.Values("Content-Type")) != 1 {
		return errors.New("it has not one Content-Type")
	}
	if kind != "application/json" && (!strings.HasPrefix(kind, "application/") || !strings.HasSuffix(kind, "+json")) {
		return errors.New("it is not application/json")
	}
	return nil
}

// freshness is how long a document is used: what its server says (RFC 9111, section
// 5.2.2), within bounds.
func freshness(header http.Header) time.Duration {
	fresh := DefaultFresh
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return MinFresh
		case "max-age":
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				fresh = time.Duration(seconds) * time.Second
			}
		}
	}
	return min(max(fresh, MinFresh), MaxFresh)
}

package sessionjwt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
	"keystile.dev/keystile/internal/jws"
)

// Keys sign tokens and verify them. Both are safe for concurrent use; any error
// means "cannot tell".
type Keys interface {
	// Sign signs claims with the key of an algorithm, which the header names.
	Sign(ctx context.Context, algorithm keystile.SigningAlgorithm, claims []byte) (keystile.Secret, error)
	// SignShared signs claims with the HS256 secret of an organisation.
	SignShared(ctx context.Context, organization string, claims []byte) (keystile.Secret, error)
	// Verify says whether the key that the token names, one of ours, signed it.
	Verify(ctx context.Context, t *jws.Token) (bool, error)
	// VerifyShared says whether a secret of the organisation signed the token.
	VerifyShared(ctx context.Context, organization string, t *jws.Token) (bool, error)
}

// IDs make token ids that can be told from any others without a look-up, and are
// bound to what a token says. They are safe for concurrent use.
type IDs interface {
	// NewID makes an id for a token of a form and a session.
	NewID(form, sessionID string, issuedAt, expires int64) (string, error)
	// Ours says whether an id was made for exactly that.
	Ours(id, form, sessionID string, issuedAt, expires int64) bool
}

// MinterOptions configure a Minter. Keys, IDs, Issuer and Now are required.
type MinterOptions struct {
	Keys Keys
	IDs  IDs
	// Issuer is the public URL: "iss" of standard tokens, and their "aud" where none is named.
	Issuer string
	// Algorithm of standard tokens; empty: EdDSA.
	Algorithm keystile.SigningAlgorithm
	// OnaLife is how long an Ona token lives; 0: 24 h (protocols 1.4).
	OnaLife time.Duration
	// OnaIssuer and OnaAudience are added to Ona tokens; empty: left out, because
	// verifiers of that platform do not expect them.
	OnaIssuer, OnaAudience string
	Now                    func() time.Time
}

// DefaultLife is how long a token lives where nothing else is said.
const DefaultLife = 24 * time.Hour

// Minter makes the tokens of a session. It is safe for concurrent use and writes
// nothing: a token can be told to be ours without having been stored.
type Minter struct{ o MinterOptions }

// NewMinter makes a Minter.
func NewMinter(o MinterOptions) (*Minter, error) {
	if o.Keys == nil || o.IDs == nil || o.Issuer == "" || o.Now == nil {
		return nil, errors.New("session tokens: Keys, IDs, Issuer and Now are required")
	}
	if o.Algorithm == "" {
		o.Algorithm = keystile.EdDSA
	}
	if o.OnaLife == 0 {
		o.OnaLife = DefaultLife
	}
	return &Minter{o}, nil
}

// onaClaims are the claims of the Ona platform's tokens, in the order and with
// the nulls that it writes, and the three that make them ours.
type onaClaims struct {
	UserID      string   `json:"user_id"`
	Username    string   `json:"username"`
	RoleID      string   `json:"role_id"`
	CustomerIDs []string `json:"customer_ids"`
	GroupID     *string  `json:"group_id"`
	SkinID      *string  `json:"skin_id"`
	Issuer      string   `json:"iss,omitempty"`
	Audience    string   `json:"aud,omitempty"`
	IssuedAt    int64    `json:"iat"`
	Expires     int64    `json:"exp"`
	ID          string   `json:"jti"`
	SessionID   string   `json:"sid"`
}

// Ona makes a token as the Ona platform's verifiers read it: HS256 with the
// organisation's secret. It ends after OnaLife, and never after its session. A
// session that has ended gets none.
func (m *Minter) Ona(ctx context.Context, s keystile.Session, u keystile.User) (token keystile.Secret, expires time.Time, err error) {
	issued, expires, id, err := m.begin(formOna, &s, &u, m.o.OnaLife)
	if err != nil {
		return "", time.Time{}, err
	}
	customers := u.CustomerIDs
	if customers == nil {
		customers = []string{}
	}
	return m.end(expires, onaClaims{
		UserID: u.ID, Username: u.Username, RoleID: u.RoleID, CustomerIDs: customers, GroupID: orNull(u.GroupID), SkinID: orNull(u.SkinID),
		Issuer: m.o.OnaIssuer, Audience: m.o.OnaAudience, IssuedAt: issued.Unix(), Expires: expires.Unix(), ID: id, SessionID: s.ID,
	}, func(claims []byte) (keystile.Secret, error) {
		return m.o.Keys.SignShared(ctx, s.OrganizationID, claims)
	})
}

// orNull is the text, or null where there is none.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// standardClaims are the claims of a token that anybody can verify with the JWKS
// (RFC 7519, section 4.1; OpenID Connect Core, section 2, for sid's companions).
type standardClaims struct {
	Issuer          string                `json:"iss"`
	Subject         string                `json:"sub"`
	Audience        string                `json:"aud"`
	IssuedAt        int64                 `json:"iat"`
	Expires         int64                 `json:"exp"`
	ID              string                `json:"jti"`
	SessionID       string                `json:"sid"`
	AuthenticatedAt int64                 `json:"auth_time"`
	Methods         []keystile.AuthMethod `json:"amr"`
	Organization    string                `json:"organization"`
	Username        string                `json:"username"`
	Role            string                `json:"role,omitempty"`
}

// Standard makes a token for an audience that verifies it with the JWKS. An empty
// audience is this server itself, and only such a token is good at the gate; a
// zero life is DefaultLife. It never ends after its session.
func (m *Minter) Standard(ctx context.Context, s keystile.Session, u keystile.User, audience string, life time.Duration) (token keystile.Secret, expires time.Time, err error) {
	if life == 0 {
		life = DefaultLife
	}
	if audience == "" {
		audience = m.o.Issuer
	}
	issued, expires, id, err := m.begin(formStandard, &s, &u, life)
	if err != nil {
		return "", time.Time{}, err
	}
	methods := s.Methods
	if methods == nil {
		methods = []keystile.AuthMethod{}
	}
	return m.end(expires, standardClaims{
		Issuer: m.o.Issuer, Subject: u.ID, Audience: audience, IssuedAt: issued.Unix(), Expires: expires.Unix(), ID: id, SessionID: s.ID,
		AuthenticatedAt: s.AuthenticatedAt.Unix(), Methods: methods, Organization: s.OrganizationID, Username: u.Username, Role: u.RoleID,
	}, func(claims []byte) (keystile.Secret, error) { return m.o.Keys.Sign(ctx, m.o.Algorithm, claims) })
}

// begin settles when a token begins and ends, and its id.
func (m *Minter) begin(f form, s *keystile.Session, u *keystile.User, life time.Duration) (issued, expires time.Time, id string, err error) {
	if s.ID == "" || s.UserID != u.ID || s.OrganizationID != u.OrganizationID {
		return issued, expires, "", errors.New("mint a token: the session is not the user's")
	}
	issued = m.o.Now().Truncate(time.Second)
	expires = issued.Add(life)
	if s.ExpiresAt.Before(expires) {
		expires = s.ExpiresAt.Truncate(time.Second)
	}
	if !s.RevokedAt.IsZero() || !expires.After(issued) {
		return issued, expires, "", errors.New("mint a token: the session has ended")
	}
	id, err = m.o.IDs.NewID(string(f), s.ID, issued.Unix(), expires.Unix())
	return issued, expires.UTC(), id, err
}

// end signs the claims. A token that would be too long to be taken anywhere is an
// error where it is made, not a riddle where it is used.
func (m *Minter) end(expires time.Time, claims any, sign func([]byte) (keystile.Secret, error)) (keystile.Secret, time.Time, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("mint a token: %w", err)
	}
	token, err := sign(payload)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("mint a token: %w", err)
	}
	if len(token) > credential.MaxLength {
		return "", time.Time{}, fmt.Errorf("mint a token: it has %d bytes, and more than %d are taken nowhere: the user has too many customers", len(token), credential.MaxLength)
	}
	return token, expires, nil
}

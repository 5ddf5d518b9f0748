package passkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// MaxResponse bounds a browser's response in bytes.
const MaxResponse = 64 << 10

// ErrWrong says that the response does not prove what was asked. The error that wraps it says why, for the log.
var ErrWrong = errors.New("passkey refused")

// ErrOrigin says that passkeys are bound to a host name, and the origin has none (WebAuthn level 3, section 5.1.2, rp.id).
var ErrOrigin = errors.New("passkeys need an https origin with a host name, or localhost")

// RelyingParty makes and verifies ceremonies for one origin. It is safe for concurrent use.
type RelyingParty struct{ rp *webauthn.WebAuthn }

// New makes a RelyingParty for an origin such as https://auth.example.com. name is shown to the user.
func New(origin, name string) (*RelyingParty, error) {
	u, err := url.Parse(origin)
	if err != nil || u.Hostname() == "" || net.ParseIP(u.Hostname()) != nil || u.Scheme != "https" && u.Hostname() != "localhost" {
		return nil, ErrOrigin
	}
	required := true
	rp, err := webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: name, RPOrigins: []string{u.Scheme + "://" + u.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: &required, UserVerification: protocol.VerificationRequired,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("set up passkeys for %s: %w", origin, err)
	}
	return &RelyingParty{rp: rp}, nil
}

// User is whose passkeys they are.
type User struct {
	ID string
	// Name and DisplayName are shown by the authenticator.
	Name, DisplayName string
	// Records are the credential records of the user's passkeys.
	Records [][]byte
}

// handle is the user handle: at most 64 bytes, and not the id itself, which says when the user was created.
func handle(userID string) []byte {
	sum := sha256.Sum256([]byte("passkey user handle\x00" + userID))
	return sum[:]
}

// owner is a User as the library wants it.
type owner struct {
	user        User
	credentials []webauthn.Credential
}

func ownerOf(u User) (*owner, error) {
	o := &owner{user: u, credentials: make([]webauthn.Credential, len(u.Records))}
	for i, record := range u.Records {
		if err := json.Unmarshal(record, &o.credentials[i]); err != nil {
			return nil, fmt.Errorf("read a passkey's record: %w", err)
		}
	}
	return o, nil
}

// WebAuthnID implements webauthn.User.
func (o *owner) WebAuthnID() []byte { return handle(o.user.ID) }

// WebAuthnName implements webauthn.User.
func (o *owner) WebAuthnName() string { return o.user.Name }

// WebAuthnDisplayName implements webauthn.User.
func (o *owner) WebAuthnDisplayName() string { return o.user.DisplayName }

// WebAuthnCredentials implements webauthn.User.
func (o *owner) WebAuthnCredentials() []webauthn.Credential { return o.credentials }

// BeginRegistration makes the options to register another passkey, for navigator.credentials.create.
func (r *RelyingParty) BeginRegistration(u User) (options, state []byte, err error) {
	o, err := ownerOf(u)
	if err != nil {
		return nil, nil, err
	}
	creation, session, err := r.rp.BeginRegistration(o,
		webauthn.WithExclusions(webauthn.Credentials(o.credentials).CredentialDescriptors()),
		webauthn.WithResidentKeyRequirement(protocol.ResidentKeyRequirementRequired))
	if err != nil {
		return nil, nil, fmt.Errorf("begin to register a passkey: %w", err)
	}
	return pack(creation, session)
}

// Credential is a passkey after a ceremony.
type Credential struct {
	ID []byte
	// Record is what to keep, in place of the one before.
	Record []byte
	// Counter is the signature counter; 0: the authenticator keeps none.
	Counter int64
}

// FinishRegistration verifies the response of a registration.
func (r *RelyingParty) FinishRegistration(u User, state, response []byte) (Credential, error) {
	if len(response) > MaxResponse {
		return Credential{}, fmt.Errorf("%w: the response has more than %d bytes", ErrWrong, MaxResponse)
	}
	o, session, err := resume(u, state)
	if err != nil {
		return Credential{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return Credential{}, wrong(err)
	}
	credential, err := r.rp.CreateCredential(o, session, parsed)
	if err != nil {
		return Credential{}, wrong(err)
	}
	if !credential.Flags.UserVerified {
		return Credential{}, fmt.Errorf("%w: the user was not verified", ErrWrong)
	}
	return made(credential)
}

// BeginUse makes the options to use a passkey, for navigator.credentials.get: one of the user's, or, with a nil user, any
// discoverable one.
func (r *RelyingParty) BeginUse(u *User) (options, state []byte, err error) {
	verified := webauthn.WithUserVerification(protocol.VerificationRequired)
	if u == nil {
		assertion, session, err := r.rp.BeginDiscoverableLogin(verified)
		if err != nil {
			return nil, nil, fmt.Errorf("begin a passkey sign-in: %w", err)
		}
		return pack(assertion, session)
	}
	o, err := ownerOf(*u)
	if err != nil {
		return nil, nil, err
	}
	assertion, session, err := r.rp.BeginLogin(o, verified)
	if err != nil {
		return nil, nil, fmt.Errorf("begin to use a passkey: %w", err)
	}
	return pack(assertion, session)
}

// Named is the id of the credential that a response speaks of, before anything is verified; nil if it cannot be read.
func Named(response []byte) []byte {
	if len(response) > MaxResponse {
		return nil
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return nil
	}
	return parsed.RawID
}

// FinishUse verifies the response of a use. A signature counter that did not grow is ErrWrong: the
// authenticator may have been copied (WebAuthn level 3, section 6.1.1).
func (r *RelyingParty) FinishUse(u User, state, response []byte) (Credential, error) {
	if len(response) > MaxResponse {
		return Credential{}, fmt.Errorf("%w: the response has more than %d bytes", ErrWrong, MaxResponse)
	}
	o, session, err := resume(u, state)
	if err != nil {
		return Credential{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return Credential{}, wrong(err)
	}
	credential, err := r.verify(o, session, parsed)
	if err != nil {
		return Credential{}, wrong(err)
	}
	if !parsed.Response.AuthenticatorData.Flags.HasUserVerified() {
		return Credential{}, fmt.Errorf("%w: the user was not verified", ErrWrong)
	}
	if credential.Authenticator.CloneWarning {
		return Credential{}, fmt.Errorf("%w: the signature counter did not grow", ErrWrong)
	}
	return made(credential)
}

func (r *RelyingParty) verify(o *owner, session webauthn.SessionData, parsed *protocol.ParsedCredentialAssertionData) (*webauthn.Credential, error) {
	if len(session.UserID) > 0 {
		return r.rp.ValidateLogin(o, session, parsed)
	}
	return r.rp.ValidateDiscoverableLogin(func(_, userHandle []byte) (webauthn.User, error) {
		if !bytes.Equal(userHandle, o.WebAuthnID()) {
			return nil, errors.New("the passkey belongs to another user")
		}
		return o, nil
	}, session, parsed)
}

func pack(options any, session *webauthn.SessionData) (o, s []byte, err error) {
	o, errO := json.Marshal(options)
	s, errS := json.Marshal(session)
	if err := errors.Join(errO, errS); err != nil {
		return nil, nil, fmt.Errorf("write a passkey ceremony: %w", err)
	}
	return o, s, nil
}

func resume(u User, state []byte) (*owner, webauthn.SessionData, error) {
	var session webauthn.SessionData
	if err := json.Unmarshal(state, &session); err != nil {
		return nil, session, fmt.Errorf("read a passkey ceremony: %w", err)
	}
	o, err := ownerOf(u)
	return o, session, err
}

func made(c *webauthn.Credential) (Credential, error) {
	record, err := json.Marshal(c)
	if err != nil {
		return Credential{}, fmt.Errorf("write a passkey's record: %w", err)
	}
	return Credential{ID: c.ID, Record: record, Counter: int64(c.Authenticator.SignCount)}, nil
}

// wrong keeps the library's details, which the log may have and the caller may not.
func wrong(err error) error {
	var detailed *protocol.Error
	if errors.As(err, &detailed) {
		return fmt.Errorf("%w: %s: %s", ErrWrong, detailed.Details, detailed.DevInfo)
	}
	return fmt.Errorf("%w: %w", ErrWrong, err)
}

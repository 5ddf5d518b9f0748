package console

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
)

// fakePeople is an organisation of a few people in memory. It knows just enough
// to lead a browser through every page; the rules of signing in are tested where
// they are kept, and the two together in test/browser.
type fakePeople struct {
	mu       sync.Mutex
	now      func() time.Time
	users    map[string]*fakeUser // by name
	sessions map[string]*keystile.Session
	waiting  map[string]*fakeChallenge
	mailed   []string
	// calls counts what was asked, by name.
	calls map[string]int
	// fail is answered by every method, if it is set.
	fail  error
	drawn int
}

type fakeUser struct {
	keystile.User
	password string
	factors  []keystile.Factor
	recovery int
	key      string
	// mfa asks for a code after the password.
	mfa bool
}

type fakeChallenge struct {
	login.Challenge
	user string
	// sid is set for an enrolment in a session.
	sid string
}

const (
	goodPassword  = "correct horse battery"
	rightCode     = "123456"
	otpauth       = "otpauth://totp/Keystile:ada@example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Keystile"
	creationJSON  = `{"publicKey":{"challenge":"AAAA"}}`
	assertionJSON = `{"publicKey":{"challenge":"BBBB"}}`
)

func newFakePeople(now func() time.Time) *fakePeople {
	p := &fakePeople{now: now, users: map[string]*fakeUser{}, sessions: map[string]*keystile.Session{}, waiting: map[string]*fakeChallenge{}, calls: map[string]int{}}
	for _, name := range []string{"ada@example.com", "bob@example.com", "eve@example.com"} {
		p.users[name] = &fakeUser{User: keystile.User{ID: "user_" + name[:3], Username: name, Email: name, OrganizationID: "sibaya-power"}, password: goodPassword}
	}
	p.users["ada@example.com"].Name = "Ada Lovelace"
	p.users["bob@example.com"].mfa = true
	p.users["bob@example.com"].factors = []keystile.Factor{{ID: "fac_totp", Kind: keystile.FactorTOTP, CreatedAt: now()}}
	p.users["eve@example.com"].MustChangePassword = true
	return p
}

// begin counts a call and answers the failure that was asked for.
func (p *fakePeople) begin(name string) error {
	p.calls[name]++
	return p.fail
}

func (p *fakePeople) draw(prefix string) string {
	p.drawn++
	return fmt.Sprintf("%s%032d", prefix, p.drawn)
}

func (p *fakePeople) open(u *fakeUser, by login.Caller, methods ...keystile.AuthMethod) *keystile.Session {
	s := &keystile.Session{
		ID: p.draw("ses_"), UserID: u.ID, Door: by.Door, Methods: methods, AuthenticatedAt: p.now(), CreatedAt: p.now(),
		LastUsedAt: p.now(), UserAgent: by.UserAgent, ClientAddr: by.Addr.String(),
	}
	p.sessions[s.ID] = s
	return s
}

func (p *fakePeople) byID(id string) *fakeUser {
	for _, u := range p.users {
		if u.ID == id {
			return u
		}
	}
	return nil
}

func (p *fakePeople) of(sid string) (*fakeUser, error) {
	s, ok := p.sessions[sid]
	if !ok {
		return nil, login.ErrSessionEnded
	}
	return p.byID(s.UserID), nil
}

// after is the outcome of a password that was right.
func (p *fakePeople) after(u *fakeUser, by login.Caller) login.Outcome {
	if !u.mfa && !u.MustChangePassword {
		return login.Outcome{Session: p.open(u, by, keystile.MethodPassword), User: u.User}
	}
	c := &fakeChallenge{user: u.Username, Challenge: login.Challenge{
		Token: keystile.Secret(p.draw("mfa")), ExpiresAt: p.now().Add(5 * time.Minute), MustChangePassword: u.MustChangePassword,
	}}
	if u.mfa && !u.MustChangePassword {
		c.Kinds = []keystile.FactorKind{keystile.FactorTOTP, keystile.FactorRecovery, keystile.FactorPasskey}
		if len(u.factors) == 0 {
			c.Kinds, c.Enrolment, c.Provisioning = []keystile.FactorKind{keystile.FactorTOTP}, true, otpauth
		}
	}
	p.waiting[c.Token.Reveal()] = c
	return login.Outcome{Challenge: &c.Challenge, User: u.User}
}

func (p *fakePeople) Password(_ context.Context, by login.Caller, username string, password keystile.Secret) (login.Outcome, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.begin("Password"); err != nil {
		return login.Outcome{}, err
	}
	u := p.users[username]
	if u == nil || u.password != password.Reveal() {
		return login.Outcome{}, login.ErrInvalidCredentials
	}
	if u.Disabled {
		return login.Outcome{}, login.ErrInactive
	}
	return p.after(u, by), nil
}

func (p *fakePeople) Challenge(_ context.Context, token keystile.Secret) (login.Challenge, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.waiting[token.Reveal()]
	if !ok {
		return login.Challenge{}, login.ErrChallengeExpired
	}
	return c.Challenge, p.begin("Challenge")
}

func (p *fakePeople) Code(ctx context.Context, by login.Caller, token keystile.Secret, code string, mint login.Mint) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.begin("Code"); err != nil {
		return nil, err
	}
	c, ok := p.waiting[token.Reveal()]
	if !ok {
		return nil, login.ErrChallengeExpired
	}
	if code != rightCode {
		return nil, login.ErrInvalidCode
	}
	u := p.users[c.user]
	if u.MustChangePassword {
		c.MustChangePassword = true
		return nil, &login.ChangeRequired{Challenge: c.Challenge}
	}
	delete(p.waiting, token.Reveal())
	if c.Enrolment {
		u.factors = append(u.factors, keystile.Factor{ID: "fac_totp", Kind: keystile.FactorTOTP, CreatedAt: p.now()})
	}
	return mint(ctx, *p.open(u, by, keystile.MethodPassword, keystile.MethodTOTP, keystile.MethodMFA), u.User)
}

func (p *fakePeople) ForcedChange(ctx context.Context, by login.Caller, token, replacement keystile.Secret, mint login.Mint) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.begin("ForcedChange"); err != nil {
		return nil, err
	}
	c, ok := p.waiting[token.Reveal()]
	if !ok {
		return nil, login.ErrChallengeExpired
	}
	u := p.users[c.user]
	if err := u.choose(replacement); err != nil {
		return nil, err
	}
	delete(p.waiting, token.Reveal())
	return mint(ctx, *p.open(u, by, keystile.MethodPassword), u.User)
}

func (p *fakePeople) BeginPasskey(_ context.Context, _ login.Caller, challenge keystile.Secret) (login.PasskeyCeremony, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.begin("BeginPasskey"); err != nil {
		return login.PasskeyCeremony{}, err
	}
	c := &fakeChallenge{}
	if challenge != "" {
		old, ok := p.waiting[challenge.Reveal()]
		if !ok {
			return login.PasskeyCeremony{}, login.ErrChallengeExpired
		}
		c.user = old.user
	}
	token := keystile.Secret(p.draw("cer"))
	p.waiting[token.Reveal()] = c
	return login.PasskeyCeremony{Token: token, Options: []byte(assertionJSON)}, nil
}

// FinishPasskey believes a response that is a username.
func (p *fakePeople) FinishPasskey(ctx context.Context, by login.Caller, token keystile.Secret, response []byte, mint login.Mint) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.begin("FinishPasskey"); err != nil {
		return nil, err
	}
	c, ok := p.waiting[token.Reveal()]
	if !ok {
		return nil, login.ErrChallengeExpired
	}
	u := p.users[string(response)]
	if u == nil || (c.user != "" && c.user != u.Username) {
		return nil, login.ErrInvalidCode
	}
	return mint(ctx, *p.open(u, by, keystile.MethodPasskey, keystile.MethodMFA), u.User)
}

func (p *fakePeople) BeginPasskeyEnrolment(context.Context, login.Caller, string) (login.PasskeyCeremony, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return login.PasskeyCeremony{Token: keystile.Secret(p.draw("cer")), Options: []byte(creationJSON)}, p.begin("BeginPasskeyEnrolment")
}

func (p *fakePeople) FinishPasskeyEnrolment(_ context.Context, _ login.Caller, sid string, made login.PasskeyResponse) (keystile.Factor, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, err := p.of(sid)
	if err != nil {
		return keystile.Factor{}, err
	}
	if made.Name == "" {
		return keystile.Factor{}, keystile.Invalidf("name", "", "a passkey needs a name")
	}
	f := keystile.Factor{ID: p.draw("fac_"), Kind: keystile.FactorPasskey, Name: made.Name, CreatedAt: p.now()}
	u.factors = append(u.factors, f)
	return f, p.begin("FinishPasskeyEnrolment")
}

func (p *fakePeople) ChangePassword(_ context.Context, _ login.Caller, sid string, current, replacement keystile.Secret) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.begin("ChangePassword"); err != nil {
		return err
	}
	u, err := p.of(sid)
	if err != nil {
		return err
	}
	if u.password != current.Reveal() {
		return login.ErrInvalidCredentials
	}
	return u.choose(replacement)
}

func (u *fakeUser) choose(password keystile.Secret) error {
	if len(password) < 12 {
		return keystile.Invalidf("password", "choose at least 12 characters", "the password is too short")
	}
	u.password, u.MustChangePassword = password.Reveal(), false
	return nil
}

func (p *fakePeople) BeginReset(_ context.Context, _ login.Caller, username string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.users[username]; u != nil {
		p.mailed = append(p.mailed, username)
		p.waiting["reset_"+username] = &fakeChallenge{user: username}
	}
	return p.begin("BeginReset")
}

func (p *fakePeople) FinishReset(_ context.Context, _ login.Caller, token, replacement keystile.Secret) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.waiting[token.Reveal()]
	if c == nil {
		return login.ErrChallengeExpired
	}
	if err := p.users[c.user].choose(replacement); err != nil {
		return err
	}
	delete(p.waiting, token.Reveal())
	return p.begin("FinishReset")
}

func (p *fakePeople) Factors(_ context.Context, sid string) ([]keystile.Factor, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, err := p.of(sid)
	if err != nil {
		return nil, err
	}
	list := slices.Clone(u.factors)
	for range u.recovery {
		list = append(list, keystile.Factor{Kind: keystile.FactorRecovery})
	}
	return list, p.begin("Factors")
}

func (p *fakePeople) EnrolTOTP(_ context.Context, _ login.Caller, sid string) (login.TOTPEnrolment, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	token := keystile.Secret(p.draw("enr"))
	p.waiting[token.Reveal()] = &fakeChallenge{sid: sid}
	return login.TOTPEnrolment{Token: token, URI: otpauth}, p.begin("EnrolTOTP")
}

func (p *fakePeople) ConfirmTOTP(_ context.Context, _ login.Caller, sid string, confirmed login.TOTPConfirmation) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.waiting[confirmed.Token.Reveal()]
	if c == nil || c.sid != sid {
		return login.ErrChallengeExpired
	}
	if confirmed.Code != rightCode {
		return login.ErrInvalidCode
	}
	u, err := p.of(sid)
	if err != nil {
		return err
	}
	u.factors = append(u.factors, keystile.Factor{ID: "fac_totp", Kind: keystile.FactorTOTP, CreatedAt: p.now()})
	return p.begin("ConfirmTOTP")
}

func (p *fakePeople) RenameFactor(_ context.Context, _ login.Caller, sid, id, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, err := p.of(sid)
	if err != nil {
		return err
	}
	if name == "" {
		return keystile.Invalidf("name", "", "a passkey needs a name")
	}
	for i := range u.factors {
		if u.factors[i].ID == id {
			u.factors[i].Name = name
			return p.begin("RenameFactor")
		}
	}
	return keystile.ErrNotFound
}

func (p *fakePeople) RemoveFactor(_ context.Context, _ login.Caller, sid, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, err := p.of(sid)
	if err != nil {
		return err
	}
	if u.MFA == keystile.MFARequired {
		return keystile.ErrConflict
	}
	u.factors = slices.DeleteFunc(u.factors, func(f keystile.Factor) bool { return f.ID == id })
	return p.begin("RemoveFactor")
}

func (p *fakePeople) RecoveryCodes(_ context.Context, _ login.Caller, sid string) ([]keystile.Secret, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, err := p.of(sid)
	if err != nil {
		return nil, err
	}
	u.recovery = 10
	codes := make([]keystile.Secret, 10)
	for i := range codes {
		codes[i] = keystile.Secret(fmt.Sprintf("%04d-k7qm-x2vd", i))
	}
	return codes, p.begin("RecoveryCodes")
}

func (p *fakePeople) AuthToken(_ context.Context, _ login.Caller, sid string) (keystile.Secret, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, err := p.of(sid)
	if err != nil {
		return "", err
	}
	if s := p.sessions[sid]; p.now().Sub(s.AuthenticatedAt) > 15*time.Minute || (len(u.factors) > 0 && !slices.Contains(s.Methods, keystile.MethodMFA)) {
		return "", login.ErrStepUp
	}
	if u.key == "" {
		u.key = p.draw("key")
	}
	return keystile.Secret(u.key), p.begin("AuthToken")
}

func (p *fakePeople) ResetAuthToken(_ context.Context, _ login.Caller, sid string) (keystile.Secret, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, err := p.of(sid)
	if err != nil {
		return "", err
	}
	u.key = p.draw("key")
	return keystile.Secret(u.key), p.begin("ResetAuthToken")
}

func (p *fakePeople) Renew(_ context.Context, _ login.Caller, sid string) (keystile.Session, keystile.User, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.begin("Renew"); err != nil {
		return keystile.Session{}, keystile.User{}, err
	}
	u, err := p.of(sid)
	if err != nil {
		return keystile.Session{}, keystile.User{}, err
	}
	if u.Disabled {
		return keystile.Session{}, keystile.User{}, login.ErrSessionEnded
	}
	return *p.sessions[sid], u.User, nil
}

func (p *fakePeople) Sessions(_ context.Context, sid string) ([]keystile.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, err := p.of(sid)
	if err != nil {
		return nil, err
	}
	var list []keystile.Session
	for _, s := range p.sessions {
		if s.UserID == u.ID {
			list = append(list, *s)
		}
	}
	return list, p.begin("Sessions")
}

func (p *fakePeople) RevokeSession(_ context.Context, _ login.Caller, sid, other string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine, theirs := p.sessions[sid], p.sessions[other]
	if mine == nil || theirs == nil || mine.UserID != theirs.UserID {
		return keystile.ErrNotFound
	}
	delete(p.sessions, other)
	return p.begin("RevokeSession")
}

func (p *fakePeople) Replace(ctx context.Context, c login.Caller, old, _ string) error {
	return p.Logout(ctx, c, old)
}

func (p *fakePeople) Logout(_ context.Context, _ login.Caller, sid string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.begin("Logout"); err != nil {
		return err
	}
	delete(p.sessions, sid)
	return nil
}

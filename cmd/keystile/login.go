package main

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/login"
	"keystile.dev/keystile/internal/login/password"
	"keystile.dev/keystile/internal/mail"
)

// buildLogin makes the service that signs people in, for all doors.
func (s *server) buildLogin(context.Context, *app) error {
	c := s.cfg.Login
	hasher, err := password.New(password.Options{Memory: int64(c.HashMemory), Random: randomSource})
	if err != nil {
		return err
	}
	policy := password.Policy{MinLength: c.Password.MinLength, MinGuesses: c.Password.MinGuesses}
	// One hasher and one policy, whoever sets the password: sign-in, pages or management.
	s.house.service.Passwords, s.house.service.PasswordPolicy, s.house.service.Issuer = hasher, policy, c.Issuer
	mailer, err := s.buildMail()
	if err != nil {
		return err
	}
	providers, err := s.newUpstream()
	if err != nil {
		return err
	}
	s.login, err = login.New(login.Options{
		Store: s.house.store, Digester: s.house.digester, Sealer: s.house.sealer, Passwords: hasher,
		Policy: policy,
		Mailer: mailer, Logger: s.log, Now: time.Now, Random: randomSource, PublicURL: s.cfg.PublicURL,
		Issuer: c.Issuer, SessionLife: c.SessionLife, MFA: keystile.MFAPolicy(c.MFA), RateExempt: c.RateExempt, Providers: providers,
	})
	return err
}

// buildMail is nil without a mail server.
func (s *server) buildMail() (login.Mailer, error) {
	c := s.cfg.Mail
	if c.Server == "" {
		return nil, nil
	}
	return mail.New(mail.Options{
		Server: c.Server, Security: mail.Security(c.Security), From: c.From, Username: c.Username, Password: c.Password,
	})
}

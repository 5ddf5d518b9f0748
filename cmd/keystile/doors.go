package main

import (
	"context"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect/door"
	"keystile.dev/keystile/internal/dialect/nao"
	"keystile.dev/keystile/internal/dialect/ona"
	"keystile.dev/keystile/internal/login"
)

// doors are the sign-in endpoints of the dialects that are on.
func (s *server) doors() ([]endpoint, error) {
	onaEndpoints, err := s.onaDoor()
	if err != nil {
		return nil, err
	}
	naoEndpoints, err := s.naoDoor()
	return append(onaEndpoints, naoEndpoints...), err
}

// onaDoor is Ona's auth API under its base paths and over Lambda Invoke.
func (s *server) onaDoor() ([]endpoint, error) {
	c := s.cfg.Dialects.ONA
	if c == nil {
		return nil, nil
	}
	h, err := ona.New(ona.Options{
		SignIn: s.login, Exchange: s.exchange, Mint: s.minter.Ona, Tokens: s.sessions, Keys: s.keys,
		Key: s.house.service.APIKey, Role: s.house.service.Role, Limiter: s.limits.limiter, Edge: s.edge(), BasePaths: c.BasePaths,
		Now: time.Now, Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	endpoints := []endpoint{{path: ona.InvokePath, handler: s.tracer.Wrap(h.Lambda())}}
	for _, base := range c.BasePaths {
		endpoints = append(endpoints, endpoint{path: base + ona.Prefix, handler: s.tracer.Wrap(h)})
	}
	return endpoints, nil
}

// naoDoor is NAO's sessions endpoint and me.
func (s *server) naoDoor() ([]endpoint, error) {
	c := s.cfg.Dialects.NAO
	if c == nil {
		return nil, nil
	}
	o := nao.Options{
		SignIn: s.login, Tokens: s.sessions, Access: s.access, Keys: s.keys, User: s.house.service.User, Edge: s.edge(), Logger: s.log,
		Mint: func(ctx context.Context, session keystile.Session, user keystile.User) (keystile.Secret, time.Time, error) {
			return s.minter.Standard(ctx, session, user, "", c.JWTTTL)
		},
	}
	if c.ShowAuthToken {
		o.AuthToken = s.login.AuthToken
	}
	if c.CORS != nil {
		o.Origins, o.MaxAge = c.CORS.Origins, c.CORS.MaxAge
	}
	h, err := nao.New(o)
	if err != nil {
		return nil, err
	}
	handler := s.tracer.Wrap(h)
	return []endpoint{{path: nao.SessionsPath, handler: handler}, {path: nao.MePath, handler: handler}}, nil
}

func (s *server) edge() door.Edge {
	return door.Edge{ClientAddr: s.clientAddr, RequestID: s.requestID}
}

// exchange signs in whom a provider's token stands for.
func (s *server) exchange(ctx context.Context, c login.Caller, provider string, token keystile.Secret) (login.Outcome, error) {
	identity, err := s.federation.Verify(ctx, provider, token)
	if err != nil {
		return login.Outcome{}, err
	}
	return s.login.Provider(ctx, c, login.Identity(identity))
}

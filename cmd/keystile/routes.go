package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"keystile.dev/keystile/internal/config"
	"keystile.dev/keystile/internal/dialect/nao"
	"keystile.dev/keystile/internal/dialect/ona"
	"keystile.dev/keystile/internal/policy"
	"keystile.dev/keystile/internal/yamlfile"
)

// builtinPaths are the server's own: a route may not speak for them on the
// server's own host. "/x/" is everything below it.
var builtinPaths = []string{
	"/healthz", "/readyz", "/metrics", "/forward-auth", "/v1/", "/.well-known/jwks.json", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server",
	"/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/",
	"/oauth/", "/admin", "/admin/", "/account", "/account/", "/login", "/login/", "/logout",
}

// ownPathsOf is builtinPaths and those of the dialects that are on.
func ownPathsOf(cfg *config.Config) []string {
	paths := slices.Clone(builtinPaths)
	if d := cfg.Dialects.ONA; d != nil {
		for _, base := range d.BasePaths {
			paths = append(paths, base+ona.Prefix)
		}
		paths = append(paths, ona.InvokePath)
	}
	if cfg.Dialects.Aurora != nil {
		paths = append(paths, auroraPrefix)
	}
	if cfg.Dialects.NAO != nil {
		paths = append(paths, nao.SessionsPath, nao.MePath)
	}
	return paths
}

// checkOrigins says what is wrong with the origins of NAO's own endpoints.
func checkOrigins(cfg *config.Config) (errs []error) {
	if cfg.Dialects.NAO == nil || cfg.Dialects.NAO.CORS == nil {
		return nil
	}
	for i, origin := range cfg.Dialects.NAO.CORS.Origins {
		if problem := policy.OriginProblem(origin); problem != "" {
			errs = append(errs, positioned{cfg.Problem(fmt.Sprintf("dialects.nao.cors.origins[%d]", i),
				"write scheme://host or scheme://host:port in lower case, without path", yamlfile.Quote(origin)+" "+problem)})
		}
	}
	return errs
}

// compileRoutes compiles the routes of a configuration. The error holds every
// problem as FILE:LINE.
func compileRoutes(cfg *config.Config, demo bool, log *slog.Logger) (*policy.Table, error) {
	table, problems := policy.Compile(cfg.Routes, policy.Options{
		PublicHost: cfg.PublicHost(), Demo: demo, BuiltinPaths: ownPathsOf(cfg), OwnAddresses: ownAddresses(cfg), Now: time.Now,
		ReadPolicy: readPolicy,
	})
	errs := checkOrigins(cfg)
	for _, p := range problems {
		errs = append(errs, placed(cfg, p))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for _, w := range table.Warnings() {
		log.Warn(placed(cfg, w).Error())
	}
	return table, nil
}

// placed names the very line that a route's problem is about, and its field in the words
// of the whole file.
func placed(cfg *config.Config, p policy.Problem) error {
	if at, ok := cfg.RouteProblem(p.Source, p.Field, p.Remedy, p.Problem); ok {
		return at
	}
	return positioned{p}
}

// withoutToldBefore is problems without those of fields that before has told of already:
// of the same field, of the one it is a part of, or of one in its list.
func withoutToldBefore(problems, before error) error {
	told, _ := yamlfile.ProblemsOf(before)
	var left []error
	joined, ok := problems.(interface{ Unwrap() []error }) // what compileRoutes joined, and nothing else
	if !ok {
		return problems
	}
	for _, err := range joined.Unwrap() {
		p, ok := err.(yamlfile.Problem) //nolint:errorlint // as placed made it
		if !ok || !slices.ContainsFunc(told, func(t yamlfile.Problem) bool {
			return p.File == t.File && (p.Field == t.Field || strings.HasPrefix(p.Field, t.Field+".") || strings.HasPrefix(t.Field, p.Field+"["))
		}) {
			left = append(left, err)
		}
	}
	return errors.Join(left...)
}

// positioned marks an error whose text already begins with FILE:LINE.
type positioned struct{ error }

// hasPosition says whether an error's text names files and lines by itself.
func hasPosition(err error) bool {
	var p positioned
	var one yamlfile.Problem
	var many yamlfile.Problems
	return errors.As(err, &p) || errors.As(err, &one) || errors.As(err, &many)
}

// maxPolicyFile bounds a Cedar policy file.
const maxPolicyFile = 1 << 20

func readPolicy(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("policy file: %w", err)
	}
	if info.Size() > maxPolicyFile {
		return nil, fmt.Errorf("policy file %s is larger than 1 MiB", name)
	}
	text, err := os.ReadFile(filepath.Clean(name))
	if err != nil {
		return nil, fmt.Errorf("policy file: %w", err)
	}
	return text, nil
}

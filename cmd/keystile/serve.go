package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/audit"
	"keystile.dev/keystile/internal/config"
	"keystile.dev/keystile/internal/console"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/credential/oauthtoken"
	"keystile.dev/keystile/internal/credential/onetime"
	temporary "keystile.dev/keystile/internal/credential/partner"
	"keystile.dev/keystile/internal/credential/sessionjwt"
	"keystile.dev/keystile/internal/enforce"
	"keystile.dev/keystile/internal/enforce/forwardauth"
	"keystile.dev/keystile/internal/enforce/proxy"
	"keystile.dev/keystile/internal/federation"
	"keystile.dev/keystile/internal/feed"
	"keystile.dev/keystile/internal/gate"
	"keystile.dev/keystile/internal/keyring"
	"keystile.dev/keystile/internal/login"
	"keystile.dev/keystile/internal/metrics"
	"keystile.dev/keystile/internal/oidc"
	"keystile.dev/keystile/internal/outbound"
	"keystile.dev/keystile/internal/partner"
	"keystile.dev/keystile/internal/policy"
	"keystile.dev/keystile/internal/store"
	"keystile.dev/keystile/internal/tracing"
	"keystile.dev/keystile/internal/usage"
	"keystile.dev/keystile/internal/webhook"
)

func newServe(a *app) *cobra.Command {
	var c configFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server: gateway, forward-auth, decisions, management API",
		Long: `Runs the server. Every option of the configuration file is also an environment
variable (KEYSTILE_LISTEN) and a flag (--listen); flags win, then variables, then
the file. SIGHUP reads the routes again; SIGTERM ends it within drain_timeout.`,
		Example: "  keystile serve --config keystile.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(a, cmd)
			if err != nil {
				return err
			}
			return a.serve(cmd.Context(), cfg, serveOptions{reload: func() (*config.Config, error) { return c.load(a, cmd) }})
		},
	}
	c.addAll(cmd)
	return cmd
}

// serveOptions are what the demo does otherwise.
type serveOptions struct {
	demo bool
	// trust is who is trusted to be a webhook's endpoint; nil: whom the system trusts.
	trust *x509.CertPool
	// reload reads the configuration again.
	reload func() (*config.Config, error)
	// ready is called once the server accepts connections.
	ready func(ctx context.Context, s *server) error
}

// server is a running server and its parts.
type server struct {
	cfg     *config.Config
	options serveOptions
	log     *slog.Logger
	house   *house

	feed     *feed.Feed
	ledger   *ledger
	keys     *apikey.Kind
	onetime  *onetime.Kind
	login    *login.Service
	sessions *sessionjwt.Kind
	console  *console.Console
	minter   *sessionjwt.Minter
	// temporary proves partners' temporary keys, partners makes them.
	temporary *temporary.Kind
	partners  *partner.Service
	courier   *webhook.Courier
	// tokenKeys sign session tokens; federation verifies those of others.
	tokenKeys *keyring.TokenKeys
	// access proves access tokens, oauth issues them.
	access     *oauthtoken.Kind
	oauth      *oidc.Server
	federation *federation.Verifier
	fetcher    *outbound.Client
	// teller sends what others' servers are told: webhooks, and sign-outs to OAuth clients.
	teller    *outbound.Client
	limits    *limits
	recorder  *audit.Recorder
	notary    *audit.Notary
	keyWatch  keyWatch
	lag       *lag
	used      *usage.Batcher[store.APIKeyUse]
	signed    *usage.Batcher[store.SigningKeyUse]
	exchanged *usage.Batcher[store.ApplicationKeyUse]
	seen      *usage.Batcher[store.SessionUse]
	life      keyLife
	adopter   *adopter
	metrics   *metrics.Metrics
	tracer    *tracing.Tracer
	routes    *policy.Table // those it started with
	gate      *gate.Gate
	signer    *keyring.Signer
	streams   *proxy.Streams
	lease     atomic.Pointer[store.Lease]
	trust     enforce.Trust
	tls       *tls.Config
	started   time.Time
	reloads   chan keystile.Change
	tunesHeap bool        // the environment does not say how to collect
	windows   atomic.Bool // a clock window may be wider than the ledger knows
}

// serve runs the server until ctx ends. This is all the wiring there is.
func (a *app) serve(ctx context.Context, cfg *config.Config, o serveOptions) (err error) {
	s := &server{cfg: cfg, options: o, started: time.Now(), reloads: make(chan keystile.Change, 1)}
	s.keyWatch.start(cfg.MasterKey, a.getenv)
	s.log = newLogger(a.stderr, logLevel(cfg.Log.Level), cfg.Log.Format == "text")
	for _, warning := range cfg.Warnings {
		s.log.Warn(warning.Error())
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, build := range []func(context.Context, *app) error{
		s.readRoutes,    // before a store is made for a configuration that is wrong
		s.openHouse,     // store, schema, keys
		s.takeLease,     // one server on one SQLite store
		s.buildFeed,     // changes to caches
		s.buildLedger,   // once only
		s.buildTokens,   // tokens of signed-in people: keys, minting, proof
		s.buildKinds,    // credentials that are verified
		s.buildPartners, // applications of other companies
		s.buildWebhooks, // what they are told
		s.buildLogin,    // people who sign in
		s.buildOAuth,    // clients that act for them
		s.buildConsole,  // the pages they see
		s.buildLimits,   // how often
		s.buildKeyLife,  // leaked keys, and what keys are used for
		s.buildRecords,  // audit, metrics, last used, traces
		s.buildNotary,   // checkpoints of the audit log
		s.buildLag,      // how long a revocation takes
		s.buildGate,     // the one path
		s.buildSigner,   // Keystile-Assertion
		s.buildTLS,
	} {
		if err := build(ctx, a); err != nil {
			return err
		}
	}
	if err := s.feed.Start(ctx); err != nil {
		return err
	}
	if s.tunesHeap = a.getenv("GOGC") == "" && a.getenv("GOMEMLIMIT") == ""; s.tunesHeap {
		debug.SetGCPercent(busyPercent)
	}
	return s.run(ctx, a)
}

func (s *server) openHouse(ctx context.Context, a *app) error {
	master, err := keyring.LoadMaster(s.cfg.MasterKey, a.getenv)
	if err != nil {
		return masterKeyProblem(s.cfg, "name a file of mode 0600 that holds the key", err)
	}
	s.house, err = openHouse(ctx, houseOptions{
		storeURL: s.cfg.Store.Reveal(), master: master, logger: s.log,
		migrated: func(version int64, name string) { s.log.Info("schema upgraded", "version", version, "step", name) },
	})
	if err != nil {
		return err
	}
	demo, err := s.house.store.Meta(ctx, metaDemo)
	if err != nil && !errors.Is(err, keystile.ErrNotFound) {
		return err
	}
	if demo != "" && !s.options.demo {
		return errors.New("this store was made by `keystile demo` and holds its world: serve never runs on it; make one of your own with `keystile init DIR`")
	}
	s.keyWatch.taken = s.house.wrapped
	s.house.sealer.Fetch(s.fetchSealer)
	return nil
}

func (s *server) buildFeed(context.Context, *app) error {
	s.feed = feed.New(feed.Options{Source: s.house.store, Now: time.Now, Logger: s.log})
	s.house.store.OnCommit(s.feed.Publish)
	return nil
}

func (s *server) buildKinds(context.Context, *app) error {
	s.used = usage.New(s.house.store.TouchAPIKeys, s.log)
	s.adopter = newAdopter(s.house.service)
	keys, err := apikey.New(apikey.Options{
		Find: findAPIKeys(s.house.store), Digester: s.house.digester, Fresh: s.feed.Fresh, Now: time.Now,
		Used: s.noteUse, Adopt: s.adopter.adopt, MaxEntries: s.cfg.Limits.WarmCredentials, MaxRejections: s.cfg.Limits.WarmRefusals,
		Lookups: s.cfg.Limits.Lookups, LookupBatch: s.cfg.Limits.LookupBatch,
	})
	if err != nil {
		return err
	}
	s.keys = keys
	s.signed = usage.New(s.house.store.TouchSigningKeys, s.log)
	s.onetime, err = onetime.New(onetime.Options{
		Find: findSigningKeys(s.house.store), Open: s.house.sealer.Open, Ledger: spentNonces{s.ledger}, Fresh: s.feed.Fresh, Now: time.Now,
		DefaultWindow: clockWindow(s.cfg), Used: func(u onetime.Use) { s.signed.Add(u.KeyID, store.SigningKeyUse(u)) },
		MaxEntries: s.cfg.Limits.WarmCredentials, MaxRejections: s.cfg.Limits.WarmRefusals,
		Lookups: s.cfg.Limits.Lookups, LookupBatch: s.cfg.Limits.LookupBatch,
	})
	if err != nil {
		return err
	}
	s.streams = proxy.NewStreams(proxy.StreamsOptions{})
	s.feed.Subscribe(keys.Apply)
	s.feed.Subscribe(s.onetime.Apply)
	s.feed.Subscribe(s.streams.Drop)
	s.feed.Subscribe(s.noteWindows)
	s.feed.Subscribe(s.noteReload)
	s.feed.Subscribe(s.keyWatch.note)
	return nil
}

// noteUse queues the record of a key's use.
func (s *server) noteUse(u apikey.Use) {
	use := store.APIKeyUse{KeyID: u.KeyID, At: u.At}
	if u.Rehash != nil {
		use.Rehash = &store.Rehash{Old: u.Rehash.Old, New: u.Rehash.New, PepperID: u.Rehash.PepperID}
	}
	s.used.Add(u.KeyID, use)
}

// noteSession queues the record of a session's use.
func (s *server) noteSession(u sessionjwt.Use) { s.seen.Add(u.SessionID, store.SessionUse(u)) }

func (s *server) buildRecords(ctx context.Context, _ *app) error {
	s.recorder = audit.NewRecorder(audit.Options{Write: s.house.store.RecordDecisions, Logger: s.log})
	s.metrics = metrics.New()
	s.addGauges()
	s.addLifeGauges()
	if s.cfg.OTLPEndpoint == "" {
		return nil
	}
	var err error
	s.tracer, err = tracing.New(ctx, tracing.Options{Endpoint: s.cfg.OTLPEndpoint, Ratio: 0.01, Version: version})
	return err
}

func (s *server) readRoutes(context.Context, *app) (err error) {
	s.routes, err = compileRoutes(s.cfg, s.options.demo, s.log)
	return err
}

func (s *server) buildGate(context.Context, *app) (err error) {
	s.gate, err = gate.New(s.routes, gate.Options{
		Kinds: []keystile.Kind{s.keys, s.onetime, s.sessions, s.temporary, s.access}, Limiter: s.limits.limiter, Strict: s.limits.strict,
		Observers: s.observers(), Now: time.Now,
	})
	return err
}

func (s *server) buildSigner(context.Context, *app) error {
	var err error
	s.signer, err = keyring.OpenSigner(s.house.sealer, s.house.assertion, keyring.SignerOptions{Issuer: issuerOf(s.cfg), Now: time.Now, Random: randomSource})
	s.trust = enforce.Trust{Proxies: s.cfg.TrustedProxies}
	return err
}

func (s *server) buildTLS(_ context.Context, a *app) error {
	var err error
	s.tls, err = buildTLS(s.cfg, a)
	return err
}

func (s *server) gateway() *proxy.Handler {
	return proxy.New(proxy.Options{
		Gate: s.gate, Asserter: s.signer, Trust: s.trust, Streams: s.streams, Logger: s.log,
		Preflight:      func(r *keystile.Request) (*keystile.Route, bool) { return s.gate.Table().Preflight(r) },
		DefaultTimeout: s.cfg.Limits.UpstreamTimeout, ClientTimeout: s.cfg.Limits.ClientTimeout, DefaultMaxBody: int64(s.cfg.Limits.MaxBody),
	})
}

func (s *server) forwardAuth() (*forwardauth.Handler, error) {
	family := forwardauth.XForwarded
	if s.cfg.ForwardAuth.Headers == "x-original" {
		family = forwardauth.XOriginal
	}
	return forwardauth.New(forwardauth.Options{Gate: s.gate, Trust: s.trust, Headers: family, ClientCert: s.cfg.ForwardAuth.ClientCert, Asserter: s.signer, Logger: s.log})
}

// close releases what serve opened, last opened first.
func (s *server) close() error {
	var errs []error
	if s.tracer != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		errs = append(errs, s.tracer.Close(ctx))
	}
	if s.limits != nil {
		s.limits.close()
	}
	if s.keys != nil {
		s.keys.Close()
	}
	if s.onetime != nil {
		s.onetime.Close()
	}
	if s.temporary != nil {
		s.temporary.Close()
	}
	if s.access != nil {
		s.access.Close()
	}
	if s.partners != nil {
		s.partners.Close()
	}
	if s.oauth != nil {
		s.oauth.Close()
	}
	if s.sessions != nil {
		s.sessions.Close()
	}
	if s.ledger != nil {
		errs = append(errs, s.ledger.close())
	}
	s.releaseLease()
	if s.house != nil {
		errs = append(errs, s.house.close())
	}
	return errors.Join(errs...)
}

func logLevel(name string) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo
	}
	return level
}

// ownAddresses are the host:port pairs this server is reached by: an upstream
// that is one of them would send requests round in a circle.
func ownAddresses(cfg *config.Config) []string {
	var own []string
	for _, listen := range []string{cfg.Listen, cfg.AdminListen} {
		host, port, err := net.SplitHostPort(listen)
		if err != nil {
			continue
		}
		own = append(own, listen)
		if host == "" || host == "0.0.0.0" || host == "::" {
			own = append(own, "127.0.0.1:"+port, "localhost:"+port, "[::1]:"+port)
		}
		if strings.HasPrefix(host, "127.") || host == "::1" {
			own = append(own, "localhost:"+port)
		}
	}
	return own
}

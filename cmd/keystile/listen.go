package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	keystile "keystile.dev/keystile"
)

// Limits on what a client may do before its request is read.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 120 * time.Second
	maxHeaderBytes = 32 << 10
	purgeInterval  = time.Minute
	// changesKept is how long changes stay for processes that read them late; a
	// later one starts afresh.
	changesKept = time.Hour
	purgeBatch  = 1000
)

// run listens and serves until ctx ends, then drains.
func (s *server) run(ctx context.Context, a *app) error {
	public, admin, err := s.handlers()
	if err != nil {
		return err
	}
	failed := make(chan error, 4) // the listeners and the lease: none of them waits
	servers, err := s.listenAll(ctx, public, admin, failed)
	if err != nil {
		return errors.Join(err, s.drain(servers))
	}
	stop := s.background(failed)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	fmt.Fprintf(a.stderr, "keystile %s listens on %s (ready in %s)\n", version, s.url(), time.Since(s.started).Round(time.Millisecond))
	if s.options.ready != nil {
		if err := s.options.ready(ctx, s); err != nil {
			return errors.Join(err, s.drain(servers))
		}
	}
	for {
		select {
		case <-hup:
			s.reload()
		case <-s.reloads:
			s.reload()
		case err := <-failed:
			return errors.Join(err, s.drain(servers))
		case <-ctx.Done():
			return s.drain(servers)
		}
	}
}

// listenAll opens the listeners; with an error, those that were opened come too.
func (s *server) listenAll(ctx context.Context, public, admin http.Handler, failed chan<- error) (servers []*http.Server, err error) {
	srv, err := s.listen(ctx, s.cfg.Listen, s.tls, public, failed)
	if err != nil {
		return nil, err
	}
	servers = append(servers, srv)
	if admin != nil {
		if srv, err = s.listen(ctx, s.cfg.AdminListen, s.tls, admin, failed); err != nil {
			return servers, err
		}
		servers = append(servers, srv)
	}
	if s.cfg.MTLS.Listen != "" {
		if srv, err = s.listen(ctx, s.cfg.MTLS.Listen, askingForCertificates(s.tls), s.certified(), failed); err != nil {
			return servers, err
		}
		servers = append(servers, srv)
	}
	return servers, nil
}

// noteReload asks for the routes to be read again; one request that waits is enough.
func (s *server) noteReload(c keystile.Change) {
	if c.Kind != keystile.ChangeReload {
		return
	}
	select {
	case s.reloads <- c:
	default:
	}
}

// url is how the server is reached from this machine.
func (s *server) url() string {
	scheme := "http"
	if s.tls != nil {
		scheme = "https"
	}
	return scheme + "://" + s.cfg.Listen
}

func (s *server) listen(ctx context.Context, address string, secured *tls.Config, handler http.Handler, failed chan<- error) (*http.Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("listen: %s is in use by another process: stop it, or set listen to another address", address)
		}
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if secured != nil {
		listener = tls.NewListener(listener, secured)
	}
	srv := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), TLSConfig: secured,
	}
	go func() {
		if err := srv.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve on %s: %w", address, err)
		}
	}()
	return srv, nil
}

// drain lets running requests end within the drain time. Streams that go on
// are closed then.
func (s *server) drain(servers []*http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	s.streams.Drain()
	var wg sync.WaitGroup
	for _, srv := range servers {
		wg.Go(func() {
			if err := srv.Shutdown(ctx); err != nil {
				s.log.Warn("some requests did not end within the drain time and were cut off", "error", err)
				if err := srv.Close(); err != nil {
					s.log.Debug("close the listener", "error", err)
				}
			}
		})
	}
	wg.Wait()
	s.streams.CloseAll()
	if err := s.streams.Wait(ctx); err != nil {
		s.log.Warn("some streams did not end within the drain time", "error", err)
	}
	return nil
}

// background starts what runs beside the requests. The returned function ends
// it: what is queued is written first.
func (s *server) background(failed chan<- error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.keepLease(ctx); err != nil {
			failed <- err
		}
	})
	for _, run := range []func(context.Context){
		s.feed.Run, s.watch, s.watchKeys, s.measureLag, s.sweep, s.tuneHeap,
		s.recorder.Run, s.notary.Run,
		s.used.Run, s.signed.Run, s.exchanged.Run, s.seen.Run,
		s.login.Run, s.courier.Run, s.oauth.RunLogouts,
		s.life.leaks.Run, s.life.meter.Run, s.keepKeys,
		s.purge, s.purgePartners, s.purgeOAuth, s.purgeLedger, s.purgeUsage,
	} {
		wg.Go(func() { run(ctx) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// watch wakes the feed when the store says that another process changed something.
// The feed polls besides: a store that cannot tell only makes changes come later.
func (s *server) watch(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.house.store.Watch(ctx, s.feed.Wake); err != nil && ctx.Err() == nil {
			s.log.Debug("the store does not tell of changes; the feed polls", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// purge removes what no process will ask for again, a bounded batch at a time.
func (s *server) purge(ctx context.Context) {
	every(ctx, purgeInterval, func() {
		for {
			n, err := s.house.store.PurgeChanges(ctx, time.Now().Add(-changesKept), purgeBatch)
			if err != nil && ctx.Err() == nil {
				s.log.Warn("old changes could not be purged", "error", err)
			}
			if err != nil || n < purgeBatch {
				return
			}
		}
	})
}

// sweep forgets rate limit counters that count nothing any more.
func (s *server) sweep(ctx context.Context) {
	every(ctx, 10*time.Second, func() { s.limits.memory.Sweep(time.Now()) })
}

func every(ctx context.Context, interval time.Duration, work func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			work()
		}
	}
}

// reload reads the routes again. Requests under way finish with the old ones;
// a configuration with a problem changes nothing and is told.
func (s *server) reload() {
	if s.options.reload == nil {
		return
	}
	cfg, err := s.options.reload()
	if err != nil {
		s.log.Error("the configuration has problems; the old routes stay in force", "error", err)
		return
	}
	s.keyWatch.named(cfg.MasterKey)
	table, err := compileRoutes(cfg, s.options.demo, s.log)
	if err != nil {
		s.log.Error("the routes have problems; the old ones stay in force", "error", err)
		return
	}
	if table.Version() == s.gate.Table().Version() {
		return
	}
	s.gate.Swap(table)
	s.log.Info("routes reloaded", "routes", len(table.Routes()))
}

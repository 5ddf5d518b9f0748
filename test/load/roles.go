package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"
)

// The program starts itself again as each server it compares with.
const (
	roleVariable    = "KEYSTILE_LOAD_ROLE"
	addressVariable = "KEYSTILE_LOAD_ADDRESS"
	answerVariable  = "KEYSTILE_LOAD_ANSWER"
	bodyVariable    = "KEYSTILE_LOAD_BODY"
	backendVariable = "KEYSTILE_LOAD_BACKEND"
	verifyVariable  = "KEYSTILE_LOAD_VERIFY"
)

// The servers this program can be.
const (
	roleBare         = "bare"
	roleUpstream     = "upstream"
	roleReverseProxy = "reverseproxy"
)

// upstreamBody is what the upstream answers: one small record.
const upstreamBody = `{"records":[{"asset_id":"INV-1","site_id":"site-0","timestamp":"2025-11-01T00:00:00","power":4.2,"kWh":0.35,"inverter_state":1,"run_state":1}]}`

func serveRole(ctx context.Context, role string) error {
	handler, err := roleHandler(role)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: os.Getenv(addressVariable), Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() {
		<-ctx.Done()
		if err := server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
		}
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func roleHandler(role string) (http.Handler, error) {
	switch role {
	case roleBare:
		return bareHandler([]byte(os.Getenv(answerVariable)), []byte(os.Getenv(bodyVariable)), os.Getenv(verifyVariable))
	case roleUpstream:
		return http.HandlerFunc(upstream), nil
	case roleReverseProxy:
		return reverseProxy(os.Getenv(backendVariable))
	}
	return nil, fmt.Errorf("no role %q", role)
}

// bareHandler answers 200 with the header fields and the body that keystile's answer
// has, and does nothing else: the least a net/http server can do for that answer. Where
// an algorithm is named it makes one verification, too.
func bareHandler(answer, body []byte, algorithm string) (http.Handler, error) {
	var fields http.Header
	if err := json.Unmarshal(answer, &fields); err != nil {
		return nil, fmt.Errorf("the answer to copy: %w", err)
	}
	verify := func() error { return nil }
	if algorithm != "" {
		var err error
		if verify, err = verification(algorithm); err != nil {
			return nil, err
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := verify(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h := w.Header()
		for name, values := range fields {
			h[name] = values
		}
		w.WriteHeader(http.StatusOK)
		if _, err := w.Write(body); err != nil {
			fmt.Fprintln(os.Stderr, "bare:", err)
		}
	}), nil
}

func upstream(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write([]byte(upstreamBody)); err != nil {
		fmt.Fprintln(os.Stderr, "upstream:", err)
	}
}

// reverseProxy is httputil.ReverseProxy alone, with the one setting it needs
// to keep its connections to one upstream.
func reverseProxy(backend string) (http.Handler, error) {
	target, err := url.Parse("http://" + backend)
	if err != nil {
		return nil, err
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 1024, MaxIdleConns: 1024, IdleConnTimeout: time.Minute},
	}, nil
}

package main

import (
	"io"
	"log/slog"
	"strings"
)

// secretWords mark log attributes whose value is never written, whatever their
// type: a second net behind keystile.Secret, which redacts itself.
var secretWords = []string{
	"authorization", "api_key_secret", "secret", "password", "pepper", "master_key", "session_token", "auth_token",
	"x-api-key", "cookie", "code_verifier", "client_secret", "access_token", "refresh_token",
}

// newLogger writes structured logs: JSON, or text for a terminal.
func newLogger(w io.Writer, level slog.Level, text bool) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: redact}
	if text {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

func redact(_ []string, a slog.Attr) slog.Attr {
	name := strings.ToLower(a.Key)
	for _, word := range secretWords {
		if strings.Contains(name, word) {
			return slog.String(a.Key, "[redacted]")
		}
	}
	return a
}

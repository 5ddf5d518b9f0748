package config

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"

	keystile "keystile.dev/keystile"
)

// The URLs here may hold passwords, so no problem repeats them.

func (c *checker) checkStore() {
	const remedy = "write sqlite:/path/keystile.db or postgres://user@host/database"
	text := c.Store.Reveal()
	scheme, rest, _ := strings.Cut(text, ":")
	switch {
	case text == "":
		c.add("store", remedy, "is empty")
	case scheme == "sqlite":
		c.checkSQLite(rest)
	case scheme == "postgres" || scheme == "postgresql":
		if u, err := url.Parse(text); err != nil || u.Host == "" && u.Query().Get("host") == "" {
			c.add("store", remedy, "is not a PostgreSQL URL")
		}
	default:
		c.add("store", remedy, "is not the URL of a store")
	}
}

func (c *checker) checkSQLite(path string) {
	switch {
	case path == "" || path == ":memory:" || strings.HasSuffix(path, "/"):
		c.add("store", "write sqlite:/path/keystile.db", "names no file")
	case strings.ContainsAny(path, "?#"):
		c.add("store", "write the path alone", "has a query; the database is opened in one way only")
	default:
		// sqlite:///path is the same file as sqlite:/path.
		if strings.HasPrefix(path, "///") {
			path = path[2:]
		}
		c.Store = keystile.Secret("sqlite:" + c.fromBase("store", path))
	}
}

func (c *checker) checkShared() {
	const remedy = "write memory or valkey://host:6379"
	text := c.Shared.Reveal()
	if text == "memory" {
		return
	}
	u, err := url.Parse(text)
	switch {
	case text == "":
		c.add("shared", remedy, "is empty")
	case err != nil || u.Hostname() == "" || u.Port() != "" && !validPort(u.Port()):
		c.add("shared", remedy, "is not the URL of a Valkey server")
	case u.Scheme != "valkey" && u.Scheme != "valkeys":
		c.add("shared", remedy, "is not memory and not a Valkey URL")
	}
}

// checkMasterKey checks how the key is named. Reading it is the keyring's.
func (c *checker) checkMasterKey() {
	const remedy = "write file:PATH, env:NAME, vault:https://HOST:8200/MOUNT/KEY or aws-kms://ARN"
	kind, name, ok := strings.Cut(c.MasterKey, ":")
	switch {
	case c.MasterKey == "":
		c.add("master_key", remedy, "is empty")
	case !ok || name == "":
		// What stands here may be the key itself, pasted: it is not repeated.
		c.add("master_key", remedy, "does not say where the key is")
	case kind == "env":
		if strings.ContainsAny(name, "= /\\") {
			c.add("master_key", remedy, "does not name an environment variable")
		}
	case kind == "file":
		path := c.fromBase("master_key", name)
		c.MasterKey = "file:" + path
		if isDirectory(path) {
			c.add("master_key", "name the key file", "names a directory")
		}
	case kind == "vault", kind == "aws-kms": // the rest is the keyring's to read
	case strings.Contains(kind, "vault") || strings.Contains(kind, "kms"):
		c.add("master_key", remedy, "keys of that key management service are not in this build")
	default:
		c.add("master_key", remedy, "does not say where the key is")
	}
}

func isDirectory(path string) bool {
	info, err := os.Stat(filepath.Clean(path))
	return err == nil && info.IsDir()
}

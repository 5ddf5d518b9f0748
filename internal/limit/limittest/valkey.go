package limittest

import (
	"context"
	"crypto/rand"
	"os"
	"sync"
	"testing"

	"github.com/valkey-io/valkey-go"
)

// ValkeyVariable is the environment variable that names the server for tests,
// such as redis://127.0.0.1:6399.
const ValkeyVariable = "KEYSTILE_TEST_VALKEY"

// ValkeyURL is the server for tests. A test that needs one fails without it: a
// guarantee that was not tried is not a guarantee.
func ValkeyURL(tb testing.TB) string {
	tb.Helper()
	url := os.Getenv(ValkeyVariable)
	if url == "" {
		tb.Fatalf("%s is not set, so this cannot be tested; run 'make test', which starts a server", ValkeyVariable)
	}
	return url
}

// Client connects to the server for tests until the test ends.
func Client(tb testing.TB) valkey.Client {
	tb.Helper()
	option, err := valkey.ParseURL(ValkeyURL(tb))
	if err != nil {
		tb.Fatalf("%s: %v", ValkeyVariable, err)
	}
	option.DisableCache = true
	client, err := valkey.NewClient(option)
	if err != nil {
		tb.Fatalf("connect to the server that %s names: %v", ValkeyVariable, err)
	}
	tb.Cleanup(client.Close)
	return client
}

var (
	prefixesMu sync.Mutex
	prefixes   = map[testing.TB]string{}
)

// Prefix is a prefix for keys that only this test uses. What the test leaves
// under it is deleted when it ends.
func Prefix(tb testing.TB) string {
	tb.Helper()
	prefixesMu.Lock()
	prefix, known := prefixes[tb]
	if !known {
		prefix = "keystile-test:" + rand.Text() + ":"
		prefixes[tb] = prefix
	}
	prefixesMu.Unlock()
	if known {
		return prefix
	}
	client := Client(tb)
	tb.Cleanup(func() {
		prefixesMu.Lock()
		delete(prefixes, tb)
		prefixesMu.Unlock()
		clean(tb, client, prefix)
	})
	return prefix
}

// clean deletes all keys with a prefix.
func clean(tb testing.TB, client valkey.Client, prefix string) {
	tb.Helper()
	ctx, cursor := context.Background(), uint64(0)
	for {
		page, err := client.Do(ctx, client.B().Scan().Cursor(cursor).Match(prefix+"*").Count(1000).Build()).AsScanEntry()
		if err != nil {
			tb.Errorf("find the keys this test left: %v", err)
			return
		}
		if len(page.Elements) > 0 {
			if err := client.Do(ctx, client.B().Unlink().Key(page.Elements...).Build()).Error(); err != nil {
				tb.Errorf("delete the keys this test left: %v", err)
				return
			}
		}
		if cursor = page.Cursor; cursor == 0 {
			return
		}
	}
}

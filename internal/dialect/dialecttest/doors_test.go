package dialecttest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"keystile.dev/keystile/internal/dialect/ona"
)

// doors serves every endpoint of a world's two doors as the server does.
func doors(t *testing.T, w *World) http.Handler {
	t.Helper()
	onaDoor, err := w.Ona()
	if err != nil {
		t.Fatal(err)
	}
	naoDoor, err := w.NAO()
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, ona.InvokePath):
			onaDoor.Lambda().ServeHTTP(w, r)
		case strings.HasPrefix(path, "/api/v2/"):
			naoDoor.ServeHTTP(w, r)
		default:
			onaDoor.ServeHTTP(w, r)
		}
	})
}

// ask sends a request that is written as on the wire, with plain line ends and
// without Host and Content-Length.
func ask(t *testing.T, h http.Handler, text string) *httptest.ResponseRecorder {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	body = strings.TrimSuffix(body, "\n")
	first, fields, _ := strings.Cut(strings.TrimSuffix(head, "\n"), "\n")
	wire := first + " HTTP/1.1\r\nHost: auth.example.com\r\n"
	if fields != "" {
		wire += strings.ReplaceAll(fields, "\n", "\r\n") + "\r\n"
	}
	wire += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	r.RemoteAddr = "192.0.2.7:40000"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(t.Context()))
	return w
}

// always is on every answer of a door, and so on none in the golden files.
var always = map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Keystile-Request-Id": "request-1"}

func show(t *testing.T, w *httptest.ResponseRecorder) []byte {
	t.Helper()
	var text bytes.Buffer
	fmt.Fprintf(&text, "%d\n", w.Code)
	var fields []string
	for name, values := range w.Header() {
		if want, ok := always[name]; !ok {
			fields = append(fields, name+": "+strings.Join(values, " | "))
		} else if values[0] != want {
			t.Errorf("%s is %q", name, values)
		}
	}
	slices.Sort(fields)
	for _, field := range fields {
		text.WriteString(field + "\n")
	}
	if w.Body.Len() > 0 {
		text.WriteString("\n" + strings.TrimSuffix(w.Body.String(), "\n") + "\n")
	}
	return text.Bytes()
}

const answerOf = ": answer"

// TestEveryConversationAtADoorGoesAsItsGoldenFileSays holds the requests of a
// file one after the other with one world, and compares each answer.
func TestEveryConversationAtADoorGoesAsItsGoldenFileSays(t *testing.T) {
	files, err := filepath.Glob("testdata/*_door*.txtar")
	if err != nil || len(files) < 3 {
		t.Fatalf("%q %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			world := NewWorld()
			h := doors(t, world)
			have, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := txtar.Format(have)
			got := &txtar.Archive{Comment: have.Comment}
			for _, f := range have.Files {
				if strings.HasSuffix(f.Name, answerOf) {
					continue
				}
				got.Files = append(got.Files, f, txtar.File{Name: f.Name + answerOf, Data: show(t, ask(t, h, string(f.Data)))})
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), string(txtar.Format(got))); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestThreat26_UnknownUserAndWrongPasswordAreTheSameBytes(t *testing.T) {
	for name, form := range map[string]string{
		"ona":    "POST /api/auth/login\n\n{\"username\":%q,\"password\":\"wrong\"}",
		"lambda": "POST /2015-03-31/functions/ona-user-auth-prod/invocations\n\n{\"httpMethod\":\"POST\",\"path\":\"/api/auth/login\",\"body\":\"{\\\"username\\\":\\\"%s\\\",\\\"password\\\":\\\"wrong\\\"}\"}",
		"nao":    "POST /api/v2/sessions\n\n{\"session\":{\"email\":%q,\"password\":\"wrong\"}}",
	} {
		h := doors(t, NewWorld())
		answers := map[string]bool{}
		for _, user := range []string{"user@example.com", "mfa@example.com", "gone@example.com", "nobody@example.com", "USER", "x"} {
			answers[string(show(t, ask(t, h, fmt.Sprintf(form, user))))] = true
		}
		if len(answers) != 1 {
			t.Errorf("%s: %d different answers: %v", name, len(answers), answers)
		}
	}
}

func TestThreat37_MoreThan64KiBAreNotRead(t *testing.T) {
	h := doors(t, NewWorld())
	for _, path := range []string{"/api/auth/login", "/2015-03-31/functions/ona-user-auth-prod/invocations", "/api/v2/sessions"} {
		body := &countingReader{limit: 16 << 20}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, body)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if body.read > 128<<10 {
			t.Errorf("%s: %d bytes were read", path, body.read)
		}
		if got := w.Code == http.StatusRequestEntityTooLarge || strings.Contains(w.Body.String(), `"statusCode":413`); !got {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// countingReader is a body of spaces without an end in sight.
type countingReader struct{ read, limit int }

func (c *countingReader) Read(p []byte) (int, error) {
	if c.read >= c.limit {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = ' '
	}
	c.read += len(p)
	return len(p), nil
}

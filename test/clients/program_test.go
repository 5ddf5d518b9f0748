package clients

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// environment lets curl, Go, Python and Node trust the server's certificate.
func environment(more ...string) []string {
	own := []string{
		"SSL_CERT_FILE=" + authority, "CURL_CA_BUNDLE=" + authority, "REQUESTS_CA_BUNDLE=" + authority, "NODE_EXTRA_CA_CERTS=" + authority,
		"PATH=" + filepath.Dir(binary) + string(os.PathListSeparator) + os.Getenv("PATH"), "ORIGIN=" + origin, "APIS=" + apis, "CALLBACK_URI=" + callback, "PYTHONDONTWRITEBYTECODE=1",
	}
	return slices.Concat(os.Environ(), own, more)
}

// converse runs a client's program. Where it prints a URL of ours that is for a browser,
// the person opens it, and the program reads where the browser ended. It returns what
// else the program wrote; if it fails, the test does with all it said.
func (p *person) converse(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdin := must(cmd.StdinPipe())(t)
	stdout := must(cmd.StdoutPipe())(t)
	check(t, cmd.Start())
	said, talk := p.attend(stdout, stdin)
	if err := errors.Join(talk, cmd.Wait()); err != nil {
		t.Fatalf("%s: %v\n%s\n%s", filepath.Base(cmd.Args[0]), err, said, stderr.String())
	}
	return said
}

// attend reads a program's output to its end and answers what is for the browser.
func (p *person) attend(from io.Reader, to io.WriteCloser) (said string, err error) {
	var text strings.Builder
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		text.WriteString(line + "\n")
		if !forBrowser(line) || err != nil {
			continue
		}
		at, failed := p.visit(line)
		if failed == nil {
			_, failed = io.WriteString(to, at+"\n")
		}
		if failed != nil { // the program, which waits for an answer, ends too
			err = errors.Join(fmt.Errorf("the browser at %s: %w", line, failed), to.Close())
		}
	}
	return text.String(), errors.Join(err, lines.Err())
}

func forBrowser(line string) bool {
	return slices.ContainsFunc([]string{"/oauth/authorize?", "/oauth/device?", "/oauth/logout"}, func(path string) bool { return strings.HasPrefix(line, origin+path) })
}

// kept is where the libraries lie, from one run to the next.
const kept = "../../bin/clients"

// install runs an installation into a directory whose name tells of the file that pins
// what is installed, unless that was done before.
func install(t *testing.T, pins string, into func(dir string) error) string {
	t.Helper()
	text := must(os.ReadFile(pins))(t)
	sum := sha256.Sum256(text)
	dir := must(filepath.Abs(filepath.Join(kept, filepath.Base(filepath.Dir(pins))+"-"+hex.EncodeToString(sum[:6]))))(t)
	done := filepath.Join(dir, "installed")
	if _, err := os.Stat(done); err == nil {
		return dir
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	check(t, errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)))
	check(t, into(dir))
	check(t, os.WriteFile(done, nil, 0o600))
	return dir
}

// javascript is the directory that has the packages for Node.
func javascript(t *testing.T) string {
	t.Helper()
	return install(t, "javascript/package-lock.json", func(dir string) error {
		for _, name := range []string{"package.json", "package-lock.json"} {
			if err := copyFile(filepath.Join("javascript", name), filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		_, err := command(t.Context(), dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
		return err
	})
}

// python is the interpreter that has the packages for Python.
func python(t *testing.T) string {
	t.Helper()
	pins := must(filepath.Abs("python/requirements.txt"))(t)
	dir := install(t, pins, func(dir string) error {
		if _, err := command(t.Context(), dir, "python3", "-m", "venv", dir); err != nil {
			return err
		}
		_, err := command(t.Context(), dir, filepath.Join(dir, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", pins)
		return err
	})
	return filepath.Join(dir, "bin", "python")
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o600)
}

// node is the command that runs a module, whose text it is, where the packages are.
func node(t *testing.T, name, text string, arguments ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	check(t, os.Symlink(filepath.Join(javascript(t), "node_modules"), filepath.Join(dir, "node_modules")))
	file := filepath.Join(dir, name)
	check(t, os.WriteFile(file, []byte(text), 0o600))
	cmd := exec.CommandContext(t.Context(), "node", append([]string{file}, arguments...)...)
	cmd.Env = environment()
	return cmd
}

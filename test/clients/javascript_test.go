package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runNode runs a program of javascript/ beside its packages. It has to come to its end.
func runNode(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	dir := must(filepath.Abs("javascript"))(t)
	place := t.TempDir()
	check(t, os.Symlink(filepath.Join(javascript(t), "node_modules"), filepath.Join(place, "node_modules")))
	for _, file := range must(filepath.Glob(filepath.Join(dir, "*.mjs")))(t) {
		check(t, copyFile(file, filepath.Join(place, filepath.Base(file))))
	}
	cmd := exec.CommandContext(t.Context(), "node", append([]string{filepath.Join(place, name+".mjs")}, arguments...)...)
	cmd.Env = environment()
	said := newPerson(t).converse(t, cmd)
	if !strings.HasSuffix(said, name+": done\n") {
		t.Errorf("%s did not come to its end:\n%s", name, said)
	}
	return said
}

func TestOpenIDClientWorksWithPushedRequestsDPoPRegistrationAndSignOut(t *testing.T) {
	website := register(t, "--redirect-uri", callback, "--post-logout-redirect-uri", "https://app.example.com/bye", "--pushed-only", "--dpop",
		"--scope", "openid", "--scope", "profile", "--scope", "email", "--scope", "sites:read")
	program := register(t, "--scope", "sites:read")
	runNode(t, "openid-client", website.ID, website.Secret, program.ID, program.Secret)
}

func TestOAuth4WebAPIAcceptsEveryAnswer(t *testing.T) {
	site := register(t, "--public", "--redirect-uri", callback, "--scope", "openid", "--scope", "sites:read", "--audience", "https://reports.example.com")
	api := register(t, "--scope", "sites:read", "--serves", "https://reports.example.com")
	device := register(t, "--public", "--grant", "urn:ietf:params:oauth:grant-type:device_code", "--scope", "openid")
	runNode(t, "oauth4webapi", site.ID, api.ID, api.Secret, device.ID)
}

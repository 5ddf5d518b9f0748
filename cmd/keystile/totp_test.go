package main

import (
	"encoding/base32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keystile.dev/keystile/internal/login/totp"
)

func TestACodeInTheTerminalIsTheOneTheServerExpects(t *testing.T) {
	const text = "gezd gnbv gy3t qojq gezd gnbv gy3t qojq" // the secret of RFC 6238, appendix B
	file := filepath.Join(t.TempDir(), "totp.txt")
	check(t, os.WriteFile(file, []byte(text+"\n"), 0o600))
	for _, secret := range []string{text, "@" + file, base32.StdEncoding.EncodeToString([]byte("12345678901234567890"))} {
		before := time.Now()
		status, stdout, stderr := command(t, "token", "totp", "--secret", secret)
		if status != 0 {
			t.Fatalf("%d %s", status, stderr)
		}
		step, ok := totp.Match([]byte("12345678901234567890"), strings.TrimSpace(stdout), before, 0)
		if !ok || step < totp.Step(before) {
			t.Errorf("%s at %v: step %d", stdout, before, step)
		}
	}
}

func TestATOTPSecretThatIsNoneIsWrongUsage(t *testing.T) {
	for _, args := range [][]string{{"--secret", ""}, {"--secret", "1!"}, {"--secret", "==="}, {}} {
		if status, stdout, _ := command(t, append([]string{"token", "totp"}, args...)...); status != 2 || stdout != "" {
			t.Errorf("%q: %d %s", args, status, stdout)
		}
	}
}

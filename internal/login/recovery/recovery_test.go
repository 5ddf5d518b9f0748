package recovery_test

import (
	"crypto/rand"
	"regexp"
	"strings"
	"testing"

	"keystile.dev/keystile/internal/login/recovery"
)

func TestTenCodesAreDrawnThatReadAsTheyWereTyped(t *testing.T) {
	codes, err := recovery.New(rand.Reader)
	if err != nil || len(codes) != recovery.Count {
		t.Fatalf("%d codes, %v", len(codes), err)
	}
	seen := map[string]bool{}
	for _, c := range codes {
		text := c.Reveal()
		if !regexp.MustCompile(`^[a-z2-9]{4}-[a-z2-9]{4}-[a-z2-9]{4}$`).MatchString(text) || seen[text] {
			t.Errorf("code %s", text)
		}
		seen[text] = true
		want := strings.ReplaceAll(text, "-", "")
		for _, typed := range []string{text, want, strings.ToUpper(text), " " + strings.ReplaceAll(text, "-", " ") + " "} {
			if got, ok := recovery.Shape(typed); !ok || got != want {
				t.Errorf("%q reads as %q, %v", typed, got, ok)
			}
		}
		if recovery.Sum("a", want) == recovery.Sum("b", want) {
			t.Error("two users' codes have one digest")
		}
	}
	for _, wrong := range []string{"", "123456", "abcd-abcd-abc", "abcd-abcd-abc@", "abcd-abcd-abcl", strings.Repeat("-", 1<<20)} {
		if _, ok := recovery.Shape(wrong); ok {
			t.Errorf("%.20q was taken", wrong)
		}
	}
}

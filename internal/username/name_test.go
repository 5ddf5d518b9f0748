package username_test

import (
	"errors"
	"strings"
	"testing"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/username"
)

func TestThreat25_WritingsOfOneNameHaveOneCanonicalForm(t *testing.T) {
	for canonical, writings := range map[string][]string{
		"user@example.com": {
			"user@example.com", "USER@EXAMPLE.COM", "User@Example.com.", " user@example.com\n", "user@example.com...", "ｕｓｅｒ＠ｅｘａｍｐｌｅ．ｃｏｍ", "user@example。com", "user@example.com。",
			"user@example.com .",
		},
		"alice":                      {"Alice", "ALICE", "alice.", "\u3000alice\u3000", "ａｌｉｃｅ"},
		"jos\u00e9":                  {"jos\u00e9", "jose\u0301", "JOS\u00c9"},
		"k":                          {"\u212a"}, // the Kelvin sign
		"user@xn--bcher-kva.example": {"user@bücher.example", "USER@BÜCHER.EXAMPLE", "user@xn--bcher-kva.example", "user@bu\u0308cher.example"},
		"иван":                       {"Иван", "ИВАН"},
		"o'neil+tag_1-2":             {"O'Neil+tag_1-2"},
		"root@localhost":             {"root@localhost"},
	} {
		for _, text := range writings {
			if got, err := username.Canonical(text); err != nil || got != canonical {
				t.Errorf("Canonical(%q) = %q, %v; want %q", text, got, err, canonical)
			}
			n, err := username.Parse(text)
			if err != nil || n.Canonical != canonical || n.IsEmail != strings.Contains(canonical, "@") {
				t.Errorf("Parse(%q) = %+v, %v; want %q", text, n, err, canonical)
			}
			if again, err := username.Canonical(n.Shown); err != nil || again != canonical {
				t.Errorf("what is shown of %q is %q, which is %q, %v", text, n.Shown, again, err)
			}
		}
	}
}

func TestNamesThatDifferStayApart(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{"alice", "al.ice", "al-ice", "al_ice", "alice+1", "straße", "strasse", "jose", "josé", "userl", "user1", "modern", "modem", "a@x.example", "a@y.example", "a"} {
		got, err := username.Canonical(text)
		if err != nil {
			continue
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q are both %q", text, other, got)
		}
		seen[got] = text
	}
	for _, pair := range [][2]string{{"userl", "user1"}, {"modern", "modem"}, {"jose", "josé"}, {"o0", "oo"}} {
		a, errA := username.Parse(pair[0])
		b, errB := username.Parse(pair[1])
		if errA != nil || errB != nil || a.Skeleton == b.Skeleton {
			t.Errorf("%q and %q have the skeleton %q", pair[0], pair[1], a.Skeleton)
		}
	}
}

func TestThreat35_AnAddressWithMoreThanOneAtIsRefused(t *testing.T) {
	for _, text := range []string{"a@b@example.com", "a@@example.com", "\"a@b\"@example.com", "a＠b@example.com", "@", "a@", "@example.com", "a@.example.com", "a@b..c", "a.@example.com", "a..b@example.com", ".a@example.com", "a b@example.com", "a@exa mple.com", "a@[127.0.0.1]", "<a>@example.com", "a@example.com\r\nBcc: b"} {
		refused(t, text)
	}
}

func TestNamesThatCannotBeShownOrComparedAreRefused(t *testing.T) {
	for _, text := range []string{
		"", " ", "...", "a b", "a\x00b", "a\tb", "\xff", "a\u202eb", "a\u200bb", "a\ufeffb", "\u00adx", "ﬁ", "①", "a\u2028b",
		strings.Repeat("a", username.MaxBytes+1), strings.Repeat("a", 65) + "@example.com", "user\u0661",
	} {
		refused(t, text)
	}
}

func TestThreat30_AMixtureOfScriptsIsRefused(t *testing.T) {
	for _, text := range []string{"аlice", "pаypal", "alic\u03b5", "user@exаmple.com", "аdmin@example.com", "иvan", "x\u0967"} {
		if _, err := username.Parse(text); !invalid(err) {
			t.Errorf("Parse(%q): %v", text, err)
		}
	}
	for _, text := range []string{"иван@example.com", "山田taro", "やまだ山田", "김민수kim", "αθηνα", "שלום", "محمد"} {
		if _, err := username.Parse(text); err != nil {
			t.Errorf("Parse(%q): %v", text, err)
		}
	}
}

func TestThreat30_NamesThatLookAlikeHaveOneSkeletonAndTwoCanonicalForms(t *testing.T) {
	for _, pair := range [][2]string{
		{"capa", "сара"},
		{"CAPA", "САРА"},
		{"paypal", "раураӏ"},
		{"cape@example.com", "саре@example.com"},
		{"admin@ace.example", "admin@асе.example"},
		{"admin", "adm\u0131n"},
		{"avva", "αννα"},
	} {
		a, errA := username.Parse(pair[0])
		b, errB := username.Parse(pair[1])
		if errA != nil || errB != nil {
			t.Fatalf("%q: %v; %q: %v", pair[0], errA, pair[1], errB)
		}
		if a.Skeleton != b.Skeleton || a.Canonical == b.Canonical {
			t.Errorf("%q and %q: skeletons %q, %q, canonical %q, %q", pair[0], pair[1], a.Skeleton, b.Skeleton, a.Canonical, b.Canonical)
		}
	}
	if n, err := username.Parse("ΑΝΝΑ"); err != nil || n.Shown != "αννα" {
		t.Errorf("capitals of another script are shown as %q, %v", n.Shown, err)
	}
	if n, err := username.Parse("Alice"); err != nil || n.Shown != "Alice" {
		t.Errorf("Alice is shown as %q, %v", n.Shown, err)
	}
}

func TestARefusalDoesNotRepeatTheName(t *testing.T) {
	for _, text := range []string{"hunter2 secret", "hunter2@@secret", "hunter2\x00", "hunter2аlice"} {
		if _, err := username.Parse(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Parse(%q): %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"user@example.com", "Ｕser＠Example.COM.", "сара", "a\u0301\u200d", "x@xn--bcher-kva", "İ", "\u03c2", "ΌΣΟΣ", "a.\u0301"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		canonical, err := username.Canonical(text)
		if err != nil {
			if !invalid(err) {
				t.Fatalf("%q: %v is no refusal of the name", text, err)
			}
			return
		}
		if again, err := username.Canonical(canonical); err != nil || again != canonical {
			t.Fatalf("%q is %q, which is %q, %v", text, canonical, again, err)
		}
		if len(canonical) > username.MaxBytes || strings.Count(canonical, "@") > 1 || strings.ContainsAny(canonical, " \r\n\t\x00") {
			t.Fatalf("%q is %q", text, canonical)
		}
		n, err := username.Parse(text)
		if err != nil {
			return
		}
		if n.Canonical != canonical || n.Skeleton == "" {
			t.Fatalf("%q: %+v, canonical %q", text, n, canonical)
		}
		shown, err := username.Parse(n.Shown)
		if err != nil || shown != n {
			t.Fatalf("%q: %+v is shown as %+v, %v", text, n, shown, err)
		}
	})
}

func refused(t *testing.T, text string) {
	t.Helper()
	if got, err := username.Canonical(text); !invalid(err) {
		t.Errorf("Canonical(%q) = %q, %v", text, got, err)
	}
}

func invalid(err error) bool {
	var refusal *keystile.Invalid
	return errors.As(err, &refusal)
}

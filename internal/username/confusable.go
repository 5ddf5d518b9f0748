package username

import (
	"maps"
	"slices"
	"strings"
	"unicode"
)

// lookalikes are small letters and the Latin ones that they, or their capitals,
// can be mistaken for (UTS #39, section 4, as far as a name may hold them).
var lookalikes = map[rune]rune{
	// Cyrillic
	'а': 'a', 'в': 'b', 'с': 'c', 'ԁ': 'd', 'е': 'e', 'һ': 'h', 'н': 'h', 'і': 'i', 'ј': 'j', 'к': 'k', 'ӏ': 'l', 'м': 'm',
	'о': 'o', 'р': 'p', 'ԛ': 'q', 'г': 'r', 'ѕ': 's', 'т': 't', 'ѵ': 'v', 'ԝ': 'w', 'х': 'x', 'у': 'y', 'ү': 'y',
	// Greek
	'α': 'a', 'β': 'b', 'ϲ': 'c', 'ε': 'e', 'η': 'n', 'ι': 'i', 'ϳ': 'j', 'κ': 'k', 'ν': 'v', 'ο': 'o', 'σ': 'o', 'ρ': 'p',
	'τ': 't', 'υ': 'u', 'ω': 'w', 'χ': 'x', 'γ': 'y',
	// Armenian
	'ց': 'g', 'հ': 'h', 'յ': 'j', 'ո': 'n', 'օ': 'o', 'զ': 'q', 'ս': 'u',
	// Latin beyond ASCII
	'ɑ': 'a', 'ƅ': 'b', 'ɡ': 'g', 'ı': 'i', 'ɩ': 'i', 'ȷ': 'j', 'ʋ': 'v',
}

// skeleton replaces letters of a canonical name by those they look like. Marks
// that could not be composed with a letter of an alphabet, and joiners, go: they are easily overlooked.
func skeleton(canonical string) string {
	if ascii(canonical) {
		return canonical
	}
	var b strings.Builder
	alphabet := false
	for _, r := range canonical {
		switch {
		case r == '\u200C' || r == '\u200D':
			continue
		case unicode.Is(unicode.Mn, r):
			if alphabet {
				continue
			}
		default:
			alphabet = unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Armenian)
		}
		if like, ok := lookalikes[r]; ok {
			r = like
		}
		b.WriteRune(r)
	}
	return b.String()
}

// mixtures are scripts that one language writes together, with Latin letters
// among them (UTS #39, section 5.2).
var mixtures = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"},
	{"Latin", "Han", "Bopomofo"},
	{"Latin", "Han", "Hangul"},
}

// oneScript refuses names whose letters are of scripts that nobody writes
// together, and digits that look like other things.
func (p parts) oneScript() error {
	texts := []string{p.local}
	if p.email {
		texts = append(texts, strings.Split(p.unicodeDomain, ".")...)
	}
	for _, text := range texts {
		if ascii(text) {
			continue
		}
		scripts := map[string]bool{}
		for _, r := range text {
			if unicode.Is(unicode.Nd, r) && (r < '0' || r > '9') {
				return bad("use the digits 0 to 9", "holds the digit U+%04X", r)
			}
			if s := scriptOf(r); s != "" {
				scripts[s] = true
			}
		}
		if !together(scripts) {
			names := slices.Sorted(maps.Keys(scripts))
			return bad("write it in one script", "mixes letters that look alike, of %s", strings.Join(names, " and "))
		}
	}
	return nil
}

func together(scripts map[string]bool) bool {
	if len(scripts) <= 1 {
		return true
	}
	return slices.ContainsFunc(mixtures, func(mixture []string) bool {
		for s := range scripts {
			if !slices.Contains(mixture, s) {
				return false
			}
		}
		return true
	})
}

// scriptOf names the script of a character; empty for those that all share.
func scriptOf(r rune) string {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
		return "Latin"
	case unicode.In(r, unicode.Common, unicode.Inherited):
		return ""
	}
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return name
		}
	}
	return "Unknown"
}

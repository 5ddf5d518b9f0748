package yamlfile

import (
	"strings"
	"unicode"
)

// Suggest returns the name among known that was probably meant by name, or "".
func Suggest(name string, known []string) string {
	if len(name) > 64 {
		return ""
	}
	plain := snake(name)
	best, bestDistance := "", 1+min(3, max(1, len(plain)/3))
	for _, k := range known {
		if d := distance(plain, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// snake writes publicUrl, Public-URL and "public url" as public_url.
func snake(name string) string {
	var b strings.Builder
	lower := false
	for _, r := range name {
		switch {
		case r == '-' || r == ' ' || r == '.':
			b.WriteByte('_')
			lower = false
			continue
		case unicode.IsUpper(r) && lower:
			b.WriteByte('_')
		}
		lower = unicode.IsLower(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// distance counts the letters to add, drop, change or swap with a neighbour to
// get from a to b (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

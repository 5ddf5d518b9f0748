package password

import (
	_ "embed"
	"math"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	keystile "keystile.dev/keystile"
)

// Lengths of a password in bytes.
const (
	MinLength = 8
	MaxLength = 1024
)

// Policy says which new passwords are good enough.
type Policy struct {
	// MinLength in bytes; less than MinLength counts as MinLength.
	MinLength int
	// MinGuesses is the power of ten of guesses that a password must withstand; 0: 8, which is
	// out of reach of guessing at a sign-in for ever.
	MinGuesses int
}

// defaultGuesses is zxcvbn's score 3: "safely unguessable" online
// (https://www.usenix.org/conference/usenixsecurity16/technical-sessions/presentation/wheeler).
const defaultGuesses = 8

// Field is the member that [Policy.Check] names.
const Field = "password"

// Check refuses a new password that is too short, too long, no text, common, or easily guessed by
// somebody who knows the words in known: the user's name and address, the name of the service.
// The error is a *keystile.Invalid that does not repeat the password.
func (p Policy) Check(password keystile.Secret, known ...string) error {
	text := password.Reveal()
	least := max(p.MinLength, MinLength)
	switch {
	case len(text) > MaxLength:
		return keystile.Invalidf(Field, "use at most 1024 bytes", "is too long")
	case !Acceptable(password):
		return keystile.Invalidf(Field, "use text without NUL", "is not text")
	case len(text) < least:
		return keystile.Invalidf(Field, "use a longer one: a few unrelated words are easy to keep in mind", "has fewer than %d characters", least)
	}
	want := p.MinGuesses
	if want == 0 {
		want = defaultGuesses
	}
	if Guesses(text, known...) < float64(want) {
		return keystile.Invalidf(Field, "use a longer one: a few unrelated words are easy to keep in mind", "is easily guessed")
	}
	return nil
}

// Acceptable says whether text can be a password at all: 1 to 1024 bytes of UTF-8 without
// NUL, which C implementations of imported schemes stop at. What is not is never hashed.
func Acceptable(password keystile.Secret) bool {
	text := password.Reveal()
	return text != "" && len(text) <= MaxLength && utf8.ValidString(text) && !strings.Contains(text, "\x00")
}

// common.txt is this project's own list, written from what is generally known about
// passwords that people choose: the words first that are tried first. It is under
// the project's licence. Endings, years and capitals need no entries of their own:
// Guesses knows those patterns.
//
//go:embed common.txt
var commonText string

// commonRanks gives each listed word its rank, from 1.
var commonRanks = sync.OnceValue(func() map[string]int {
	ranks := map[string]int{}
	for word := range strings.FieldsSeq(commonText) {
		if _, listed := ranks[word]; !listed {
			ranks[word] = len(ranks) + 1
		}
	}
	return ranks
})

const (
	// estimated is how much of a password is estimated, in characters: more cannot be weak
	// unless it repeats itself, and then its beginning tells.
	estimated = 64
	// longestWord bounds what is looked up in the list.
	longestWord = 24
)

// Guesses is the power of ten of guesses that find the password, by the way zxcvbn
// thinks: the cheapest way to write it as a sequence of common words, the user's own
// words, runs on a keyboard, sequences, repetitions, years, and single characters.
// It is an estimate, made to be low rather than high.
func Guesses(password string, known ...string) float64 {
	runes := []rune(password)
	if len(runes) > estimated {
		runes = runes[:estimated]
	}
	plain := unleet(runes)
	own := ownWords(known)
	// best[i] is the cheapest way to write the first i characters, and parts[i] of how many parts it is.
	best := make([]float64, len(runes)+1)
	parts := make([]int, len(runes)+1)
	for end := 1; end <= len(runes); end++ {
		best[end] = math.Inf(1)
		for begin := 0; begin < end; begin++ {
			cost := best[begin] + part(runes[begin:end], plain[begin:end], own)
			if begin > 0 {
				cost += math.Log10(float64(parts[begin] + 1)) // the order of the parts is guessed as well
			}
			if cost < best[end] {
				best[end], parts[end] = cost, parts[begin]+1
			}
		}
	}
	return best[len(runes)]
}

// part is the cost of one part as the cheapest pattern that fits it.
func part(typed, plain []rune, own map[string]bool) float64 {
	cost := float64(len(typed)) // zxcvbn's figure for what fits nothing: 10 guesses a character
	if len(typed) == 1 {
		return cost + 0.04 // 11 of them
	}
	word := strings.ToLower(string(typed))
	if len(typed) <= longestWord {
		cost = min(cost, wordCost(word, typed, 0), wordCost(string(plain), typed, leetCost))
		if own[word] || own[string(plain)] || own[reversed(word)] {
			cost = min(cost, 0.5+capitals(typed))
		}
	}
	if len(typed) < 3 {
		return cost
	}
	return min(cost, sequenceCost([]rune(word)), repeatCost([]rune(word)), keyboardCost(word), yearCost(word))
}

// leetCost is what writing a word with digits for letters adds.
const leetCost = 0.6

func wordCost(word string, typed []rune, more float64) float64 {
	ranks := commonRanks()
	rank, listed := ranks[word]
	if back, also := ranks[reversed(word)]; also && (!listed || 2*back < rank) {
		rank, listed = 2*back, true
	}
	if !listed {
		return math.Inf(1)
	}
	return math.Log10(float64(rank)) + capitals(typed) + more
}

// capitals is what the use of capitals adds: nothing, little for one in front or all, and more within.
func capitals(typed []rune) float64 {
	upper := 0
	for _, r := range typed {
		if unicode.IsUpper(r) {
			upper++
		}
	}
	switch {
	case upper == 0:
		return 0
	case upper == len(typed), upper == 1 && unicode.IsUpper(typed[0]):
		return 0.3
	}
	return 0.3 + 0.3*float64(min(upper, len(typed)-upper))
}

// sequenceCost: abcdef, 987654, acegi.
func sequenceCost(r []rune) float64 {
	step := r[1] - r[0]
	if step == 0 || step > 2 || step < -2 {
		return math.Inf(1)
	}
	for i := 2; i < len(r); i++ {
		if r[i]-r[i-1] != step {
			return math.Inf(1)
		}
	}
	return 1.2 + math.Log10(float64(len(r)))
}

// repeatCost: aaaaaa, abcabcabc.
func repeatCost(r []rune) float64 {
	for size := 1; size <= len(r)/2; size++ {
		if len(r)%size != 0 || !repeats(r, size) {
			continue
		}
		unit := r[:size]
		cost := float64(size)
		if size > 1 {
			cost = part(unit, unleet(unit), nil)
		}
		return cost + math.Log10(float64(len(r)/size))
	}
	return math.Inf(1)
}

func repeats(r []rune, size int) bool {
	for i := size; i < len(r); i++ {
		if r[i] != r[i-size] {
			return false
		}
	}
	return true
}

// keyboards are the rows and columns that fingers run along.
var keyboards = []string{
	"`1234567890-=", "qwertyuiop[]\\", "asdfghjkl;'", "zxcvbnm,./", "qwertzuiop", "azertyuiop", "yxcvbnm",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/", "1q2w3e4r5t6y7u8i9o0p", "qawsedrftgyhujikolp", "qazwsxedcrfvtgbyhnujmikolp",
	"!@#$%^&*()_+", "147258369", "159357", "7894561230",
}

func keyboardCost(word string) float64 {
	for _, row := range keyboards {
		if strings.Contains(row, word) || strings.Contains(row, reversed(word)) {
			return 1.5 + math.Log10(float64(len(word)))
		}
	}
	return math.Inf(1)
}

// yearCost: 1900 to 2099, and eight or six digits that are a date.
func yearCost(word string) float64 {
	for i := range len(word) {
		if word[i] < '0' || word[i] > '9' {
			return math.Inf(1)
		}
	}
	year := func(s string) bool { return strings.HasPrefix(s, "19") || strings.HasPrefix(s, "20") }
	switch {
	case len(word) == 4 && year(word):
		return 1.7
	case len(word) == 8 && (year(word) || year(word[4:])):
		return 4.2
	case len(word) == 6:
		return 4.6
	}
	return math.Inf(1)
}

// unleet reads digits and signs as the letters they stand for, in lower case.
func unleet(typed []rune) []rune {
	letters := map[rune]rune{'0': 'o', '1': 'l', '3': 'e', '4': 'a', '5': 's', '7': 't', '8': 'b', '@': 'a', '$': 's', '!': 'i', '+': 't', '|': 'l', '(': 'c'}
	plain := make([]rune, len(typed))
	for i, r := range typed {
		plain[i] = unicode.ToLower(r)
		if letter, ok := letters[r]; ok {
			plain[i] = letter
		}
	}
	return plain
}

// ownWords are the words that somebody who knows the user tries first.
func ownWords(known []string) map[string]bool {
	own := map[string]bool{}
	for _, text := range known {
		text = strings.ToLower(text)
		own[text] = true
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			if len(word) >= 3 {
				own[word] = true
			}
		}
	}
	return own
}

func reversed(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}

package policy

import "strings"

// maxQuery is the longest query that is searched, in bytes as sent.
const maxQuery = 64 << 10

// What may be wrong with a query as a whole; the parameter's name stands before it.
const (
	queryTooLong   = "cannot be read: the query is longer than 64 KiB"
	querySemicolon = "cannot be read: the query has a semicolon"
	queryEscape    = "cannot be read: the query has an invalid percent-encoding"
)

// queryValue returns the one value of a parameter in a query as the URL
// standard reads form data (application/x-www-form-urlencoded parsing): "&"
// between pairs, "+" for a space, percent-encoding in names and values.
//
// It refuses what servers read differently: a semicolon, which some take for
// "&"; a percent-encoding that is not one, which some keep and some drop; and a
// second parameter of the same name, of which some take the first, some the
// last and some both. It allocates only to decode.
func queryValue(query, name string) (value, problem string) {
	if len(query) > maxQuery {
		return "", queryTooLong
	}
	if strings.IndexByte(query, ';') >= 0 {
		return "", querySemicolon
	}
	if !validEscapes(query) {
		return "", queryEscape
	}
	encoded := strings.IndexByte(query, '%') >= 0 || strings.IndexByte(query, '+') >= 0
	exact, alike := 0, 0
	for query != "" {
		var pair string
		pair, query = cutByte(query, '&')
		key, val := cutByte(pair, '=')
		if encoded {
			key = unescapeQuery(key)
		}
		if key == name {
			value = unescapeQuery(val)
			exact++
		} else if alikeParameter(key, name) {
			alike++
		}
	}
	switch {
	case exact == 0:
		return "", idMissing
	case exact+alike > 1:
		return "", idRepeated
	}
	return value, ""
}

// cutByte is strings.Cut for one byte, which is found faster than a string.
func cutByte(s string, sep byte) (before, after string) {
	if i := strings.IndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

// validEscapes says whether every "%" begins a percent-encoding.
func validEscapes(s string) bool {
	for i := strings.IndexByte(s, '%'); i >= 0; {
		if _, ok := unhex(s, i+1); !ok {
			return false
		}
		next := strings.IndexByte(s[i+3:], '%')
		if next < 0 {
			return true
		}
		i += 3 + next
	}
	return true
}

// unescapeQuery decodes a name or a value whose escapes are valid.
func unescapeQuery(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			out = append(out, ' ')
		case '%':
			b, _ := unhex(s, i+1)
			out = append(out, b)
			i += 2
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// alikeParameter says whether some server takes key for name although they
// differ: without regard to case (ASP.NET), with " " and "." as "_" and spaces
// before the name dropped (PHP), "name[]" and "name[x]" as more of the same
// (PHP, Express, Rails).
func alikeParameter(key, name string) bool {
	key, name = withoutSpaces(key), withoutSpaces(name)
	if i := strings.IndexByte(key, '['); i >= 0 {
		key = key[:i]
	}
	if i := strings.IndexByte(name, '['); i >= 0 {
		name = name[:i]
	}
	if len(key) != len(name) {
		return false
	}
	for i := range len(key) {
		if foldParameter(key[i]) != foldParameter(name[i]) {
			return false
		}
	}
	return true
}

// withoutSpaces drops the spaces that s begins with.
func withoutSpaces(s string) string {
	for s != "" && s[0] == ' ' {
		s = s[1:]
	}
	return s
}

func foldParameter(c byte) byte {
	if c == ' ' || c == '.' {
		return '_'
	}
	return lower(c)
}

package decisionapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/enforce"
)

// reader takes valid JSON apart, token by token. Nothing is read of a member
// that is not known, so its depth is that of the format: four.
type reader struct{ dec *json.Decoder }

// object reads one object; members has a reader for each name it may have.
func (r *reader) object(path string, members map[string]func(path string) error) error {
	return r.pairs(path, func(name string) error {
		read, ok := members[name]
		if !ok {
			return keystile.Invalidf(join(path, name), "see the OpenAPI document for the members", "is not a member of a request")
		}
		return read(join(path, name))
	})
}

// pairs reads one object and refuses repeated names. The callback gets each
// name and must read its value.
func (r *reader) pairs(path string, each func(name string) error) error {
	if err := r.delim(path, '{', "an object"); err != nil {
		return err
	}
	seen := make(map[string]bool, 8)
	for r.dec.More() {
		token, err := r.dec.Token()
		if err != nil {
			return malformed(err)
		}
		name, ok := token.(string)
		if !ok {
			return malformed(nil)
		}
		if seen[name] {
			return keystile.Invalidf(join(path, name), "give it once", "is repeated")
		}
		seen[name] = true
		if err := each(name); err != nil {
			return err
		}
	}
	return r.end()
}

// array reads one array of at most limit elements.
func (r *reader) array(path string, limit int, each func(path string) error) error {
	if err := r.delim(path, '[', "an array"); err != nil {
		return err
	}
	for n := 0; r.dec.More(); n++ {
		if n == limit {
			return keystile.Invalidf(path, "send at most "+strconv.Itoa(limit), "has too many elements")
		}
		if err := each(path + "[" + strconv.Itoa(n) + "]"); err != nil {
			return err
		}
	}
	return r.end()
}

// text reads a string. A lone surrogate in it ("\ud800") has no UTF-8 form and
// would be read as U+FFFD, another text than was sent; it is refused, and with
// it U+FFFD itself, which no request needs.
func (r *reader) text(path string, into *string) error {
	token, err := r.dec.Token()
	if err != nil {
		return malformed(err)
	}
	s, ok := token.(string)
	if !ok {
		return keystile.Invalidf(path, "use a string", "is not a string")
	}
	if strings.ContainsRune(s, utf8.RuneError) {
		return keystile.Invalidf(path, "send the text unchanged", "has characters that cannot be read")
	}
	*into = s
	return nil
}

// maxHeaders bounds the header fields of one request.
const maxHeaders = 256

// headers reads {"name": ["value", ...]} into canonical names. Two spellings of
// one name are refused: their order on the caller's wire is lost.
func (r *reader) headers(path string, into keystile.Header) error {
	return r.pairs(path, func(name string) error {
		at := join(path, name)
		if !enforce.ValidFieldName(name) {
			return keystile.Invalidf(at, "use the name of a header field (RFC 9110, section 5.1)", "is not a header name")
		}
		canonical := http.CanonicalHeaderKey(name)
		if _, twice := into[canonical]; twice {
			return keystile.Invalidf(at, "list all values under one spelling", "is repeated")
		}
		values := []string{}
		err := r.array(at, maxHeaders, func(at string) error {
			var v string
			if err := r.text(at, &v); err != nil {
				return err
			}
			if !enforce.ValidFieldValue(v) {
				return keystile.Invalidf(at, "remove control characters", "is not a header value")
			}
			values = append(values, v)
			return nil
		})
		into[canonical] = values
		if err == nil && len(into) > maxHeaders {
			err = keystile.Invalidf(path, "send at most "+strconv.Itoa(maxHeaders), "has too many fields")
		}
		return err
	})
}

func (r *reader) delim(path string, want json.Delim, noun string) error {
	token, err := r.dec.Token()
	if err != nil {
		return malformed(err)
	}
	if token != want {
		return keystile.Invalidf(path, "use "+noun, "is not %s", noun)
	}
	return nil
}

func (r *reader) end() error {
	if _, err := r.dec.Token(); err != nil {
		return malformed(err)
	}
	return nil
}

func malformed(err error) error {
	if err == nil {
		return fmt.Errorf("%w: the body is not JSON", keystile.ErrMalformed)
	}
	return fmt.Errorf("%w: %w", keystile.ErrMalformed, err)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/danielgtaylor/huma/v2"

	keystile "keystile.dev/keystile"
)

// maxDepth bounds how deep a JSON body may nest; none of ours is deeper than 3.
const maxDepth = 16

// strictJSON is the only format of the API. It reads what has one meaning for
// every reader: no member twice, no member whose name differs from the
// documented one in case alone, nothing after the value. It writes HTML's own
// characters escaped, so that an answer opened as a page shows text.
var strictJSON = huma.Format{
	Marshal: func(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) },
	Unmarshal: func(data []byte, v any) error {
		if err := checkJSON(data); err != nil {
			return err
		}
		if err := json.Unmarshal(data, v); err != nil {
			return tellJSON(err)
		}
		return nil
	},
}

// malformed is a fault of the body as a whole; its text quotes nothing of it.
func malformed(format string, args ...any) error {
	return keystile.Invalidf("", "", format, args...)
}

// tellJSON is a JSON error without the piece of the body that the standard
// library's text quotes.
func tellJSON(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return malformed("member %s has the wrong type", plainName(kind.Field))
	}
	var invalid *keystile.Invalid
	if errors.As(err, &invalid) {
		return invalid
	}
	return malformed("not the JSON that the schema describes")
}

// checkJSON says whether data is one JSON value whose members are each named
// once, in lower case. It quotes nothing of data.
func checkJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := checkValue(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return malformed("something follows the JSON value")
	}
	return nil
}

func checkValue(dec *json.Decoder, depth int) error {
	if depth > maxDepth {
		return malformed("the JSON is nested deeper than %d", maxDepth)
	}
	token, err := nextToken(dec)
	if err != nil {
		return err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	var names map[string]bool
	if delim == '{' {
		names = map[string]bool{}
	}
	for dec.More() {
		if names != nil {
			if err := checkMember(dec, names); err != nil {
				return err
			}
		}
		if err := checkValue(dec, depth+1); err != nil {
			return err
		}
	}
	_, err = nextToken(dec)
	return err
}

// checkMember reads a member's name.
func checkMember(dec *json.Decoder, seen map[string]bool) error {
	token, err := nextToken(dec)
	if err != nil {
		return err
	}
	name, ok := token.(string)
	if !ok {
		return malformed("a member has no name")
	}
	if name != plainName(name) {
		return malformed("a member is named in a way that no schema of this API does")
	}
	if seen[name] {
		return malformed("member %s is written twice", name)
	}
	seen[name] = true
	return nil
}

func nextToken(dec *json.Decoder) (json.Token, error) {
	offset := dec.InputOffset()
	token, err := dec.Token()
	if err != nil {
		return nil, malformed("not valid JSON after byte %d", offset)
	}
	return token, nil
}

// plainName is a member's name if it looks like one of ours, else "": a name
// that a caller made up is a value too, and values are never echoed.
func plainName(name string) string {
	if len(name) > 40 {
		return ""
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '.' {
			return ""
		}
	}
	return name
}

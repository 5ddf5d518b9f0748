package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime"
	"strings"
	"unicode/utf8"

	keystile "keystile.dev/keystile"
)

const (
	// MaxBody is the largest body that is read to find a resource, in bytes.
	MaxBody = 64 << 10
	// maxJSONDepth is how deep arrays and objects may nest in it.
	maxJSONDepth = 64
	// maxSafeDigits: integers of more digits are read differently by parsers
	// that hold numbers as IEEE 754 doubles (RFC 8259, section 6).
	maxSafeDigits = 15
)

// jsonBody returns the request's body, or why it cannot be read as JSON.
//
// A body in another encoding or of another media type is refused: the upstream
// might decode it into something that was never looked at. A body without a
// Content-Type is taken for JSON.
func jsonBody(r *keystile.Request) ([]byte, *keystile.Rejection) {
	if r.Body == nil {
		return nil, keystile.Reject(keystile.ReasonRequestInvalid,
			"the route reads the request's body, which this enforcement point does not see")
	}
	if values := r.Header["Content-Encoding"]; len(values) > 0 {
		return nil, invalidRequest("Content-Encoding is not accepted here")
	}
	if values := r.Header["Content-Type"]; len(values) > 1 || len(values) == 1 && !isJSONType(values[0]) {
		return nil, invalidRequest("Content-Type must be application/json")
	}
	body, err := r.Body(MaxBody)
	switch {
	case errors.Is(err, keystile.ErrBodyTooLarge), err == nil && len(body) > MaxBody:
		rejection := keystile.Reject(keystile.ReasonBodyTooLarge, "the body is larger than 64 KiB")
		rejection.Public = rejection.Cause
		return nil, rejection
	case err != nil:
		return nil, keystile.Reject(keystile.ReasonRequestInvalid, "read the body: "+err.Error())
	}
	return body, nil
}

// isJSONType takes application/json and application/anything+json (RFC 6839,
// section 3.1), in UTF-8, the only encoding JSON has (RFC 8259, section 8.1).
func isJSONType(value string) bool {
	mediaType, params, err := mime.ParseMediaType(value)
	if err != nil {
		return false
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	return mediaType == "application/json" ||
		strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json")
}

// What may be wrong with a JSON body; the name stands before it.
const (
	jsonInvalid  = "cannot be read: the body is not a JSON object"
	jsonRepeated = "cannot be read: the body has a member more than once"
	jsonTooDeep  = "cannot be read: the body nests too deep"
	jsonType     = "must be a string or a whole number"
)

// jsonValue returns the text at the path of members in a JSON object.
//
// Names are compared exactly. An object that has a name twice is refused
// wherever it stands in the body, because parsers keep the first, the last or
// either (RFC 8259, section 4); so is an object on the way to the value with a
// second name that differs in case only, which encoding/json takes for the same.
func jsonValue(body []byte, members []string) (value, problem string) {
	if !utf8.Valid(body) || !json.Valid(body) {
		return "", jsonInvalid
	}
	s := jsonSearch{members: members}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err != nil { // io.EOF: the text was valid as a whole
			break
		}
		if problem := s.take(token); problem != "" {
			return "", problem
		}
	}
	if !s.found {
		return "", idMissing
	}
	return scalarText(s.value)
}

// jsonLevel is an object or array that the search is in.
type jsonLevel struct {
	// names of the object's members so far; nil for an array.
	names map[string]bool
	// inName says that the next token is a name.
	inName bool
	// onWay says that this object leads to the value; then wanted is the member
	// that leads on, and alike counts the names that may be taken for it.
	onWay  bool
	wanted string
	alike  int
	// next says that the value that comes next is wanted's.
	next bool
}

// jsonSearch walks the tokens of a valid JSON text.
type jsonSearch struct {
	members []string
	levels  []jsonLevel
	found   bool
	value   json.Token
}

// take looks at one token and says what is wrong with it.
func (s *jsonSearch) take(token json.Token) (problem string) {
	if len(s.levels) == 0 {
		if token != json.Delim('{') {
			return jsonInvalid
		}
		return s.open(true, true)
	}
	top := &s.levels[len(s.levels)-1]
	if name, ok := token.(string); ok && top.inName {
		return top.name(name)
	}
	switch token {
	case json.Delim('{'), json.Delim('['):
		return s.open(token == json.Delim('{'), top.next)
	case json.Delim('}'), json.Delim(']'):
		s.levels = s.levels[:len(s.levels)-1]
		s.endValue()
		return ""
	}
	if top.next {
		if len(s.levels) < len(s.members) {
			return jsonType
		}
		s.found, s.value = true, token
	}
	s.endValue()
	return ""
}

// open enters an object or array; onWay says that it leads to the value.
func (s *jsonSearch) open(object, onWay bool) (problem string) {
	depth := len(s.levels)
	switch {
	case depth == maxJSONDepth:
		return jsonTooDeep
	case onWay && (!object || depth == len(s.members)):
		return jsonType
	}
	level := jsonLevel{inName: object, onWay: onWay}
	if object {
		level.names = map[string]bool{}
	}
	if onWay {
		level.wanted = s.members[depth]
	}
	s.levels = append(s.levels, level)
	return ""
}

// endValue notes that a value of the current level is complete.
func (s *jsonSearch) endValue() {
	if len(s.levels) == 0 {
		return
	}
	top := &s.levels[len(s.levels)-1]
	top.next, top.inName = false, top.names != nil
}

// name takes a member's name.
func (l *jsonLevel) name(name string) (problem string) {
	if l.names[name] {
		return jsonRepeated
	}
	l.names[name] = true
	l.inName = false
	if l.onWay && strings.EqualFold(name, l.wanted) {
		if l.alike++; l.alike > 1 {
			return jsonRepeated
		}
		l.next = name == l.wanted
	}
	return ""
}

// scalarText is a string as it is, or a whole number as written.
func scalarText(token json.Token) (value, problem string) {
	switch v := token.(type) {
	case string:
		return v, ""
	case json.Number:
		if digits := strings.TrimPrefix(v.String(), "-"); len(digits) <= maxSafeDigits && wholeNumber(digits) &&
			v != "-0" {
			return v.String(), ""
		}
	}
	return "", jsonType
}

func wholeNumber(digits string) bool {
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return digits != ""
}

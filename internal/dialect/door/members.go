package door

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
)

// MaxBody bounds what a door reads of a request, in bytes (rulings R26).
const MaxBody = 64 << 10

// bodyTime bounds how long a body may take: whoever sends one byte a minute
// holds no connection.
const bodyTime = 10 * time.Second

// ReadBody reads the whole body of a request. A longer one is
// keystile.ErrBodyTooLarge; nothing beyond the limit is read.
func ReadBody(w http.ResponseWriter, r *http.Request) (body []byte, err error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	connection := http.NewResponseController(w)
	switch unset := connection.SetReadDeadline(time.Now().Add(bodyTime)); {
	case unset == nil:
		defer func() { err = errors.Join(err, connection.SetReadDeadline(time.Time{})) }()
	case !errors.Is(unset, http.ErrNotSupported):
		return nil, fmt.Errorf("bound the time of the body: %w", unset)
	}
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, fmt.Errorf("read the body: %w", keystile.ErrBodyTooLarge)
	}
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	return body, nil
}

// Members reads one JSON object and returns those of the wanted members that
// are there and are not null. Others are ignored. ok is false for anything that
// two readers could take for different objects: see credential.Object.
func Members(data []byte, wanted ...string) (members map[string]credential.Value, ok bool) {
	if !json.Valid(data) { // also within members that are ignored: bad escapes and the like
		return nil, false
	}
	members = make(map[string]credential.Value, len(wanted))
	object := credential.NewObject(data)
	for name, value, more := object.Next(); more; name, value, more = object.Next() {
		for _, w := range wanted {
			if string(name) == w && string(value) != "null" {
				members[w] = value
			}
		}
	}
	if !object.Good() {
		return nil, false
	}
	return members, true
}

// Texts is Members where each wanted member, if it is there, must be a string.
func Texts(data []byte, wanted ...string) (texts map[string]string, ok bool) {
	members, ok := Members(data, wanted...)
	if !ok {
		return nil, false
	}
	texts = make(map[string]string, len(members))
	for name, value := range members {
		text, ok := value.Text()
		if !ok {
			return nil, false
		}
		texts[name] = string(text)
	}
	return texts, true
}

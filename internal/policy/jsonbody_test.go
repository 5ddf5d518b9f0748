package policy

import (
	"bytes"
	"encoding/json"
)

// plainJSONHas says whether encoding/json finds the same text at a path.
func plainJSONHas(body []byte, members []string, want string) bool {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return false
	}
	for _, m := range members {
		object, ok := value.(map[string]any)
		if !ok {
			return false
		}
		value = object[m]
	}
	switch v := value.(type) {
	case string:
		return v == want
	case json.Number:
		return v.String() == want
	}
	return false
}

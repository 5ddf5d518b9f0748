package ona

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential"
	"keystile.dev/keystile/internal/dialect/door"
)

// InvokePath is where AWS Lambda functions are invoked (Lambda API 2015-03-31,
// Invoke): the platform's Python SDK reaches its auth service in no other way.
//
//	POST /2015-03-31/functions/ona-user-auth-prod/invocations
//	{"httpMethod":"POST","path":"/api/auth/login","body":"{\"username\":…}"}
//
//	200 {"statusCode":200,"headers":{…},"body":"{\"token\":…}"}
const InvokePath = "/2015-03-31/functions/"

const (
	// functionPrefix begins the names of the auth service's functions: one for each
	// stage, which the SDK tells from its endpoint's text.
	functionPrefix   = "ona-user-auth"
	invocations      = "/invocations"
	maxFunctionName  = 140
	invokeOnly       = "RequestResponse"
	headerInvocation = "X-Amz-Invocation-Type"
)

// Lambda is the Lambda transport: everything below InvokePath.
func (s *Server) Lambda() http.Handler { return http.HandlerFunc(s.invoke) }

// invoke takes Invoke of the Lambda API. The request's own Authorization is an AWS
// signature, which is not looked at: the event carries the credentials
// (rulings R26).
func (s *Server) invoke(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, InvokePath), invocations)
	switch types := r.Header.Values(headerInvocation); {
	case !ok || !isFunction(name):
		s.refuseInvoke(w, r, awsError{http.StatusNotFound, "ResourceNotFoundException", "Function not found"})
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		s.refuseInvoke(w, r, awsError{http.StatusMethodNotAllowed, "MethodNotAllowedException", "Invoke is a POST"})
	case len(types) > 1 || len(types) == 1 && types[0] != invokeOnly:
		s.refuseInvoke(w, r, awsError{http.StatusBadRequest, "InvalidParameterValueException", "Only the invocation type RequestResponse is supported"})
	default:
		s.serveEvent(w, r)
	}
}

// serveEvent answers an event, whatever is in it, with 200 and an envelope. Its body
// is a string: on an object the SDK would send the same request four times
// (protocols 1.9, point 2).
func (s *Server) serveEvent(w http.ResponseWriter, r *http.Request) {
	c := &call{}
	a := s.readEvent(w, r, c)
	headers := map[string]string{"Content-Type": "application/json"}
	if a.allow != "" {
		headers["Allow"] = a.allow
	}
	if a.retryAfter != "" {
		headers["Retry-After"] = a.retryAfter
	}
	body, err := json.Marshal(struct {
		StatusCode int               `json:"statusCode"`
		Headers    map[string]string `json:"headers"`
		Body       string            `json:"body"`
	}{a.status, headers, string(a.body)})
	if err != nil { // cannot happen to numbers and text
		body = []byte(`{"statusCode":503,"headers":{},"body":"{}"}`)
	}
	w.Header().Set("X-Amzn-Requestid", c.caller.RequestID)
	w.Header().Set("X-Amz-Executed-Version", "$LATEST")
	door.Write(w, c.caller.RequestID, http.StatusOK, "application/json", body)
}

// readEvent answers the call that the event describes.
func (s *Server) readEvent(w http.ResponseWriter, r *http.Request, c *call) answer {
	var refused *answer
	if c.caller, refused = s.caller(r); refused != nil {
		return *refused
	}
	body, err := door.ReadBody(w, r)
	if errors.Is(err, keystile.ErrBodyTooLarge) {
		return tooLarge
	}
	if err != nil || !parseEvent(body, c) {
		return invalidRequest
	}
	return s.answer(r.Context(), c)
}

// parseEvent reads an event in the shape of an API gateway's into a call.
// Members that it does not know are ignored.
func parseEvent(data []byte, c *call) bool {
	event, ok := door.Members(data, "httpMethod", "path", "headers", "body", "isBase64Encoded")
	if !ok {
		return false
	}
	texts := map[string]string{}
	for _, name := range []string{"httpMethod", "path", "body"} {
		if value, there := event[name]; there {
			text, ok := value.Text()
			if !ok {
				return false
			}
			texts[name] = string(text)
		}
	}
	c.method, c.path, c.body = texts["httpMethod"], texts["path"], []byte(texts["body"])
	return c.method != "" && c.path != "" && decodeBody(event["isBase64Encoded"], c) && parseEventHeader(event["headers"], c)
}

// decodeBody decodes the body of an event that says it is base64 (RFC 4648, section 4).
func decodeBody(encoded credential.Value, c *call) bool {
	switch string(encoded) {
	case "", "false":
		return true
	case "true":
		decoded, err := base64.StdEncoding.Strict().DecodeString(string(c.body))
		c.body = decoded
		return err == nil
	}
	return false
}

// parseEventHeader reads the header fields that count: their names in any case,
// as HTTP has them, so that two spellings are two fields.
func parseEventHeader(headers credential.Value, c *call) bool {
	c.header = keystile.Header{}
	if headers == nil {
		return true
	}
	object := credential.NewObject(headers)
	for name, value, more := object.Next(); more; name, value, more = object.Next() {
		if !strings.EqualFold(string(name), "Authorization") {
			continue
		}
		text, ok := value.Text()
		if !ok {
			return false
		}
		c.header["Authorization"] = append(c.header["Authorization"], string(text))
	}
	return object.Good()
}

// isFunction says whether a function of that name is the auth service. A
// qualifier (":prod") may follow the name.
func isFunction(name string) bool {
	if !strings.HasPrefix(name, functionPrefix) || len(name) > maxFunctionName {
		return false
	}
	for i := range len(name) {
		switch c := name[i] | 0x20; {
		case c >= 'a' && c <= 'z', name[i] >= '0' && name[i] <= '9', name[i] == '-', name[i] == '_', name[i] == ':', name[i] == '$':
		default:
			return false
		}
	}
	return true
}

// awsError is a refusal of the invocation itself, in the words of the Lambda API.
type awsError struct {
	status        int
	code, message string
}

func (s *Server) refuseInvoke(w http.ResponseWriter, r *http.Request, e awsError) {
	id := s.o.Edge.RequestID(r)
	w.Header().Set("X-Amzn-Requestid", id)
	w.Header().Set("X-Amzn-Errortype", e.code)
	door.Write(w, id, e.status, "application/json", []byte(`{"Type":"User","Message":"`+e.message+`"}`))
}

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
	"keystile.dev/keystile/internal/problem"
)

// Leaks takes reports of keys that were found in the open and works through them
// in its own time. It is safe for concurrent use.
type Leaks interface {
	// Take queues reports from an address (the zero Addr if it cannot be told)
	// and returns how many: fewer than given if too many wait. It does not block.
	Take(reports []manage.LeakReport, from netip.Addr, requestID string) int
}

// MaxLeaks is how many keys of one report are looked at (rulings R33).
const MaxLeaks = 100

// LeakedKey is one finding as secret scanners report it
// (https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partner-program).
// Members that are not here are ignored.
type LeakedKey struct {
	_      struct{} `json:"-" additionalProperties:"true"`
	Token  string   `json:"token" writeOnly:"true" doc:"The key"`
	Type   string   `json:"type,omitempty" doc:"What the scanner takes it for; ignored"`
	URL    string   `json:"url,omitempty" doc:"Where it was found"`
	Source string   `json:"source,omitempty" example:"commit"`
}

// LeakedKeys is a report by hand.
type LeakedKeys struct {
	_    struct{} `json:"-" additionalProperties:"true"`
	Key  string   `json:"key,omitempty" writeOnly:"true" doc:"The key"`
	Keys []string `json:"keys,omitempty" writeOnly:"true" doc:"Several keys"`
}

// LeakTaken is the answer to a report. It is the same whether a key is known or not.
type LeakTaken struct {
	Accepted int `json:"accepted" doc:"How many keys will be looked at: the first 100 of the report, and fewer while too many wait"`
}

type leakInput struct {
	RawBody []byte
}

type leakOutput struct {
	RetryAfter string `header:"Retry-After"`
	Body       LeakTaken
}

// retryLeaks is when a report that found no room may come again, in seconds.
const retryLeaks = "60"

func registerLeaks(a *API) error {
	return handle(a, "report-leaked-keys", func(ctx context.Context, _ *caller, in *leakInput) (*leakOutput, error) {
		reports, err := parseLeaks(in.RawBody)
		if err != nil {
			return nil, err
		}
		if a.options.Leaks == nil {
			return nil, problem.ForStatus(http.StatusServiceUnavailable)
		}
		reports = reports[:min(len(reports), MaxLeaks)]
		from, ok := ctx.Value(keyClientAddr).(netip.Addr)
		if !ok {
			from = netip.Addr{}
		}
		out := &leakOutput{Body: LeakTaken{a.options.Leaks.Take(reports, from, requestID(ctx))}}
		if out.Body.Accepted < len(reports) {
			out.RetryAfter = retryLeaks
		}
		return out, nil
	}, func(op *huma.Operation) {
		registry := a.huma.OpenAPI().Components.Schemas
		op.Description = "Open to everybody. What is done about a key is up to its organization; the answer does not tell whether it is known."
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{
			OneOf: []*huma.Schema{
				registry.Schema(reflect.TypeFor[LeakedKeys](), true, ""),
				{Type: huma.TypeArray, Items: registry.Schema(reflect.TypeFor[LeakedKey](), true, "")},
			},
		}}}}
		op.SkipValidateBody = true // parseLeaks reads it, whatever its media type says
		op.Errors = []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable}
	})
}

// withClientAddr remembers whom a request came from, if that can be told.
func (a *API) withClientAddr(r *http.Request) *http.Request {
	addr, err := a.options.ClientAddr(r)
	if err != nil {
		addr = netip.Addr{}
	}
	return r.WithContext(context.WithValue(r.Context(), keyClientAddr, addr))
}

// parseLeaks reads a report: an object with key or keys, or a scanner's list. Its
// error quotes nothing of it.
func parseLeaks(body []byte) ([]manage.LeakReport, error) {
	body = bytes.TrimSpace(body)
	if len(body) > MaxBody {
		return nil, problem.ForStatus(http.StatusRequestEntityTooLarge)
	}
	if len(body) > 0 && body[0] == '[' {
		var list []finding
		if json.Unmarshal(body, &list) != nil || slices.ContainsFunc(list, func(f finding) bool { return f.Token == nil }) {
			return nil, unreadableReport()
		}
		return scanned(list), nil
	}
	return byHand(body)
}

// byHand reads a LeakedKeys.
func byHand(body []byte) ([]manage.LeakReport, error) {
	var one struct {
		Key  given           `json:"key"`
		Keys json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(body, &one) != nil || one.Key == "" && one.Keys == nil {
		return nil, unreadableReport()
	}
	keys := []given{}
	if one.Keys != nil && (one.Keys[0] != '[' || json.Unmarshal(one.Keys, &keys) != nil) {
		return nil, unreadableReport()
	}
	list := []finding{{Token: &one.Key}}
	for i := range keys {
		list = append(list, finding{Token: &keys[i]})
	}
	return scanned(list), nil
}

func unreadableReport() error {
	return problem.New(http.StatusBadRequest, problem.CodeMalformed,
		`send {"key": "..."}, {"keys": ["..."]} or a list of {"token": "...", "type": "...", "url": "...", "source": "..."}`)
}

// finding is a LeakedKey whose token may be missing.
type finding struct {
	Token  *given `json:"token"`
	Type   given  `json:"type"`
	URL    given  `json:"url"`
	Source given  `json:"source"`
}

// given is a JSON string: null is none.
type given string

// UnmarshalJSON implements json.Unmarshaler.
func (g *given) UnmarshalJSON(text []byte) error {
	if text[0] != '"' {
		return errors.New("not a string")
	}
	return json.Unmarshal(text, (*string)(g))
}

// scanned are the findings that name a key.
func scanned(list []finding) (reports []manage.LeakReport) {
	for _, found := range list {
		if *found.Token != "" {
			reports = append(reports, manage.LeakReport{Secret: keystile.Secret(*found.Token), Source: string(found.Source), URL: string(found.URL)})
		}
	}
	return reports
}

// Package mcp is a small MCP server, to stand behind the gateway: tools about sites, over
// the Model Context Protocol's Streamable HTTP transport, without sessions and without
// streams.
//
//	POST /mcp   one JSON-RPC message: initialize, ping, tools/list, tools/call
//
// It knows nothing of credentials: the gateway asks for an access token, tells clients
// where to get one, and says in Keystile-Subject who is calling. It is for the demo and tests.
package mcp

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
)

// maxMessage bounds a message, in bytes.
const maxMessage = 1 << 20

// versions of the protocol that are spoken, the newest first.
var versions = []string{"2025-11-25", "2025-06-18", "2025-03-26"}

// Codes of errors (JSON-RPC 2.0, section 5.1).
const (
	badMessage = -32600
	noMethod   = -32601
	badParams  = -32602
)

// message is a request or a notification, which has no id.
type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  struct {
		ProtocolVersion string            `json:"protocolVersion"`
		Name            string            `json:"name"`
		Arguments       map[string]string `json:"arguments"`
	} `json:"params"`
}

type response struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   *failure        `json:"error,omitempty"`
}

type failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// tool describes what can be called.
type tool struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	InputSchema map[string]any `json:"inputSchema"`
}

var tools = []tool{
	{"list_sites", "Lists the sites that you follow things at.", map[string]any{"type": "object"}},
	{"count_trackables", "Counts what is followed at a site.", map[string]any{
		"type": "object", "properties": map[string]any{"site": map[string]string{"type": "string"}}, "required": []string{"site"},
	}},
	{"who_am_i", "Tells whose access is used.", map[string]any{"type": "object"}},
}

// trackables are the sites, each with how many things are followed there.
var trackables = map[string]int{"Central Station": 42, "Harbour Warehouse": 1250, "University Hospital": 318}

// Handler serves POST /mcp.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /mcp", serve)
	return mux
}

func serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
	var in message
	if err != nil || json.Unmarshal(body, &in) != nil || in.Version != "2.0" {
		send(w, http.StatusBadRequest, response{ID: json.RawMessage("null"), Error: &failure{badMessage, "not a JSON-RPC message"}})
		return
	}
	if len(in.ID) == 0 { // a notification: nothing is answered
		w.WriteHeader(http.StatusAccepted)
		return
	}
	out := response{ID: in.ID}
	if out.Result, out.Error = answer(&in, r.Header.Get("Keystile-Subject")); out.Error != nil {
		out.Result = nil
	}
	send(w, http.StatusOK, out)
}

// answer is the result of a request of a caller.
func answer(in *message, subject string) (any, *failure) {
	switch in.Method {
	case "initialize":
		version := in.Params.ProtocolVersion
		if !slices.Contains(versions, version) {
			version = versions[0]
		}
		return map[string]any{
			"protocolVersion": version, "capabilities": map[string]any{"tools": map[string]any{}}, "serverInfo": map[string]string{"name": "sites", "version": "1"},
		}, nil
	case "ping":
		return map[string]any{}, nil
	case "tools/list":
		return map[string]any{"tools": tools}, nil
	case "tools/call":
		return call(in.Params.Name, in.Params.Arguments, subject)
	}
	return nil, &failure{noMethod, "there is no method " + in.Method}
}

func call(name string, arguments map[string]string, subject string) (any, *failure) {
	text, wrong := "", false
	switch name {
	case "list_sites":
		for _, site := range []string{"Central Station", "Harbour Warehouse", "University Hospital"} {
			text += site + "\n"
		}
	case "count_trackables":
		n, ok := trackables[arguments["site"]]
		if text = fmt.Sprint(n); !ok {
			text, wrong = "There is no such site.", true
		}
	case "who_am_i":
		text = subject
	default:
		return nil, &failure{badParams, "there is no tool " + name}
	}
	return map[string]any{"content": []map[string]string{{"type": "text", "text": text}}, "isError": wrong}, nil
}

func send(w http.ResponseWriter, status int, out response) {
	out.Version = "2.0"
	body, err := json.Marshal(out)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body) //nolint:errcheck,gosec // the caller has gone; it is JSON
}

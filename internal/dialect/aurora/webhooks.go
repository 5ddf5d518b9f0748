package aurora

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/dialect/door"
	"keystile.dev/keystile/internal/problem"
)

// Webhook is a webhook on the platform's wire (protocols 2.4).
type Webhook struct {
	ID            string `json:"id"`
	Event         string `json:"event"`
	URLTemplate   string `json:"url_template"`
	Description   string `json:"description"`
	Enabled       bool   `json:"enabled"`
	HeaderAuthKey string `json:"header_auth_key"`
}

// WebhookChange is what a request says of a webhook; nil: nothing.
type WebhookChange struct {
	Event, URLTemplate, Description, HeaderAuthKey *string
	HeaderAuthValue                                *keystile.Secret
	Enabled                                        *bool
}

// WebhookKeeper keeps the webhooks of applications, those of the platform's form.
// An error that has a method Problem() *problem.Problem is answered with it, any
// other as package problem says. It is safe for concurrent use.
type WebhookKeeper interface {
	// Authenticate proves the application key and returns who acts, for the audit log.
	Authenticate(ctx context.Context, applicationID string, key keystile.Secret) (actor string, err error)
	Webhooks(ctx context.Context, applicationID string) ([]Webhook, error)
	Webhook(ctx context.Context, applicationID, id string) (Webhook, error)
	CreateWebhook(ctx context.Context, actor, applicationID string, c WebhookChange) (Webhook, error)
	UpdateWebhook(ctx context.Context, actor, applicationID, id string, c WebhookChange) (Webhook, error)
	DeleteWebhook(ctx context.Context, actor, applicationID, id string) error
}

// Webhooks answers /partner_applications/{application_id}/webhooks and
// /partner_applications/{application_id}/webhooks/{webhook_id} (protocols 2.4). The
// platform's pages name POST and GET on the first, GET and PUT on the second; DELETE
// is there because its customers' API has it. A PUT changes the members it names.
type Webhooks struct {
	Keeper WebhookKeeper
	Logger *slog.Logger
}

// Matches says whether a path is one of webhooks, whatever its ids are.
func (Webhooks) Matches(path string) bool {
	_, _, ok := webhookPath(path)
	return ok
}

// webhookPath reads the ids of a path; id is empty on the list. A path that is
// escaped is none: ids are UUIDs.
func webhookPath(path string) (application, id string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/partner_applications/")
	if !ok {
		return "", "", false
	}
	parts := strings.Split(rest, "/")
	switch {
	case len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] != "webhooks":
		return "", "", false
	case len(parts) == 2:
		return parts[0], "", true
	}
	return parts[0], parts[2], parts[2] != ""
}

// call is one request that was authenticated.
type call struct {
	w                      http.ResponseWriter
	r                      *http.Request
	actor, application, id string
}

// ServeHTTP implements http.Handler.
func (h Webhooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	application, id, ok := webhookPath(r.URL.EscapedPath())
	if !ok {
		problem.Write(w, problem.ForStatus(http.StatusNotFound))
		return
	}
	handle, allow := h.method(r.Method, id == "")
	if handle == nil {
		w.Header().Set("Allow", allow)
		problem.Write(w, problem.ForStatus(http.StatusMethodNotAllowed))
		return
	}
	key, ok := BearerOf(r.Header)
	if !ok {
		w.Header().Set("WWW-Authenticate", "Bearer")
		problem.Write(w, problem.New(http.StatusUnauthorized, "invalid_application_key", "Send the application key once, as Authorization: Bearer KEY."))
		return
	}
	actor, err := h.Keeper.Authenticate(r.Context(), application, key)
	if err == nil {
		err = handle(call{w, r, actor, application, id})
	}
	if err != nil {
		h.refuse(w, r, err)
	}
}

// method is what answers a method, and which there are.
func (h Webhooks) method(name string, list bool) (handle func(call) error, allow string) {
	if list {
		switch name {
		case http.MethodGet, http.MethodHead:
			return h.list, ""
		case http.MethodPost:
			return h.create, ""
		}
		return nil, "GET, POST"
	}
	switch name {
	case http.MethodGet, http.MethodHead:
		return h.get, ""
	case http.MethodPut:
		return h.update, ""
	case http.MethodDelete:
		return h.delete, ""
	}
	return nil, "GET, PUT, DELETE"
}

func (h Webhooks) list(c call) error {
	list, err := h.Keeper.Webhooks(c.r.Context(), c.application)
	if err != nil {
		return err
	}
	if list == nil {
		list = []Webhook{}
	}
	return h.write(c, http.StatusOK, map[string][]Webhook{"partner_application_webhooks": list})
}

func (h Webhooks) get(c call) error {
	found, err := h.Keeper.Webhook(c.r.Context(), c.application, c.id)
	if err != nil {
		return err
	}
	return h.write(c, http.StatusOK, map[string]Webhook{webhookRoot: found})
}

func (h Webhooks) create(c call) error {
	change, err := readChange(c)
	if err != nil {
		return err
	}
	made, err := h.Keeper.CreateWebhook(c.r.Context(), c.actor, c.application, change)
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", "/partner_applications/"+c.application+"/webhooks/"+made.ID)
	return h.write(c, http.StatusCreated, map[string]Webhook{webhookRoot: made})
}

func (h Webhooks) update(c call) error {
	change, err := readChange(c)
	if err != nil {
		return err
	}
	changed, err := h.Keeper.UpdateWebhook(c.r.Context(), c.actor, c.application, c.id, change)
	if err != nil {
		return err
	}
	return h.write(c, http.StatusOK, map[string]Webhook{webhookRoot: changed})
}

func (h Webhooks) delete(c call) error {
	if err := h.Keeper.DeleteWebhook(c.r.Context(), c.actor, c.application, c.id); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// webhookRoot is the member of a body that holds all others.
const webhookRoot = "partner_application_webhook"

func readChange(c call) (WebhookChange, error) {
	body, err := door.ReadBody(c.w, c.r)
	if err != nil {
		return WebhookChange{}, err
	}
	return parseChange(body)
}

// parseChange reads the body of a POST or PUT. Members that are not the platform's
// are passed over, as its clients may send what was read.
func parseChange(body []byte) (change WebhookChange, err error) {
	malformed := problem.New(http.StatusBadRequest, problem.CodeMalformed, "Send one JSON object with the member "+webhookRoot+".")
	outer, ok := door.Members(body, webhookRoot)
	if !ok || outer[webhookRoot] == nil {
		return change, malformed
	}
	members, ok := door.Members(outer[webhookRoot], "event", "url_template", "description", "enabled", "header_auth_key", "header_auth_value")
	if !ok {
		return change, malformed
	}
	var secret *string
	for name, into := range map[string]**string{
		"event": &change.Event, "url_template": &change.URLTemplate, "description": &change.Description,
		"header_auth_key": &change.HeaderAuthKey, "header_auth_value": &secret,
	} {
		value, there := members[name]
		if !there {
			continue
		}
		text, ok := value.Text()
		if !ok {
			return change, keystile.Invalidf(name, "send text", "is not text")
		}
		given := string(text)
		*into = &given
	}
	if secret != nil {
		value := keystile.Secret(*secret)
		change.HeaderAuthValue = &value
	}
	switch enabled, there := members["enabled"]; {
	case !there:
	case string(enabled) == "true", string(enabled) == "false":
		on := string(enabled) == "true"
		change.Enabled = &on
	default:
		return change, keystile.Invalidf("enabled", "send true or false", "is neither")
	}
	return change, nil
}

func (h Webhooks) write(c call, status int, answer any) error {
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	if _, err := c.w.Write(body); err != nil {
		h.Logger.DebugContext(c.r.Context(), "the answer about webhooks was not taken", "error", err)
	}
	return nil
}

// wireNames are what the platform calls members that have other names inside.
var wireNames = map[string]string{"header_name": "header_auth_key", "header_value": "header_auth_value"}

// refuse answers an error. What it was is for the log alone.
func (h Webhooks) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var known interface{ Problem() *problem.Problem }
	var p *problem.Problem
	if errors.As(err, &known) {
		p = known.Problem()
	} else {
		p = problem.From(err)
	}
	for i := range p.Errors {
		if name := wireNames[p.Errors[i].Field]; name != "" {
			p.Errors[i].Field = name
		}
	}
	if p.Status >= http.StatusInternalServerError {
		h.Logger.ErrorContext(r.Context(), "a request about webhooks failed", "error", err)
	} else {
		h.Logger.InfoContext(r.Context(), "a request about webhooks was refused", "cause", err.Error())
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
	problem.Write(w, p)
}

package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"keystile.dev/keystile/client"
)

func TestTheLocalTransportActsAsTheOperatorAndIsNoHandler(t *testing.T) {
	s, ctx := newServer(t), context.Background()
	s.organization("acme", "Roof", "key_a")
	c, err := client.New("http://local", "none", client.WithTransport(s.handler.Local("cli")))
	if err != nil {
		t.Fatal(err)
	}
	key, err := c.CreateKey(ctx, client.KeyCreate{Organization: "acme"})
	if err != nil || key.Secret == "" {
		t.Fatalf("key = %+v, %v", key, err)
	}
	for event, err := range c.AllEvents(ctx, client.ListOptions{Organization: "acme"}) {
		if err != nil {
			t.Fatal(err)
		}
		if event.Actor != "cli" {
			t.Errorf("actor = %q", event.Actor)
		}
	}
	_, err = c.Key(ctx, "self")
	var e *client.Error
	if !errors.As(err, &e) || e.Status != http.StatusNotFound {
		t.Errorf("a key's own operation: %v", err)
	}
}

func TestOnlyTheOperatorBesideTheStoreIsToldTheCauseOfAFailure(t *testing.T) {
	s := newServer(t)
	s.organization("acme", "Roof", "key_a")
	c, err := client.New("http://local", "none", client.WithTransport(s.handler.Local("cli")))
	if err != nil {
		t.Fatal(err)
	}
	cause := `organization "acme" still has`
	var e *client.Error
	if err := c.DeleteOrganization(context.Background(), "acme"); !errors.As(err, &e) || e.Status != http.StatusConflict || !strings.Contains(e.Detail, cause) {
		t.Errorf("the operator: %v", err)
	}
	if a := s.as(http.StatusConflict, "DELETE", "/v1/organizations/acme", ""); strings.Contains(a.body, cause) {
		t.Errorf("a token: %s", a.body)
	}
	if !strings.Contains(s.log.String(), "acme") {
		t.Error("the cause is not in the log")
	}
}

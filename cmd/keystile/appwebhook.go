package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/client"
)

func newApplicationWebhook(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhook",
		Short: "Tell a partner's server what happens to its application, and see what it was told",
		Example: `  keystile app webhook create APP --event app_status_changed --url 'https://hooks.example.com/<TENANT_ID>?session=<SESSION_TOKEN>' --header-name Authorization --header-value @token
  keystile app webhook create APP --event application_key_expiring --form signed_post --url https://hooks.example.com/keys
  keystile app webhook deliveries APP WEBHOOK --state failed`,
	}
	cmd.AddCommand(newWebhookList(a), newWebhookCreate(a), newWebhookShow(a), newWebhookUpdate(a), newWebhookDelete(a), newWebhookRotate(a),
		newWebhookDeliveries(a), newWebhookDelivery(a), newWebhookResend(a))
	return cmd
}

// webhookCommand completes a command whose arguments are ids: the application's
// first, then those that are named.
func webhookCommand(a *app, cmd *cobra.Command, ids []string, do func(ctx context.Context, m *management, f format, ids []string) error) *cobra.Command {
	var (
		t target
		f format
	)
	nouns := append([]string{"application"}, ids...)
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != len(nouns) {
			return usagef("needs %d arguments, the ids of: %v", len(nouns), nouns)
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withClient(cmd, &t, func(ctx context.Context, m *management) error {
			return notFound(do(ctx, m, f, args), nouns[len(nouns)-1], args[len(args)-1])
		})
	}
	t.add(cmd)
	addFormat(cmd, &f)
	return cmd
}

var (
	ofWebhook  = []string{"webhook"}
	ofDelivery = []string{"webhook", "delivery"}
)

func (a *app) printWebhook(f format, w client.Webhook) error {
	if f == formatJSON {
		return printJSON(a.stdout, w)
	}
	err := printFields(a.stdout, "id", w.ID, "event", w.Event, "form", w.Form, "url", w.URLTemplate, "description", w.Description,
		"enabled", strconv.FormatBool(w.Enabled), "header", w.HeaderName, "failures", strconv.Itoa(w.Failures), "paused until", timeText(w.PausedUntil))
	if err == nil && w.Secret != "" {
		_, err = fmt.Fprintf(a.stdout, "\nSigning secret, shown only now:\n%s\n", w.Secret)
	}
	return err
}

func newWebhookList(a *app) *cobra.Command {
	return webhookCommand(a, &cobra.Command{
		Use: "list APP", Short: "List the webhooks of an application", Example: "  keystile app webhook list 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c",
	}, nil, func(ctx context.Context, m *management, f format, ids []string) error {
		page, err := m.Webhooks(ctx, ids[0], client.ListOptions{})
		if err != nil {
			return err
		}
		if f == formatJSON {
			return printJSON(a.stdout, page.Items)
		}
		out := newTable(a.stdout, "ID", "EVENT", "FORM", "ENABLED", "FAILURES", "URL")
		for _, w := range page.Items {
			out.row(w.ID, w.Event, w.Form, strconv.FormatBool(w.Enabled), strconv.Itoa(w.Failures), w.URLTemplate)
		}
		return out.flush()
	})
}

func newWebhookCreate(a *app) *cobra.Command {
	var in client.WebhookCreate
	cmd := webhookCommand(a, &cobra.Command{
		Use:     "create APP --event EVENT --url TEMPLATE",
		Short:   "Add a webhook to an application; of the form signed_post its secret is printed once",
		Example: "  keystile app webhook create 5c8b1f6e-0d0a-4c36-9a3c-2f4f5e6a7b8c --event app_status_changed --form signed_post --url https://hooks.example.com/status -o json",
	}, nil, func(ctx context.Context, m *management, f format, ids []string) error {
		if in.Event == "" || in.URLTemplate == "" {
			return usagef("--event and --url are required")
		}
		var err error
		if in.HeaderValue, err = a.secretArgument(in.HeaderValue); err != nil {
			return err
		}
		made, err := m.CreateWebhook(ctx, ids[0], in)
		if err != nil {
			return err
		}
		return a.printWebhook(f, made)
	})
	flags := cmd.Flags()
	flags.StringVar(&in.Event, "event", "", "app_status_changed, application_key_expiring or application_key_expired (required)")
	flags.StringVar(&in.URLTemplate, "url", "", "https, with placeholders such as <TENANT_ID> in path and query (required)")
	flags.StringVar(&in.Form, "form", "", "get (the platform's) or signed_post (Standard Webhooks); default get")
	flags.StringVar(&in.ID, "id", "", "UUID; default drawn")
	flags.StringVar(&in.Description, "description", "", "what it is for")
	flags.StringVar(&in.HeaderName, "header-name", "", "a header that each delivery carries, such as Authorization; required of the form get")
	flags.StringVar(&in.HeaderValue, "header-value", "", "its value; @FILE reads a file, - standard input")
	return cmd
}

func newWebhookShow(a *app) *cobra.Command {
	return webhookCommand(a, &cobra.Command{
		Use: "show APP WEBHOOK", Short: "Show a webhook and how it fares", Example: "  keystile app webhook show APP WEBHOOK -o json",
	}, ofWebhook, func(ctx context.Context, m *management, f format, ids []string) error {
		w, err := m.Webhook(ctx, ids[0], ids[1])
		if err != nil {
			return err
		}
		return a.printWebhook(f, w)
	})
}

func newWebhookUpdate(a *app) *cobra.Command {
	var event, template, description, name, value string
	var enabled bool
	cmd := &cobra.Command{
		Use:     "update APP WEBHOOK",
		Short:   "Change, disable or enable a webhook; what waits for one that is disabled is dropped",
		Example: "  keystile app webhook update APP WEBHOOK --enabled=false",
	}
	webhookCommand(a, cmd, ofWebhook, func(ctx context.Context, m *management, f format, ids []string) error {
		var err error
		if value, err = a.secretArgument(value); err != nil {
			return err
		}
		var in client.WebhookUpdate
		for flag, one := range map[string]struct {
			from *string
			into **string
		}{
			"event": {&event, &in.Event}, "url": {&template, &in.URLTemplate}, "description": {&description, &in.Description},
			"header-name": {&name, &in.HeaderName}, "header-value": {&value, &in.HeaderValue},
		} {
			if cmd.Flags().Changed(flag) {
				*one.into = one.from
			}
		}
		if cmd.Flags().Changed("enabled") {
			in.Enabled = &enabled
		}
		w, err := m.UpdateWebhook(ctx, ids[0], ids[1], in)
		if err != nil {
			return err
		}
		return a.printWebhook(f, w)
	})
	flags := cmd.Flags()
	flags.StringVar(&event, "event", "", "another event")
	flags.StringVar(&template, "url", "", "another template")
	flags.StringVar(&description, "description", "", "what it is for")
	flags.StringVar(&name, "header-name", "", "another header")
	flags.StringVar(&value, "header-value", "", "its value; @FILE reads a file, - standard input")
	flags.BoolVar(&enabled, "enabled", true, "whether it is told anything")
	return cmd
}

func newWebhookDelete(a *app) *cobra.Command {
	var yes bool
	cmd := webhookCommand(a, &cobra.Command{
		Use: "delete APP WEBHOOK", Short: "Delete a webhook; what waits for it is told to nobody", Example: "  keystile app webhook delete APP WEBHOOK --yes",
	}, ofWebhook, func(ctx context.Context, m *management, f format, ids []string) error {
		if err := a.confirm(yes, "delete webhook "+ids[1]+"?"); err != nil {
			return err
		}
		if err := m.DeleteWebhook(ctx, ids[0], ids[1]); err != nil {
			return err
		}
		return a.done(f, "webhook "+ids[1]+" is deleted")
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func newWebhookRotate(a *app) *cobra.Command {
	var overlap time.Duration
	cmd := &cobra.Command{
		Use:     "rotate-secret APP WEBHOOK --overlap DURATION",
		Short:   "Give a webhook a new signing secret and print it once; for the overlap the old one signs, too",
		Example: "  keystile app webhook rotate-secret APP WEBHOOK --overlap 24h",
	}
	webhookCommand(a, cmd, ofWebhook, func(ctx context.Context, m *management, f format, ids []string) error {
		if !cmd.Flags().Changed("overlap") {
			return usagef("--overlap is required: how long the old secret still signs, 0s to end it at once")
		}
		w, err := m.RotateWebhookSecret(ctx, ids[0], ids[1], overlap)
		if err != nil {
			return err
		}
		return a.printWebhook(f, w)
	})
	cmd.Flags().DurationVar(&overlap, "overlap", 0, "how long the old secret still signs, such as 24h; 0s ends it at once (required)")
	return cmd
}

func newWebhookDeliveries(a *app) *cobra.Command {
	var state string
	cmd := webhookCommand(a, &cobra.Command{
		Use: "deliveries APP WEBHOOK", Short: "List what a webhook was told, newest first", Example: "  keystile app webhook deliveries APP WEBHOOK --state failed",
	}, ofWebhook, func(ctx context.Context, m *management, f format, ids []string) error {
		list := []client.Delivery{}
		for d, err := range m.AllDeliveries(ctx, ids[0], ids[1], state) {
			if err != nil {
				return err
			}
			list = append(list, d)
		}
		if f == formatJSON {
			return printJSON(a.stdout, list)
		}
		out := newTable(a.stdout, "ID", "CREATED", "EVENT", "ABOUT", "STATE", "ATTEMPTS", "LAST", "NEXT")
		for _, d := range list {
			last := d.LastError
			if last == "" && d.LastStatus != 0 {
				last = strconv.Itoa(d.LastStatus)
			}
			out.row(d.ID, timeText(&d.CreatedAt), d.Event, d.Tenant+d.Key+" "+d.Status, d.State, strconv.Itoa(d.Attempts), last, timeText(d.NextAt))
		}
		return out.flush()
	})
	cmd.Flags().StringVar(&state, "state", "", "only those that are pending, delivered, failed or dropped")
	return cmd
}

func newWebhookDelivery(a *app) *cobra.Command {
	return webhookCommand(a, &cobra.Command{
		Use: "delivery APP WEBHOOK DELIVERY", Short: "Show a delivery with its attempts", Example: "  keystile app webhook delivery APP WEBHOOK DELIVERY -o json",
	}, ofDelivery, func(ctx context.Context, m *management, f format, ids []string) error {
		d, err := m.Delivery(ctx, ids[0], ids[1], ids[2])
		if err != nil {
			return err
		}
		if f == formatJSON {
			return printJSON(a.stdout, d)
		}
		if err := printDelivery(a, d); err != nil || len(d.Log) == 0 {
			return err
		}
		if _, err := fmt.Fprintln(a.stdout); err != nil {
			return err
		}
		out := newTable(a.stdout, "ATTEMPT", "AT", "MS", "STATUS", "ERROR")
		for _, at := range d.Log {
			out.row(strconv.Itoa(at.Number), timeText(&at.At), strconv.FormatInt(at.Millis, 10), strconv.Itoa(at.Status), at.Error)
		}
		return out.flush()
	})
}

func printDelivery(a *app, d client.Delivery) error {
	return printFields(a.stdout, "id", d.ID, "event", d.Event, "tenant", d.Tenant, "status", d.Status, "key", d.Key, "url", d.URLTemplate, "state", d.State,
		"attempts", strconv.Itoa(d.Attempts), "tries left", strconv.Itoa(d.TriesLeft), "next", timeText(d.NextAt), "last error", d.LastError)
}

func newWebhookResend(a *app) *cobra.Command {
	return webhookCommand(a, &cobra.Command{
		Use: "resend APP WEBHOOK DELIVERY", Short: "Send a delivery again, with the same id", Example: "  keystile app webhook resend APP WEBHOOK DELIVERY",
	}, ofDelivery, func(ctx context.Context, m *management, f format, ids []string) error {
		d, err := m.ResendDelivery(ctx, ids[0], ids[1], ids[2])
		if err != nil {
			return err
		}
		if f == formatJSON {
			return printJSON(a.stdout, d)
		}
		return printDelivery(a, d)
	})
}

package console

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/manage"
)

// moveQuestion asks before a step that stops something.
func (c *Console) moveQuestion(v *visit, m Member) (answer, error) {
	app, err := v.own(m)
	if err != nil {
		return answer{}, err
	}
	to := keystile.ReviewState(v.query("to"))
	if !slices.Contains(manage.PartnerMoves(app.Review), to) {
		return answer{}, keystile.ErrConflict
	}
	f := v.newForm(makersPath+"/"+app.ID+"/move", "Take it back").hide("to", string(to))
	f.Danger, f.Cancel = true, makersPath+"/"+app.ID
	q := question{Form: f, Text: "You can change it then, and submit it again."}
	title := "Take " + app.Name + " back to draft?"
	switch {
	case to == keystile.ReviewRetired:
		f.Submit, title = "Retire", "Retire "+app.Name+"?"
		q.Text = "It stops working in every tenant at once, and for good: a retired application cannot be brought back."
	case app.Review == keystile.ReviewApproved && app.Environment == keystile.Production:
		q.Text = "It stops working in every tenant at once, until it is approved again. " + q.Text
	}
	return show("confirm", title, q), nil
}

func (c *Console) move(v *visit, m Member) (answer, error) {
	app, err := v.own(m)
	if err != nil {
		return answer{}, err
	}
	to := keystile.ReviewState(v.form.Get("to"))
	if _, err := m.MoveApplication(v.context(), v.actor(), app.ID, to); err != nil {
		return answer{}, err
	}
	notice := map[keystile.ReviewState]string{keystile.ReviewInReview: "application-submitted", keystile.ReviewDraft: "application-taken-back", keystile.ReviewRetired: "application-retired"}[to]
	return c.done(makersPath+"/"+app.ID, notice), nil
}

// overlaps are what can happen to the earlier keys when a new one is made.
var overlaps = []struct {
	value, label string
	overlap      time.Duration
}{
	{"24h", "They end in a day", 24 * time.Hour},
	{"168h", "They end in a week", 7 * 24 * time.Hour},
	{"720h", "They end in 30 days", 30 * 24 * time.Hour},
	{"0s", "They end now", 0},
}

// keep leaves the earlier keys as they are.
const keepKeys = "keep"

func (v *visit) newKeyPage(app *keystile.Application, earlier bool) (answer, *form) {
	f := v.newForm(makersPath+"/"+app.ID+"/keys/new", "Make the key")
	if earlier {
		choices := []choice{{Name: "overlap", Value: keepKeys, Label: "They stay", Meta: "Both are good until you revoke one.", Checked: true}}
		for _, o := range overlaps {
			choices = append(choices, choice{Name: "overlap", Value: o.value, Label: o.label})
		}
		f.Fields = append(f.Fields, &field{Name: "overlap", Label: "The keys it has now", Type: "radio", Choices: choices})
	}
	f.Cancel = makersPath + "/" + app.ID
	return show("newkey", "New key for "+app.Name, keyView{Form: f}), f
}

// keyView is the content of newkey.html.
type keyView struct {
	Form *form
	// Key is the new one, once it is made; empty: not yet.
	Key, ID string
	Path    string
}

// hasLiveKeys says whether an application has keys that a new one may end.
func (c *Console) hasLiveKeys(v *visit, m Member, app *keystile.Application) (bool, error) {
	keys, err := m.ApplicationKeys(v.context(), app.ID)
	now := c.options.Now()
	return slices.ContainsFunc(keys, func(k keystile.ApplicationKey) bool { return keyState(&k, now).Look != "bad" }), err
}

func (c *Console) newKeyForm(v *visit, m Member) (answer, error) {
	app, err := v.own(m)
	if err != nil {
		return answer{}, err
	}
	earlier, err := c.hasLiveKeys(v, m, &app)
	if err != nil {
		return answer{}, err
	}
	a, _ := v.newKeyPage(&app, earlier)
	return a, nil
}

// newKey answers a POST itself, so that the key is in no page that the back button shows again.
func (c *Console) newKey(v *visit, m Member) (answer, error) {
	app, err := v.own(m)
	if err != nil {
		return answer{}, err
	}
	var overlap *time.Duration
	if chosen := v.form.Get("overlap"); chosen != "" && chosen != keepKeys {
		for _, o := range overlaps {
			if o.value == chosen {
				overlap = &o.overlap
			}
		}
		if overlap == nil {
			return answer{}, errForm
		}
	}
	made, err := m.CreateApplicationKey(v.context(), v.actor(), app.ID, overlap)
	if err != nil {
		return answer{}, err
	}
	return show("newkey", "The new key of "+app.Name, keyView{Key: made.Secret.Reveal(), ID: app.ID, Path: makersPath + "/" + app.ID}), nil
}

// keyOf is a key of an application that is not over, by the id that was sent.
func (c *Console) keyOf(v *visit, m Member, app *keystile.Application, id string) (keystile.ApplicationKey, error) {
	keys, err := m.ApplicationKeys(v.context(), app.ID)
	if err != nil {
		return keystile.ApplicationKey{}, err
	}
	for _, k := range keys {
		if k.ID == id {
			return k, nil
		}
	}
	return keystile.ApplicationKey{}, errNoPage
}

func (c *Console) revokeKeyQuestion(v *visit, m Member) (answer, error) {
	app, err := v.own(m)
	if err != nil {
		return answer{}, err
	}
	k, err := c.keyOf(v, m, &app, v.query("key"))
	if err != nil {
		return answer{}, err
	}
	f := v.newForm(makersPath+"/"+app.ID+"/keys/revoke", "Revoke").hide("key", k.ID)
	f.Danger, f.Cancel = true, makersPath+"/"+app.ID
	return show("confirm", "Revoke this key?", question{
		Text:  "Exchanges with it are refused at once. Temporary keys that were made with it live on until they end.",
		Facts: []fact{{"Key", k.Hint + "…"}, {"Made", moment(k.CreatedAt)}, {"Last used", cmp.Or(moment(k.LastUsedAt), "Never")}}, Form: f,
	}), nil
}

func (c *Console) revokeKey(v *visit, m Member) (answer, error) {
	app, err := v.own(m)
	if err != nil {
		return answer{}, err
	}
	if err := m.RevokeApplicationKey(v.context(), v.actor(), app.ID, v.form.Get("key")); err != nil {
		return answer{}, err
	}
	return c.done(makersPath+"/"+app.ID, "key-revoked"), nil
}

func (v *visit) askForm(app *keystile.Application) *form {
	return v.newForm(makersPath+"/"+app.ID+"/requests", "Ask", &field{
		Name: "tenant", Label: "Ask a tenant to authorise it", Type: "text", Autocomplete: "off", MaxLength: 128, Hint: "The tenant's id, such as sunny-homes. Its administrators see the request.",
	})
}

func (c *Console) askTenant(v *visit, m Member) (answer, error) {
	app, err := v.own(m)
	if err != nil {
		return answer{}, err
	}
	f, tenant := v.askForm(&app), strings.TrimSpace(v.form.Get("tenant"))
	f.Fields[0].Value, f.Fields[0].Problem = tenant, "There is no such tenant in the application's environment."
	switch {
	case tenant == "":
		f.Fields[0].Problem = "Enter the id of a tenant."
	case keystile.ValidID(tenant):
		err = m.RequestAuthorization(v.context(), v.actor(), app.ID, tenant)
		if err == nil {
			return c.done(makersPath+"/"+app.ID, "tenant-asked"), nil
		}
		var invalid *keystile.Invalid
		if !errors.As(err, &invalid) && !errors.Is(err, keystile.ErrNotFound) {
			return answer{}, err
		}
	}
	a, err := c.madePage(v, m, &app, f)
	return a.refused(http.StatusUnprocessableEntity), err
}

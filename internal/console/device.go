package console

import (
	"errors"
	"net/http"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/oidc"
)

// deviceForm asks for the code that a device shows. A code in the URL is filled in and
// never sent by itself: whoever sent the link may want somebody else's device allowed
// (RFC 8628, section 5.4).
func (c *Console) deviceForm(v *visit) (answer, error) {
	return c.devicePage(v, v.query("user_code"), ""), nil
}

func (c *Console) devicePage(v *visit, code, problem string) answer {
	f := v.newForm(oidc.PathDevice, "Continue", &field{
		Name: "user_code", Label: "Code", Type: "text", Autocomplete: "off", Value: code, Hint: "The device in front of you shows it.", Focus: true, MaxLength: 20, Problem: problem,
	})
	return show("confirm", "Connect a device", question{Text: "A television, a printer or a program without a browser asks for access in your name.", Form: f})
}

// device shows what the device with the typed code asks for, or decides about it.
func (c *Console) device(v *visit) (answer, error) {
	code := v.form.Get("user_code")
	decision := v.form.Get("decision")
	if decision != "" && decision != "allow" && decision != "deny" {
		return answer{}, errForm
	}
	if decision == "" {
		asked, err := c.options.Authorizer.Device(v.context(), *v.person(), code)
		if errors.Is(err, oidc.ErrUserCode) {
			return c.devicePage(v, code, "No device that waits shows that code. Look at it once more.").refused(http.StatusUnprocessableEntity), nil
		}
		if err != nil {
			return answer{}, err
		}
		view := consentView{Consent: &asked, User: v.user.Username, Permissions: allowances(besideIdentity(asked.Scopes)), Form: v.newForm(oidc.PathDevice, "Allow").hide("user_code", code)}
		return show("consent", "Connect "+asked.Client+"?", view), nil
	}
	err := c.options.Authorizer.DecideDevice(v.context(), *v.person(), code, decision == "allow")
	switch {
	case errors.Is(err, oidc.ErrUserCode):
		return c.devicePage(v, "", "It took too long, or was decided before. Start again at the device.").refused(http.StatusUnprocessableEntity), nil
	case err != nil:
		return answer{}, err
	case decision == "allow":
		return c.done(home+"/access", "device-allowed"), nil
	}
	return c.done(home+"/access", "device-denied"), nil
}

// besideIdentity are the scopes that the page does not tell of by itself: who the user
// is, every client that has a token can read.
func besideIdentity(scopes []keystile.Scope) []keystile.Scope {
	var list []keystile.Scope
	for _, s := range scopes {
		if scopeTexts[s] == "" {
			list = append(list, s)
		}
	}
	return list
}

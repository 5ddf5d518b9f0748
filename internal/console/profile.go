package console

// profileView is the content of profile.html.
type profileView struct {
	Facts []fact
	// Key is the personal API key, once it is asked for; empty: not shown.
	Key string
	// New is whether the key was made just now.
	New  bool
	Show *form
}

func (c *Console) profilePage(v *visit, view profileView) answer {
	view.Facts = []fact{{"Name", v.user.Name}, {"Username", v.user.Username}, {"E-mail", v.user.Email}, {"Organisation", v.user.OrganizationID}, {"Last sign-in", moment(v.session.AuthenticatedAt)}}
	view.Show = v.newForm(home+"/key", "Show key")
	return show("profile", "Profile", view)
}

func (c *Console) profile(v *visit) (answer, error) {
	return c.profilePage(v, profileView{}), nil
}

// showKey answers a POST itself, so that the key is in no page that a reload or
// the back button shows again.
func (c *Console) showKey(v *visit) (answer, error) {
	key, err := c.people.AuthToken(v.context(), v.caller, v.session.ID)
	if err != nil {
		return answer{}, err
	}
	return c.profilePage(v, profileView{Key: key.Reveal()}), nil
}

func (c *Console) resetKeyQuestion(v *visit) (answer, error) {
	f := v.newForm(home+"/key/reset", "Make a new key")
	f.Danger, f.Cancel = true, home
	return show("confirm", "Make a new API key?", question{
		Text: "The key you have now stops working at once, and so does every session it opened. Programs that use it need the new one.",
		Form: f,
	}), nil
}

func (c *Console) resetKey(v *visit) (answer, error) {
	key, err := c.people.ResetAuthToken(v.context(), v.caller, v.session.ID)
	if err != nil {
		return answer{}, err
	}
	return c.profilePage(v, profileView{Key: key.Reveal(), New: true}), nil
}

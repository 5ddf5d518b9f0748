package console

import (
	"errors"
	"slices"
	"strings"

	keystile "keystile.dev/keystile"
)

// sessionsView is the content of sessions.html.
type sessionsView struct {
	Sessions []sessionRow
	// Others is whether there is more than this one.
	Others bool
}

// sessionRow is one session as its owner knows it again.
type sessionRow struct {
	keystile.Session
	Device string
	Place  string
	// Here marks the session that asks.
	Here bool
	// End is the form that ends it.
	End *form
}

// doorNames are the ways in, in words.
var doorNames = map[keystile.Door]string{
	keystile.DoorWeb:      "Sign-in page",
	keystile.DoorOna:      "Ona API",
	keystile.DoorNAO:      "NAO API",
	keystile.DoorExchange: "Single sign-on",
}

func (c *Console) sessions(v *visit) (answer, error) {
	list, err := c.people.Sessions(v.context(), v.session.ID)
	if err != nil {
		return answer{}, err
	}
	var view sessionsView
	for _, s := range list {
		row := sessionRow{Session: s, Device: device(s.UserAgent), Place: doorNames[s.Door], Here: s.ID == v.session.ID}
		row.End = v.newForm(home+"/sessions/end", "End").hide("id", s.ID)
		view.Sessions = append(view.Sessions, row)
		view.Others = view.Others || !row.Here
	}
	slices.SortStableFunc(view.Sessions, func(a, b sessionRow) int {
		if a.Here != b.Here {
			if a.Here {
				return -1
			}
			return 1
		}
		return b.LastUsedAt.Compare(a.LastUsedAt)
	})
	return show("sessions", "Sessions", view), nil
}

func (c *Console) endSession(v *visit) (answer, error) {
	id := v.form.Get("id")
	if err := c.people.RevokeSession(v.context(), v.caller, v.session.ID, id); err != nil {
		return answer{}, err
	}
	return c.done(home+"/sessions", "session-ended"), nil
}

func (c *Console) endOthersQuestion(v *visit) (answer, error) {
	f := v.newForm(home+"/sessions/others", "End all others")
	f.Danger, f.Cancel = true, home+"/sessions"
	return show("confirm", "End all other sessions?", question{Text: "Every browser and program that is signed in as you, except this browser, has to sign in again.", Form: f}), nil
}

func (c *Console) endOthers(v *visit) (answer, error) {
	list, err := c.people.Sessions(v.context(), v.session.ID)
	if err != nil {
		return answer{}, err
	}
	for _, s := range list {
		if s.ID == v.session.ID {
			continue
		}
		if err := c.people.RevokeSession(v.context(), v.caller, v.session.ID, s.ID); err != nil && !errors.Is(err, keystile.ErrNotFound) {
			return answer{}, err
		}
	}
	return c.done(home+"/sessions", "sessions-ended"), nil
}

// programs and systems are looked for in this order: many browsers name others too.
var (
	programs = [][2]string{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chromium/", "Chromium"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}}
	systems  = [][2]string{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"}}
)

// device is a User-Agent in words: "Firefox on Linux". It helps people to know
// their own devices again; it proves nothing.
func device(agent string) string {
	first := func(list [][2]string) string {
		for _, x := range list {
			if strings.Contains(agent, x[0]) {
				return x[1]
			}
		}
		return ""
	}
	program, system := first(programs), first(systems)
	switch {
	case program != "" && system != "":
		return program + " on " + system
	case program != "":
		return program
	}
	name, _, _ := strings.Cut(agent, " ")
	if name == "" {
		return "Unknown program"
	}
	if len(name) > 60 {
		name = strings.ToValidUTF8(name[:60], "") + "…"
	}
	return name
}

package console

import (
	"errors"
	"strings"

	keystile "keystile.dev/keystile"
)

// form is a form of one page, as parts.html shows it.
type form struct {
	Action string
	Token  string
	Hidden []hidden
	Fields []*field
	Submit string
	// Danger marks what cannot be taken back.
	Danger bool
	// Cancel is where to go instead; empty: nowhere.
	Cancel string
	// Problem is what is wrong with the form as a whole; empty: nothing.
	Problem string
}

// hidden is a value that goes with a form.
type hidden struct{ Name, Value string }

// field is one input and what is said about it.
type field struct {
	Name  string
	Label string
	// Type is the input's, or "lines" for a text of several lines; Autocomplete its
	// autofill token (HTML, section 4.10.18.7).
	Type         string
	Autocomplete string
	// Hint stands below the label.
	Hint  string
	Value string
	// Digits asks a phone for its number pad.
	Digits    bool
	MaxLength int
	// Optional fields may stay empty.
	Optional bool
	// Focus is where typing begins, if nothing is wrong.
	Focus bool
	// Choices are what a "radio" or "checkbox" field offers.
	Choices []choice
	// Problem is what is wrong with what was typed; empty: nothing.
	Problem string
}

// choice is one thing to tick. A form never sends a name twice, so each checkbox
// has a name of its own; radio buttons share one.
type choice struct {
	Name, Value string
	Label       string
	// Meta says more about it; empty: nothing.
	Meta    string
	Checked bool
}

// form begins a form with the token of the session.
func (v *visit) newForm(action, submit string, fields ...*field) *form {
	return &form{Action: action, Token: v.token, Submit: submit, Fields: fields}
}

func (f *form) hide(name, value string) *form {
	f.Hidden = append(f.Hidden, hidden{name, value})
	return f
}

// Problems are what the error summary lists: one link a field.
func (f *form) Problems() []*field {
	var wrong []*field
	for _, x := range f.Fields {
		if x.Problem != "" {
			wrong = append(wrong, x)
		}
	}
	return wrong
}

// Wrong says whether there is anything to mend.
func (f *form) Wrong() bool { return f.Problem != "" || len(f.Problems()) > 0 }

// blame puts each Invalid of an error at the field it is about, or at the last
// one, and says whether there was any.
func (f *form) blame(err error) bool {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		found := false
		for _, one := range several.Unwrap() {
			found = f.blame(one) || found
		}
		return found
	}
	var invalid *keystile.Invalid
	if !errors.As(err, &invalid) {
		return false
	}
	name, _, _ := strings.Cut(invalid.Field, "[")
	text := sentence(invalid.Problem)
	if invalid.Remedy != "" {
		text += " " + sentence(invalid.Remedy)
	}
	for _, x := range f.Fields {
		if x.Name == name {
			x.blame(text)
			return true
		}
	}
	if len(f.Fields) == 0 {
		f.Problem = text
		return true
	}
	f.Fields[len(f.Fields)-1].blame(text)
	return true
}

// blame keeps the first thing that is wrong with a field.
func (x *field) blame(text string) {
	if x.Problem == "" {
		x.Problem = text
	}
}

// sentence gives a text of an Invalid a capital and a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	b := []byte(text)
	if b[0] >= 'a' && b[0] <= 'z' {
		b[0] -= 'a' - 'A'
	}
	if last := b[len(b)-1]; last != '.' && last != '?' && last != '!' {
		b = append(b, '.')
	}
	return string(b)
}

// question is the content of confirm.html: what will happen, and the two ways on.
type question struct {
	// Text says what will happen; Facts are the lines of what it happens to.
	Text  string
	Facts []fact
	Form  *form
}

// fact is one line of a list.
type fact struct{ Label, Value string }

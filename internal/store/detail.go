package store

import (
	"net/netip"
	"reflect"
	"time"

	keystile "keystile.dev/keystile"
)

// member is one member of a thing as the audit log shows it. Times are RFC 3339
// text, lists are lists of text; digests and secrets are never members.
type member struct {
	name  string
	value any
}

// whole is the detail of a creation or deletion: every member that is set.
func whole(members []member) map[string]any {
	detail := make(map[string]any, len(members))
	for _, m := range members {
		if !reflect.ValueOf(m.value).IsZero() {
			detail[m.name] = m.value
		}
	}
	return detail
}

// fromTo is the change of one member.
type fromTo struct {
	From any `json:"from"`
	To   any `json:"to"`
}

// difference is the detail of an update: what differs. It is empty if nothing
// does, and then the update is not one. Both lists name the same members in the
// same order.
func difference(before, after []member) map[string]any {
	detail := map[string]any{}
	for i, m := range before {
		if !reflect.DeepEqual(m.value, after[i].value) {
			detail[m.name] = fromTo{From: m.value, To: after[i].value}
		}
	}
	return detail
}

// texts is a list as a member's value: nil and empty are the same.
func texts[T ~string](list []T) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}

func prefixTexts(list []netip.Prefix) []string { return splitList[string](joinPrefixes(list)) }

// instant is a time as a member's value; "" for none.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stored(t).Format(time.RFC3339Nano)
}

// rateText is a rate as a member's value, with its algorithm if that is not the default.
func rateText(r *keystile.Rate) string {
	text, algorithm := rateColumns(r)
	if algorithm != "" && algorithm != string(keystile.AlgorithmWindow) {
		text += " " + algorithm
	}
	return text
}

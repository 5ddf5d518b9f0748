package store

import (
	"database/sql"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	keystile "keystile.dev/keystile"
)

// micros is how a time stands in a column: microseconds since 1970 UTC.
func micros(t time.Time) int64 { return t.UnixMicro() }

// nullMicros keeps the zero time as NULL.
func nullMicros(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: !t.IsZero()}
}

func timeOf(us int64) time.Time { return time.UnixMicro(us).UTC() }

func nullTimeOf(us sql.NullInt64) time.Time {
	if !us.Valid {
		return time.Time{}
	}
	return timeOf(us.Int64)
}

// stored is t as it will come back: UTC, without what a microsecond cannot hold.
func stored(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return timeOf(micros(t))
}

// joinList writes a list as one text separated by single spaces, as OAuth
// writes scopes (RFC 6749, section 3.3). Elements are checked by checkList.
func joinList[T ~string](list []T) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return string(list[0])
	}
	var b strings.Builder
	for i, s := range list {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(s))
	}
	return b.String()
}

// splitList reads what joinList wrote; nil for none.
func splitList[T ~string](text string) []T {
	if text == "" {
		return nil
	}
	list := make([]T, 0, strings.Count(text, " ")+1)
	for part := range strings.SplitSeq(text, " ") {
		list = append(list, T(part))
	}
	return list
}

// checkList refuses elements that a space-separated list cannot hold.
func checkList[T ~string](field string, list []T) error {
	for i, s := range list {
		if s == "" || strings.ContainsFunc(string(s), unlistable) || !utf8.ValidString(string(s)) {
			return keystile.Invalidf(fmt.Sprintf("%s[%d]", field, i), "use letters, digits and punctuation without spaces",
				"%q is empty or holds a space or control character", string(s))
		}
	}
	return nil
}

func unlistable(r rune) bool { return r <= ' ' || r == 0x7f }

// checkID refuses ids that ValidID refuses.
func checkID(field, id string) error {
	if !keystile.ValidID(id) {
		return keystile.Invalidf(field, keystile.IDRule, "%q is not an id", clip(id))
	}
	return nil
}

// checkText refuses what PostgreSQL cannot store, so that both engines refuse the same.
func checkText(field, text string) error {
	if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
		return keystile.Invalidf(field, "use UTF-8 text without NUL", "%q is not text", clip(text))
	}
	return nil
}

// text is a member of a thing that must be text.
type text struct{ field, value string }

func checkTexts(all ...text) error {
	for _, t := range all {
		if err := checkText(t.field, t.value); err != nil {
			return err
		}
	}
	return nil
}

// clean makes outside bytes storable: a record of a decision must not fail
// because a caller sent bytes that are no text.
func clean(text string) string {
	if utf8.ValidString(text) && !strings.Contains(text, "\x00") {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// clip keeps messages short whatever was sent.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// rateColumns writes a rate as "60/1m" and its algorithm; two empty texts are none.
func rateColumns(r *keystile.Rate) (text, algorithm string) {
	if r == nil {
		return "", ""
	}
	algorithm = string(r.Algorithm)
	if algorithm == "" {
		algorithm = string(keystile.AlgorithmWindow)
	}
	return r.String(), algorithm
}

func rateOf(text, algorithm string) (*keystile.Rate, error) {
	if text == "" {
		return nil, nil
	}
	r, err := keystile.ParseRate(text, keystile.Algorithm(algorithm))
	if err != nil {
		return nil, fmt.Errorf("read a stored rate: %w", err)
	}
	return r, nil
}

// checkRate refuses rates that could not be read back.
func checkRate(field string, r *keystile.Rate) error {
	text, algorithm := rateColumns(r)
	if _, err := rateOf(text, algorithm); err != nil {
		return keystile.Invalidf(field, "use a rate such as 60/1m", "%s is not a rate that can be kept", text)
	}
	return nil
}

func joinPrefixes(list []netip.Prefix) string {
	if len(list) == 0 {
		return ""
	}
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	return strings.Join(texts, " ")
}

// prefixesOf fails on a network it cannot read: an empty list would allow every address.
func prefixesOf(text string) ([]netip.Prefix, error) {
	if text == "" {
		return nil, nil
	}
	list := make([]netip.Prefix, 0, strings.Count(text, " ")+1)
	for part := range strings.SplitSeq(text, " ") {
		p, err := netip.ParsePrefix(part)
		if err != nil {
			return nil, fmt.Errorf("read a stored network: %w", err)
		}
		list = append(list, p)
	}
	return list, nil
}

func checkPrefixes(field string, list []netip.Prefix) error {
	for i, p := range list {
		if !p.IsValid() {
			return keystile.Invalidf(fmt.Sprintf("%s[%d]", field, i), "use a network such as 10.0.0.0/8", "the network is not valid")
		}
	}
	return nil
}

// digestOf refuses a digest column of the wrong length: a shorter one must never match anything.
func digestOf(column []byte) (digest [32]byte, err error) {
	if len(column) != len(digest) {
		return digest, fmt.Errorf("read a stored digest: %d bytes where 32 are needed", len(column))
	}
	copy(digest[:], column)
	return digest, nil
}

// Page asks for part of a list that is ordered by id.
type Page struct {
	// AfterID: only ids greater than it, by byte; empty starts at the beginning.
	AfterID string
	// Limit is how many at most: 1000 if it is not positive, and never more than 10000.
	Limit int
}

const (
	defaultLimit = 1000
	maxLimit     = 10_000
)

func rowLimit(limit int) int32 {
	if limit <= 0 {
		return defaultLimit
	}
	return int32(min(limit, maxLimit))
}

package telemetry

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Bounds of a request.
const (
	maxSpan      = 31 * 24 * time.Hour
	maxRecords   = 1000
	maxParameter = 128 // bytes
)

// ids is the shape of a site's and an asset's id.
var ids = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// query is what a request asks for.
type query struct {
	site, asset string
	start, end  time.Time // end is not included
	daily       bool
	limit       int
	after       position
}

// position is where a page begins: at an interval, at an asset of the site.
type position struct {
	interval time.Time
	asset    int
}

var errInvalid = errors.New("invalid request")

// parameters are a query string's, each at most once.
type parameters struct {
	values url.Values
	err    error
}

func parseParameters(raw string) *parameters {
	values, err := url.ParseQuery(raw)
	return &parameters{values: values, err: err}
}

// get reads one parameter and keeps the first error.
func (p *parameters) get(name string) string {
	v := p.values[name]
	if len(v) == 0 {
		return ""
	}
	if len(v) > 1 || len(v[0]) > maxParameter {
		p.fail(name)
	}
	return v[0]
}

func (p *parameters) fail(name string) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: %s", errInvalid, name)
	}
}

// id reads the id of a site or an asset.
func (p *parameters) id(name string, required bool) string {
	v := p.get(name)
	if (v != "" || required) && !ids.MatchString(v) {
		p.fail(name)
	}
	return v
}

// time reads a time: RFC 3339, or without an offset, which means UTC, or a date.
func (p *parameters) time(name string) time.Time {
	v := p.get(name)
	for _, layout := range []string{"2006-01-02T15:04:05", time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, v); err == nil {
			return t.UTC()
		}
	}
	p.fail(name)
	return time.Time{}
}

// parseQuery reads the query string of a request for records.
func parseQuery(raw string, wantsAsset bool) (query, error) {
	p := parseParameters(raw)
	q := query{site: p.id("site_id", true), start: p.time("start"), end: p.time("end"), limit: maxRecords}
	if wantsAsset {
		q.asset = p.id("asset_id", true)
	}
	switch p.get("resolution") {
	case "", "5min":
	case "daily":
		q.daily = true
	default:
		p.fail("resolution")
	}
	if v := p.get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxRecords {
			p.fail("limit")
		}
		q.limit = n
	}
	if v := p.get("cursor"); v != "" {
		after, err := parseCursor(v)
		if err != nil {
			p.fail("cursor")
		}
		q.after = after
	}
	if !q.end.After(q.start) || q.end.Sub(q.start) > maxSpan {
		p.fail("end")
	}
	return q, p.err
}

// cursor is the text of a position. It is no secret and grants nothing: it
// only names a place within what the same request may see anyway.
func (p position) cursor() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d", p.interval.Unix(), p.asset))
}

// parseCursor reads cursor's text.
func parseCursor(text string) (position, error) {
	plain, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return position{}, fmt.Errorf("%w: cursor: %w", errInvalid, err)
	}
	interval, number, _ := strings.Cut(string(plain), ".")
	seconds, err := strconv.ParseInt(interval, 10, 64)
	if err != nil {
		return position{}, fmt.Errorf("%w: cursor: %w", errInvalid, err)
	}
	asset, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return position{}, fmt.Errorf("%w: cursor: %w", errInvalid, err)
	}
	p := position{interval: time.Unix(seconds, 0).UTC(), asset: int(asset)}
	if p.cursor() != text {
		return position{}, fmt.Errorf("%w: cursor", errInvalid)
	}
	return p, nil
}

package keyimport

import (
	"bufio"
	"bytes"
	"encoding/base32"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
)

// MaxLine is the longest line, in bytes.
const MaxLine = 64 << 10

// Row is one key as it is read.
type Row struct {
	// Line it stands on, from 1.
	Line int64
	Key  keystile.APIKey
	// Sum is SHA-256 of the secret.
	Sum  [32]byte
	Hint string
}

// Problem is a line that cannot be used. Its text never shows a secret.
type Problem struct {
	Line int64
	Err  error
}

// Error implements error: "line 7: sha256: …".
func (p Problem) Error() string { return fmt.Sprintf("line %d: %v", p.Line, p.Err) }

// Reader reads rows.
type Reader struct {
	next func() (entry, int64, error) // io.EOF at the end; Problem for a bad line
	now  time.Time
}

// entry is one line's members.
type entry struct {
	ID               string   `json:"id"`
	Organization     string   `json:"organization"`
	Secret           string   `json:"secret"`
	SHA256           string   `json:"sha256"`
	Name             string   `json:"name"`
	Environment      string   `json:"environment"`
	PermittedSiteIDs []string `json:"permitted_site_ids"`
	Scopes           []string `json:"scopes"`
	AllowedIPs       []string `json:"allowed_ips"`
	Limit            string   `json:"limit"`
	ExpiresAt        string   `json:"expires_at"`
}

// NewJSONLines reads JSON Lines. created is when the keys are said to be made.
func NewJSONLines(r io.Reader, created time.Time) *Reader {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, MaxLine), MaxLine)
	var line int64
	return &Reader{now: created, next: func() (entry, int64, error) {
		for lines.Scan() {
			line++
			text := bytes.TrimSpace(lines.Bytes())
			if len(text) == 0 {
				continue
			}
			var e entry
			decoder := json.NewDecoder(bytes.NewReader(text))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&e); err != nil {
				return e, line, Problem{line, jsonProblem(err)}
			}
			if decoder.More() {
				return e, line, Problem{line, errors.New("more than one JSON value on the line")}
			}
			return e, line, nil
		}
		if err := lines.Err(); err != nil {
			return entry{}, line + 1, fmt.Errorf("line %d: %w", line+1, err)
		}
		return entry{}, line, io.EOF
	}}
}

// jsonProblem says what is wrong without quoting the line, which may hold a secret.
func jsonProblem(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return fmt.Errorf("%s: is not a %s", wrongType.Field, wrongType.Type)
	}
	if text := err.Error(); strings.HasPrefix(text, "json: unknown field") {
		return errors.New(strings.TrimPrefix(text, "json: ") + "; see keystile key import --help for the members")
	}
	return errors.New("is not one JSON object")
}

// NewCSV reads CSV (RFC 4180) whose first line names the members.
func NewCSV(r io.Reader, created time.Time) (*Reader, error) {
	records := csv.NewReader(bufio.NewReaderSize(r, MaxLine))
	records.ReuseRecord = true
	header, err := records.Read()
	if err != nil {
		return nil, fmt.Errorf("line 1: read the names of the columns: %w", err)
	}
	set := make([]func(*entry, string), len(header))
	for i, name := range header {
		if set[i] = columns[strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))]; set[i] == nil {
			return nil, fmt.Errorf("line 1: there is no member %q", name)
		}
	}
	return &Reader{now: created, next: func() (entry, int64, error) {
		var e entry
		record, err := records.Read()
		var parse *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return e, 0, io.EOF
		case errors.As(err, &parse):
			return e, int64(parse.Line), Problem{int64(parse.Line), parse.Err}
		case err != nil:
			return e, 0, fmt.Errorf("read the file: %w", err)
		}
		for i, value := range record {
			set[i](&e, strings.Clone(value))
		}
		line, _ := records.FieldPos(0) // only after a good record: it panics otherwise
		return e, int64(line), nil
	}}, nil
}

// columns sets a member from the text of a CSV field.
var columns = map[string]func(*entry, string){
	"id":                 func(e *entry, v string) { e.ID = v },
	"organization":       func(e *entry, v string) { e.Organization = v },
	"secret":             func(e *entry, v string) { e.Secret = v },
	"sha256":             func(e *entry, v string) { e.SHA256 = v },
	"name":               func(e *entry, v string) { e.Name = v },
	"environment":        func(e *entry, v string) { e.Environment = v },
	"permitted_site_ids": func(e *entry, v string) { e.PermittedSiteIDs = list(v) },
	"scopes":             func(e *entry, v string) { e.Scopes = list(v) },
	"allowed_ips":        func(e *entry, v string) { e.AllowedIPs = list(v) },
	"limit":              func(e *entry, v string) { e.Limit = v },
	"expires_at":         func(e *entry, v string) { e.ExpiresAt = v },
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ";")
}

// Next returns the next row. A Problem is a line to report and pass over; io.EOF
// is the end; any other error ends the reading.
func (r *Reader) Next() (Row, error) {
	e, line, err := r.next()
	if err != nil {
		return Row{}, err
	}
	row, err := r.row(e)
	if err != nil {
		return Row{}, Problem{line, err}
	}
	row.Line = line
	return row, nil
}

func (r *Reader) row(e entry) (Row, error) {
	row := Row{Key: keystile.APIKey{
		ID: e.ID, OrganizationID: e.Organization, Name: e.Name, Environment: keystile.Environment(e.Environment),
		PermittedSiteIDs: e.PermittedSiteIDs, CreatedAt: r.now, UpdatedAt: r.now,
	}}
	if e.Organization == "" {
		return row, errors.New("organization: is missing")
	}
	if env := row.Key.Environment; env != "" && env != keystile.Production && env != keystile.Sandbox {
		return row, errors.New("environment: use production or sandbox")
	}
	if err := row.identify(e); err != nil {
		return row, err
	}
	return row, row.permit(e)
}

// permit sets what the key may do.
func (row *Row) permit(e entry) error {
	for _, scope := range e.Scopes {
		row.Key.Scopes = append(row.Key.Scopes, keystile.Scope(scope))
	}
	for _, text := range e.AllowedIPs {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("allowed_ips: %q is not a network such as 10.0.0.0/8", text)
		}
		row.Key.AllowedIPs = append(row.Key.AllowedIPs, prefix)
	}
	if e.Limit != "" {
		rate, err := keystile.ParseRate(e.Limit, "")
		if err != nil {
			return fmt.Errorf("limit: %w", err)
		}
		row.Key.Limit = rate
	}
	if e.ExpiresAt != "" {
		at, err := time.Parse(time.RFC3339, e.ExpiresAt)
		if err != nil {
			return fmt.Errorf("expires_at: %q is not RFC 3339, such as 2027-01-01T00:00:00Z", e.ExpiresAt)
		}
		row.Key.ExpiresAt = at
	}
	return nil
}

// identify sets the sum of the secret, and the id. An absent id is made of the
// sum, so that importing the same file again makes the same ids.
func (row *Row) identify(e entry) error {
	switch {
	case e.Secret != "" && e.SHA256 != "":
		return errors.New("secret and sha256: give one of them")
	case e.Secret != "":
		secret := keystile.Secret(e.Secret)
		if err := apikey.CheckImport(secret); err != nil {
			return err
		}
		row.Sum, row.Hint = apikey.Sum(secret), apikey.Hint(secret)
	case e.SHA256 != "":
		if n, err := hex.Decode(row.Sum[:], []byte(e.SHA256[:min(len(e.SHA256), 64)])); err != nil || n != 32 || len(e.SHA256) != 64 {
			return errors.New("sha256: use 64 hexadecimal digits")
		}
	default:
		return errors.New("secret or sha256: one of them is required")
	}
	if e.ID == "" {
		row.Key.ID = "key_" + strings.ToLower(base32.StdEncoding.EncodeToString(row.Sum[:10]))
	}
	if !keystile.ValidID(row.Key.ID) {
		return errors.New("id: " + keystile.IDRule)
	}
	return nil
}

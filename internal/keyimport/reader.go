package keyimport

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	keystile "keystile.dev/keystile"
	"keystile.dev/keystile/internal/credential/apikey"
	"keystile.dev/keystile/internal/login/password"
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
	// Hash is what another system made of the secret; nil: Sum is known.
	Hash *Hash
}

// Hash is a secret as another system hashed it.
type Hash struct {
	// Text is bcrypt or argon2 in their usual form; empty: HMAC is HMAC-SHA-256 of the
	// key under that system's pepper.
	Text string
	HMAC [32]byte
	// Head is how the key begins, by which Text is found.
	Head string
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
	HMACSHA256       string   `json:"hmac_sha256"`
	Bcrypt           string   `json:"bcrypt"`
	Argon2           string   `json:"argon2"`
	Prefix           string   `json:"prefix"`
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
	in := bufio.NewReaderSize(r, MaxLine)
	var line int64
	return &Reader{now: created, next: func() (entry, int64, error) {
		for {
			text, err := wholeLine(in)
			if len(text) > 0 || err == nil {
				line++
			}
			switch {
			case errors.Is(err, errLongLine):
				return entry{}, line, Problem{line, err}
			case err != nil && !errors.Is(err, io.EOF):
				return entry{}, line + 1, fmt.Errorf("line %d: %w", line+1, err)
			}
			if text = bytes.TrimSpace(text); len(text) == 0 {
				if err != nil {
					return entry{}, line, io.EOF
				}
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
	}}
}

var errLongLine = fmt.Errorf("has more than %d bytes", MaxLine)

// wholeLine reads a line with its end; the last may have none, and comes with
// io.EOF. One that is too long is passed over.
func wholeLine(in *bufio.Reader) ([]byte, error) {
	text, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return text, err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = in.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return []byte{' '}, errLongLine
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
	ration := &rationed{r: r, left: maxRecord}
	records := csv.NewReader(bufio.NewReaderSize(ration, MaxLine))
	records.ReuseRecord = true
	header, err := records.Read()
	if err != nil {
		return nil, fmt.Errorf("line 1: read the names of the columns: %w", err)
	}
	set := make([]func(*entry, string), len(header))
	for i, name := range header {
		header[i] = strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))
		if set[i] = columns[header[i]]; set[i] == nil {
			return nil, fmt.Errorf("line 1: there is no member %q", name)
		}
		if slices.Contains(header[:i], header[i]) {
			return nil, fmt.Errorf("line 1: %s is there twice", header[i])
		}
	}
	var last int64 = 1
	return &Reader{now: created, next: func() (entry, int64, error) {
		var e entry
		ration.left = maxRecord
		record, err := records.Read()
		var parse *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return e, 0, io.EOF
		case errors.Is(err, errLongRecord):
			return e, last, fmt.Errorf("after line %d: %w", last, err)
		case errors.As(err, &parse):
			return e, int64(parse.Line), Problem{int64(parse.Line), parse.Err}
		case err != nil:
			return e, 0, fmt.Errorf("read the file: %w", err)
		}
		for i, value := range record {
			set[i](&e, strings.Clone(value))
		}
		line, _ := records.FieldPos(0) // only after a good record: it panics otherwise
		last = int64(line)
		return e, last, nil
	}}, nil
}

// maxRecord is what may be read for one record of CSV, in bytes, besides what is buffered.
const maxRecord = 2 * MaxLine

var errLongRecord = fmt.Errorf("a record has more than %d bytes; look for a quote that is not closed", maxRecord)

// rationed reads no further than it may: a quote that is not closed would have all of a
// file read into memory as one field.
type rationed struct {
	r    io.Reader
	left int
}

func (r *rationed) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errLongRecord
	}
	n, err := r.r.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// columns sets a member from the text of a CSV field.
var columns = map[string]func(*entry, string){
	"id":                 func(e *entry, v string) { e.ID = v },
	"organization":       func(e *entry, v string) { e.Organization = v },
	"secret":             func(e *entry, v string) { e.Secret = v },
	"sha256":             func(e *entry, v string) { e.SHA256 = v },
	"hmac_sha256":        func(e *entry, v string) { e.HMACSHA256 = v },
	"bcrypt":             func(e *entry, v string) { e.Bcrypt = v },
	"argon2":             func(e *entry, v string) { e.Argon2 = v },
	"prefix":             func(e *entry, v string) { e.Prefix = v },
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

// identify sets the sum of the secret or its foreign hash, and the id. An absent id
// is made of either, so that importing the same file again makes the same ids.
func (row *Row) identify(e entry) error {
	if err := oneSecret(e); err != nil {
		return err
	}
	origin := row.Sum[:]
	var err error
	switch {
	case e.Secret != "":
		secret := keystile.Secret(e.Secret)
		if err := apikey.CheckImport(secret); err != nil {
			return err
		}
		row.Sum, row.Hint = apikey.Sum(secret), apikey.Hint(secret)
	case e.SHA256 != "":
		row.Sum, err = digest("sha256", e.SHA256)
	default:
		if row.Hash, err = foreign(e); err == nil {
			sum := sha256.Sum256(append([]byte(row.Hash.Text), row.Hash.HMAC[:]...))
			origin = sum[:]
			row.Hint = row.Hash.Head
		}
	}
	if err != nil {
		return err
	}
	if e.ID == "" {
		row.Key.ID = "key_" + strings.ToLower(base32.StdEncoding.EncodeToString(origin[:10]))
	}
	if !keystile.ValidID(row.Key.ID) {
		return errors.New("id: " + keystile.IDRule)
	}
	return nil
}

// oneSecret refuses a line that has no secret, or more than one.
func oneSecret(e entry) error {
	given := 0
	for _, member := range []string{e.Secret, e.SHA256, e.HMACSHA256, e.Bcrypt, e.Argon2} {
		if member != "" {
			given++
		}
	}
	switch {
	case given == 0:
		return errors.New("secret, sha256, hmac_sha256, bcrypt or argon2: one of them is required")
	case given > 1:
		return errors.New("secret, sha256, hmac_sha256, bcrypt and argon2: give one of them")
	case e.Prefix != "" && e.Bcrypt == "" && e.Argon2 == "":
		return errors.New("prefix: goes with bcrypt or argon2")
	}
	return nil
}

// Bounds of the head that a bcrypt or argon2 hash is found by, in bytes.
const (
	minHead = 6
	maxHead = 20
)

// foreign reads what another system made of a secret.
func foreign(e entry) (*Hash, error) {
	if e.HMACSHA256 != "" {
		mac, err := digest("hmac_sha256", e.HMACSHA256)
		return &Hash{HMAC: mac}, err
	}
	member, text := "bcrypt", e.Bcrypt
	if e.Argon2 != "" {
		member, text = "argon2", e.Argon2
	}
	parsed, err := password.Parse(text)
	if err != nil || !strings.HasPrefix(parsed.Class(), member) {
		return nil, fmt.Errorf("%s: is not a hash of that kind within the costs that are verified here", member)
	}
	if len(e.Prefix) < minHead || len(e.Prefix) > maxHead {
		return nil, fmt.Errorf("prefix: give %d to %d characters that the key begins with: the hash is found by them", minHead, maxHead)
	}
	if strings.ContainsFunc(e.Prefix, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errors.New("prefix: use visible ASCII characters only, as keys do")
	}
	return &Hash{Text: text, Head: e.Prefix}, nil
}

func digest(member, text string) (sum [32]byte, err error) {
	if n, err := hex.Decode(sum[:], []byte(text[:min(len(text), 64)])); err != nil || n != 32 || len(text) != 64 {
		return sum, errors.New(member + ": use 64 hexadecimal digits")
	}
	return sum, nil
}

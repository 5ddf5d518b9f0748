package keyimport_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"keystile.dev/keystile/internal/keyimport"
)

var created = time.Unix(1_700_000_000, 0).UTC()

const sum = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func readAll(t *testing.T, r *keyimport.Reader) (rows []keyimport.Row, problems []string) {
	t.Helper()
	for {
		row, err := r.Next()
		var problem keyimport.Problem
		switch {
		case errors.Is(err, io.EOF):
			return rows, problems
		case errors.As(err, &problem):
			problems = append(problems, problem.Error())
		case err != nil:
			t.Fatal(err)
		default:
			rows = append(rows, row)
		}
	}
}

func TestJSONLinesAndCSVReadTheSame(t *testing.T) {
	jsonRows, problems := readAll(t, keyimport.NewJSONLines(strings.NewReader(
		`{"id":"k1","organization":"o","sha256":"`+sum+`","name":"n","environment":"sandbox","permitted_site_ids":["a","b"],"scopes":["x:y"],"allowed_ips":["10.0.0.0/8"],"limit":"60/1m","expires_at":"2027-01-01T00:00:00Z"}`+"\n\n"+
			`{"organization":"o","secret":"test-secret-0123456789"}`), created))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	r, err := keyimport.NewCSV(strings.NewReader("id,organization,sha256,secret,name,environment,permitted_site_ids,scopes,allowed_ips,limit,expires_at\n"+
		"k1,o,"+sum+",,n,sandbox,a;b,x:y,10.0.0.0/8,60/1m,2027-01-01T00:00:00Z\n"+
		",o,,test-secret-0123456789,,,,,,,\n"), created)
	if err != nil {
		t.Fatal(err)
	}
	csvRows, problems := readAll(t, r)
	if len(problems) > 0 || len(csvRows) != 2 || len(jsonRows) != 2 {
		t.Fatal(problems, len(csvRows), len(jsonRows))
	}
	for i := range jsonRows {
		a, b := jsonRows[i], csvRows[i]
		if a.Sum != b.Sum || a.Key.ID != b.Key.ID || a.Hint != b.Hint || len(a.Key.PermittedSiteIDs) != len(b.Key.PermittedSiteIDs) || !a.Key.ExpiresAt.Equal(b.Key.ExpiresAt) {
			t.Errorf("row %d: %+v and %+v", i, a, b)
		}
	}
	first := jsonRows[0]
	if hex.EncodeToString(first.Sum[:]) != sum || first.Key.Limit.Requests != 60 || first.Key.AllowedIPs[0].String() != "10.0.0.0/8" {
		t.Errorf("%+v", first)
	}
	if jsonRows[1].Sum != sha256.Sum256([]byte("test-secret-0123456789")) || !strings.HasPrefix(jsonRows[1].Key.ID, "key_") {
		t.Errorf("%+v", jsonRows[1])
	}
}

func TestABadLineIsReportedByNumberAndTheOthersGoOn(t *testing.T) {
	good := `{"organization":"o","sha256":"` + sum + `"}`
	rows, problems := readAll(t, keyimport.NewJSONLines(strings.NewReader(strings.Join([]string{
		good, `not json`, `{"organization":"o"}`, `{"sha256":"` + sum + `"}`, `{"organization":"o","sha256":"zz"}`,
		`{"organization":"o","secret":"ak_canary0123456789"}`, `{"organization":"o","sha256":"` + sum + `","secret":"canary0123456789012"}`,
		`{"organization":"o","sha256":"` + sum + `","limit":"fast"}`, `{"organization":"o","sha256":"` + sum + `","allowed_ips":["x"]}`,
		`{"organization":"o","sha256":"` + sum + `","expires_at":"soon"}`, `{"organization":"o","sha256":"` + sum + `","colour":"red"}`,
		`{"organization":"o","sha256":"` + sum + `","id":"a b"}`, `{"organization":1}`, good + good, good,
	}, "\n")), created))
	if len(rows) != 2 || len(problems) != 13 {
		t.Fatalf("%d rows, %d problems: %q", len(rows), len(problems), problems)
	}
	for i, problem := range problems {
		if !strings.HasPrefix(problem, "line ") || strings.Contains(problem, "canary") {
			t.Errorf("problem %d: %q", i, problem)
		}
	}
}

func TestALineThatIsTooLongIsPassedOver(t *testing.T) {
	good := `{"organization":"o","sha256":"` + sum + `"}`
	long := `{"organization":"o","name":"` + strings.Repeat("a", 1<<20) + `","sha256":"` + sum + `"}`
	for _, end := range []string{"\n", ""} {
		rows, problems := readAll(t, keyimport.NewJSONLines(strings.NewReader(good+"\n"+long+"\n"+good+"\n"+long+end), created))
		if len(rows) != 2 || rows[1].Line != 3 || len(problems) != 2 || !strings.HasPrefix(problems[0], "line 2: has more than") || !strings.HasPrefix(problems[1], "line 4: ") {
			t.Errorf("%d rows, problems %q", len(rows), problems)
		}
	}
}

// endless is a file that goes on for ever, and counts what is read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

func TestAQuoteThatIsNotClosedDoesNotReadTheWholeFile(t *testing.T) {
	rest := &endless{}
	good := "o,test-secret-" + strings.Repeat("a", 20) + "\n"
	head := "organization,secret\n" + strings.Repeat(good, 10_000) // more than is read ahead
	r, err := keyimport.NewCSV(io.MultiReader(strings.NewReader(head+`o,"test-secret-0123`), io.LimitReader(rest, 64<<20)), created)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for ; err == nil; rows++ {
		_, err = r.Next()
	}
	if rows-1 != 10_000 || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "after line 10001: a record has more than") {
		t.Errorf("%d rows, %v", rows-1, err)
	}
	if rest.read > 4*keyimport.MaxLine {
		t.Errorf("%d bytes were read", rest.read)
	}
}

func TestACSVWithAnUnknownColumnIsRefusedAtOnce(t *testing.T) {
	for _, text := range []string{"", "organization,colour\n", "\x00\n", "organization,sha256,organization\no,x,p\n"} {
		if _, err := keyimport.NewCSV(strings.NewReader(text), created); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func FuzzReaders(f *testing.F) {
	f.Add(`{"organization":"o","sha256":"` + sum + `"}`)
	f.Add("id,organization,secret\nk,o,0123456789\n")
	f.Fuzz(func(t *testing.T, text string) {
		readers := []*keyimport.Reader{keyimport.NewJSONLines(strings.NewReader(text), created)}
		if r, err := keyimport.NewCSV(strings.NewReader(text), created); err == nil {
			readers = append(readers, r)
		}
		for _, r := range readers {
			for range 100 {
				row, err := r.Next()
				var problem keyimport.Problem
				if err != nil && !errors.As(err, &problem) {
					break
				}
				if err == nil && (row.Key.ID == "" || row.Key.OrganizationID == "") {
					t.Fatalf("a row without id or organisation: %+v", row)
				}
			}
		}
	})
}

func TestHashesOfOtherSystemsAreReadWithWhatFindsThem(t *testing.T) {
	const (
		bcrypt = "$2a$04$OES0Fm/Y717aL7qAe2yiiuyPOTktgs..VJ6N/DLeMXNjHvmDvxTjG"
		argon2 = "$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI"
	)
	lines := strings.Join([]string{
		`{"organization":"o","bcrypt":"` + bcrypt + `","prefix":"legacy_abc123"}`,
		`{"organization":"o","argon2":"` + argon2 + `","prefix":"legacy_def456"}`,
		`{"organization":"o","hmac_sha256":"` + sum + `"}`,
		`{"organization":"o","bcrypt":"` + bcrypt + `"}`,
		`{"organization":"o","bcrypt":"` + bcrypt + `","prefix":"short"}`,
		`{"organization":"o","argon2":"` + bcrypt + `","prefix":"legacy_abc123"}`,
		`{"organization":"o","bcrypt":"$2a$04$canary","prefix":"legacy_abc123"}`,
		`{"organization":"o","hmac_sha256":"` + sum + `","sha256":"` + sum + `"}`,
		`{"organization":"o","sha256":"` + sum + `","prefix":"legacy_abc123"}`,
		`{"organization":"o","hmac_sha256":"abcd"}`,
	}, "\n")
	rows, problems := readAll(t, keyimport.NewJSONLines(strings.NewReader(lines), created))
	if len(rows) != 3 || len(problems) != 7 {
		t.Fatalf("%d rows, problems %q", len(rows), problems)
	}
	if rows[0].Hash.Text != bcrypt || rows[0].Hash.Head != "legacy_abc123" || rows[1].Hash.Text != argon2 || rows[2].Hash.Text != "" || rows[2].Hash.HMAC == [32]byte{} {
		t.Errorf("rows %+v", rows)
	}
	if rows[0].Key.ID == rows[1].Key.ID || rows[0].Key.ID == "" {
		t.Errorf("ids %q, %q", rows[0].Key.ID, rows[1].Key.ID)
	}
	if text := strings.Join(problems, " "); strings.Contains(text, "canary") {
		t.Errorf("a hash is echoed: %s", text)
	}
}

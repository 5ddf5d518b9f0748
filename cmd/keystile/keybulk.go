package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keystile.dev/keystile/client"
)

const (
	// bulkChunk is how many keys one request makes, all of them or none.
	bulkChunk = 500
	// maxBulkLine is the longest line of a file of keys to make, in bytes.
	maxBulkLine = 64 << 10
	// maxBulkFile bounds such a file in bytes: it is read whole before anything is made.
	maxBulkFile = 256 << 20
)

// wantedKey is a key that a file asks for.
type wantedKey struct {
	line int
	key  client.KeyCreate
}

// aloneWithBulk refuses flags that say what one key is to be.
func aloneWithBulk(cmd *cobra.Command) error {
	for _, name := range []string{"organization", "site", "scope", "allow-ip", "expires", "limit", "limit-algorithm", "name", "environment", "id", "secret", "sha256"} {
		if cmd.Flags().Changed(name) {
			return usagef("--%s and --bulk exclude each other: write it into the file", name)
		}
	}
	return nil
}

// createBulk makes the keys that a file asks for, some at a time, and writes their
// secrets, once, as JSON Lines: into a new file that its owner alone may read, or
// to standard output. What was made is written before more is.
func (a *app) createBulk(ctx context.Context, m *management, path, secrets string, f format) (err error) {
	wanted, err := readWanted(path)
	if err != nil {
		return err
	}
	out := a.stdout
	if secrets != "" {
		file, err := os.OpenFile(filepath.Clean(secrets), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("make the file of secrets: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		out = file
	}
	p := a.newProgress("keys created")
	defer p.end()
	for from := 0; from < len(wanted); from += bulkChunk {
		chunk := wanted[from:min(from+bulkChunk, len(wanted))]
		in := make([]client.KeyCreate, len(chunk))
		for i := range chunk {
			in[i] = chunk[i].key
		}
		made, err := m.CreateKeys(ctx, in)
		if err != nil {
			fmt.Fprintf(a.stderr, "%s: keys[0] is line %d; the %d keys before it are made, and those from it on are not\n", path, chunk[0].line, from)
			return err
		}
		if err := a.writeMade(out, made); err != nil {
			return fmt.Errorf("the keys of %s up to line %d are made, and the secrets of the last %d could not be written; rotate them: %w", path, chunk[len(chunk)-1].line, len(made), err)
		}
		p.add(int64(len(made)))
	}
	if secrets == "" {
		return nil
	}
	if f == formatJSON {
		return printJSON(a.stdout, map[string]any{"created": len(wanted), "secrets": secrets})
	}
	_, err = fmt.Fprintf(a.stdout, "%d keys created; their secrets are in %s, and nowhere else\n", len(wanted), secrets)
	return err
}

// writeMade writes keys with their secrets, one JSON object a line.
func (a *app) writeMade(out io.Writer, made []client.KeySecret) error {
	var text bytes.Buffer
	lines := json.NewEncoder(&text)
	for _, key := range made {
		for _, warning := range key.Warnings {
			fmt.Fprintf(a.stderr, "warning: key %s: %s\n", key.ID, warning)
		}
		err := lines.Encode(map[string]string{"id": key.ID, "organization": key.Organization, "name": key.Name, "secret": key.Secret})
		if err != nil {
			return err
		}
	}
	if _, err := out.Write(text.Bytes()); err != nil {
		return err
	}
	if file, ok := out.(*os.File); ok && file != os.Stdout {
		return file.Sync()
	}
	return nil
}

// readWanted reads JSON Lines, or CSV by the file's name. Every line that cannot
// be used is told, and then nothing is made.
func readWanted(path string) (wanted []wantedKey, err error) {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("open the file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at the file: %w", err)
	}
	if info.Size() > maxBulkFile {
		return nil, fmt.Errorf("%s has %d MiB, and %d are taken: split it", path, info.Size()>>20, maxBulkFile>>20)
	}
	var faults []error
	if strings.EqualFold(filepath.Ext(path), ".csv") {
		wanted, faults = wantedCSV(file)
	} else {
		wanted, faults = wantedJSON(file)
	}
	for i := range faults {
		faults[i] = fmt.Errorf("%s:%w", path, faults[i])
	}
	if len(faults) > shownProblems {
		faults = append(faults[:shownProblems], fmt.Errorf("%s: %d more lines cannot be used", path, len(faults)-shownProblems))
	}
	if len(faults) == 0 && len(wanted) == 0 {
		return nil, fmt.Errorf("%s asks for no key", path)
	}
	return wanted, errors.Join(faults...)
}

func wantedJSON(r io.Reader) (wanted []wantedKey, faults []error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, maxBulkLine), maxBulkLine)
	n := 0
	for lines.Scan() {
		n++
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		one := wantedKey{line: n}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&one.key); err != nil || decoder.More() {
			faults = append(faults, fmt.Errorf("%d: %w", n, wantedFault(err)))
			continue
		}
		wanted = append(wanted, one)
	}
	if err := lines.Err(); err != nil {
		faults = append(faults, fmt.Errorf("%d: %w", n+1, err))
	}
	return wanted, faults
}

// wantedFault quotes nothing of a line, which may hold a secret.
func wantedFault(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return fmt.Errorf("%s is not a %s", wrongType.Field, wrongType.Type)
	}
	if err != nil && strings.HasPrefix(err.Error(), "json: unknown field") {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return errors.New("is not one JSON object")
}

// wantedColumns are the members that CSV may have; lists are separated by ";".
var wantedColumns = map[string]func(*client.KeyCreate, string) error{
	"id":                 func(k *client.KeyCreate, v string) error { k.ID = v; return nil },
	"organization":       func(k *client.KeyCreate, v string) error { k.Organization = v; return nil },
	"name":               func(k *client.KeyCreate, v string) error { k.Name = v; return nil },
	"environment":        func(k *client.KeyCreate, v string) error { k.Environment = v; return nil },
	"permitted_site_ids": func(k *client.KeyCreate, v string) error { k.PermittedSiteIDs = strings.Split(v, ";"); return nil },
	"scopes":             func(k *client.KeyCreate, v string) error { k.Scopes = strings.Split(v, ";"); return nil },
	"allowed_ips":        func(k *client.KeyCreate, v string) error { k.AllowedIPs = strings.Split(v, ";"); return nil },
	"limit":              func(k *client.KeyCreate, v string) error { k.Limit = v; return nil },
	"limit_algorithm":    func(k *client.KeyCreate, v string) error { k.LimitAlgorithm = v; return nil },
	"expires_at": func(k *client.KeyCreate, v string) error {
		at, err := time.Parse(time.RFC3339, v)
		if err != nil {
			return errors.New("expires_at is not RFC 3339")
		}
		k.ExpiresAt = &at
		return nil
	},
}

// wantedHeader reads the names of the columns: members, each once.
func wantedHeader(records *csv.Reader) ([]string, error) {
	header, err := records.Read()
	if err != nil {
		return nil, fmt.Errorf("1: read the names of the columns: %w", err)
	}
	for i, name := range header {
		header[i] = strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))
		if wantedColumns[header[i]] == nil {
			return nil, fmt.Errorf("1: there is no member %q", name)
		}
		if slices.Contains(header[:i], header[i]) {
			return nil, fmt.Errorf("1: %s is there twice", header[i])
		}
	}
	return header, nil
}

func wantedCSV(r io.Reader) (wanted []wantedKey, faults []error) {
	records := csv.NewReader(bufio.NewReaderSize(r, maxBulkLine))
	header, err := wantedHeader(records)
	if err != nil {
		return nil, []error{err}
	}
	for {
		record, err := records.Read()
		if errors.Is(err, io.EOF) {
			return wanted, faults
		}
		var broken *csv.ParseError
		if errors.As(err, &broken) {
			if faults = append(faults, fmt.Errorf("%d: %w", broken.Line, broken.Err)); errors.Is(broken.Err, csv.ErrFieldCount) {
				continue
			}
			return wanted, faults // where the next record begins is not known
		}
		if err != nil {
			return wanted, append(faults, err)
		}
		line, _ := records.FieldPos(0)
		one := wantedKey{line: line}
		for i, value := range record {
			if value == "" {
				continue
			}
			if err := wantedColumns[header[i]](&one.key, value); err != nil {
				faults = append(faults, fmt.Errorf("%d: %w", line, err))
			}
		}
		wanted = append(wanted, one)
	}
}

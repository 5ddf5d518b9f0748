package backup

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"keystile.dev/keystile/internal/store"
)

// Header says what a backup is of.
type Header struct {
	// Schema is the version of the store's schema, Revision the feed's newest change.
	Schema   int64 `json:"schema"`
	Revision int64 `json:"revision"`
	// Engine is what the store was on.
	Engine string `json:"engine"`
	// CreatedAt is the moment that the backup shows.
	CreatedAt time.Time `json:"created_at"`
	// Program is the version of the program that wrote it.
	Program string `json:"program"`
	// Sealing is the store's sealing keyset, wrapped by the master key.
	Sealing []byte `json:"sealing"`
}

// trailer ends a backup.
type trailer struct {
	Rows int64 `json:"rows"`
	// SHA256 is over every frame before, hexadecimal; Sealed is the same under
	// the store's keys: who has none makes no backup.
	SHA256 string `json:"sha256"`
	Sealed []byte `json:"sealed"`
}

// sealPlace is what the sum is sealed for.
const sealPlace = "backup/sha256"

// Options say how a backup is made.
type Options struct {
	// Keyset is the name of the sealing keyset in the store.
	Keyset string
	// Seal seals a value for a place under the sealing keyset.
	Seal func(plain []byte, place string) ([]byte, error)
	// Program is the version of the program.
	Program string
	// Progress is told of rows as they are written; may be nil.
	Progress func(rows int64)
}

// Write writes the whole store, as it is at one moment, to w.
func Write(ctx context.Context, w io.Writer, s *store.Store, o Options) (header Header, rows int64, err error) {
	snapshot, err := s.Snapshot(ctx)
	if err != nil {
		return header, 0, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	header = Header{Schema: snapshot.Schema, Revision: snapshot.Revision, Engine: s.Engine(), CreatedAt: snapshot.At, Program: o.Program}
	if header.Sealing, err = snapshot.Keyset(ctx, o.Keyset); err != nil {
		return header, 0, err
	}
	if _, err := io.WriteString(w, magic); err != nil {
		return header, 0, fmt.Errorf("write the backup: %w", err)
	}
	packed := gzip.NewWriter(w)
	e := newEncoder(packed)
	if err := e.json(frameHeader, header); err != nil {
		return header, 0, err
	}
	if rows, err = writeTables(ctx, e, snapshot, o.Progress); err != nil {
		return header, rows, err
	}
	if err := e.end(rows, o.Seal); err != nil {
		return header, rows, err
	}
	if err := packed.Close(); err != nil {
		return header, rows, fmt.Errorf("write the backup: %w", err)
	}
	return header, rows, nil
}

// progressRows is how many rows Progress is told of at once.
const progressRows = 1000

func writeTables(ctx context.Context, e *encoder, snapshot *store.Snapshot, progress func(int64)) (rows int64, err error) {
	tables, err := snapshot.Tables(ctx)
	if err != nil {
		return 0, err
	}
	told := int64(0)
	for _, t := range tables {
		if err := e.json(frameTable, t); err != nil {
			return rows, err
		}
		err := snapshot.Rows(ctx, t, func(values []any) error {
			if rows++; progress != nil && rows-told == progressRows {
				progress(progressRows)
				told = rows
			}
			return e.row(values)
		})
		if err != nil {
			return rows, err
		}
	}
	if progress != nil {
		progress(rows - told)
	}
	return rows, nil
}

func (e *encoder) end(rows int64, seal func([]byte, string) ([]byte, error)) error {
	sum := e.sum.Sum(nil)
	sealed, err := seal(sum, sealPlace)
	if err != nil {
		return fmt.Errorf("seal the backup: %w", err)
	}
	if err := e.json(frameEnd, trailer{Rows: rows, SHA256: hex.EncodeToString(sum), Sealed: sealed}); err != nil {
		return err
	}
	if err := e.w.Flush(); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

// Reader reads a backup from its beginning.
type Reader struct {
	Header Header

	d      *decoder
	packed *gzip.Reader
}

// NewReader reads the header of a backup. A file that is none, or is of a format
// that this program does not know, is an error that says so.
func NewReader(r io.Reader) (*Reader, error) {
	first := make([]byte, len(magic))
	if _, err := io.ReadFull(r, first); err != nil || string(first[:len(magicPrefix)]) != magicPrefix {
		return nil, errors.New("this is not a backup of Keystile")
	}
	if string(first) != magic {
		return nil, errors.New("the backup is of a newer format than this keystile knows; run the newer keystile")
	}
	packed, err := gzip.NewReader(r)
	if err != nil {
		return nil, damaged("%w", err)
	}
	in := &Reader{d: newDecoder(packed), packed: packed}
	frame, err := in.d.frame()
	if err != nil {
		return nil, err
	}
	if frame != frameHeader {
		return nil, damaged("it begins with frame %q", frame)
	}
	return in, in.d.json(&in.Header)
}

// Sink takes the tables and rows of a backup.
type Sink interface {
	// Table says which table the next rows are of.
	Table(ctx context.Context, t store.Table) error
	// Row takes a value for each column of the table: nil, int64, string, []byte or
	// bool. The slice is used again, what it refers to is not.
	Row(ctx context.Context, values []any) error
}

// Copy gives the backup's tables and rows to a sink, and verifies its end: the
// number of rows, the sum, and with open its seal. An error says that nothing of
// it may be believed.
func (in *Reader) Copy(ctx context.Context, to Sink, open func(sealed []byte, place string) ([]byte, error)) (rows int64, err error) {
	var values []any
	for {
		if err := ctx.Err(); err != nil {
			return rows, fmt.Errorf("read the backup: %w", err)
		}
		frame, err := in.d.frame()
		if err != nil {
			return rows, err
		}
		switch {
		case frame == frameTable:
			t, err := in.d.table()
			if err == nil {
				values = make([]any, len(t.Columns))
				err = to.Table(ctx, t)
			}
			if err != nil {
				return rows, err
			}
		case frame == frameRow && values != nil:
			rows++
			if err := in.d.row(values); err != nil {
				return rows, err
			}
			if err := to.Row(ctx, values); err != nil {
				return rows, err
			}
		case frame == frameEnd:
			return rows, in.end(rows, open)
		default:
			return rows, damaged("a frame %q", frame)
		}
	}
}

func (in *Reader) end(rows int64, open func([]byte, string) ([]byte, error)) error {
	sum := in.d.before
	var t trailer
	if err := in.d.json(&t); err != nil {
		return err
	}
	if t.Rows != rows || t.SHA256 != hex.EncodeToString(sum[:]) {
		return damaged("its checksum is another")
	}
	opened, err := open(t.Sealed, sealPlace)
	if err != nil || len(opened) != sha256.Size || [sha256.Size]byte(opened) != sum {
		return damaged("its seal is not of this store's keys")
	}
	// Reading on to the end also verifies the sum of the compression.
	if _, err := in.d.r.ReadByte(); !errors.Is(err, io.EOF) {
		return damaged("something follows its end")
	}
	return nil
}

// Nothing is a Sink that verifies a backup without keeping any of it.
type Nothing struct {
	// Progress is told of each row; may be nil.
	Progress func(rows int64)
}

// Table implements Sink.
func (Nothing) Table(context.Context, store.Table) error { return nil }

// Row implements Sink.
func (n Nothing) Row(context.Context, []any) error {
	if n.Progress != nil {
		n.Progress(1)
	}
	return nil
}

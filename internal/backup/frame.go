package backup

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"

	"keystile.dev/keystile/internal/store"
)

// magic is the first line of a backup, with the format's version.
const (
	magicPrefix = "keystile backup "
	magic       = magicPrefix + "1\n"
)

// Bounds on what a frame may claim, in bytes and in number.
const (
	maxJSON    = 1 << 20
	maxValue   = 64 << 20
	maxColumns = 1000
)

// Frames.
const (
	frameHeader = 'H'
	frameTable  = 'T'
	frameRow    = 'R'
	frameEnd    = 'E'
)

// Values.
const (
	valueNil   = '-'
	valueInt   = 'i'
	valueText  = 't'
	valueBytes = 'b'
	valueTrue  = '1'
	valueFalse = '0'
)

// encoder writes frames and sums what it has written.
type encoder struct {
	w   *bufio.Writer
	sum hash.Hash
	buf []byte
}

func newEncoder(w io.Writer) *encoder {
	return &encoder{w: bufio.NewWriterSize(w, 256<<10), sum: sha256.New()}
}

func (e *encoder) send() error {
	e.sum.Write(e.buf)
	_, err := e.w.Write(e.buf)
	e.buf = e.buf[:0]
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

func (e *encoder) json(frame byte, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	e.buf = append(e.buf, frame)
	e.buf = binary.AppendUvarint(e.buf, uint64(len(text)))
	e.buf = append(e.buf, text...)
	return e.send()
}

func (e *encoder) row(values []any) error {
	e.buf = append(e.buf, frameRow)
	for _, value := range values {
		switch v := value.(type) {
		case nil:
			e.buf = append(e.buf, valueNil)
		case int64:
			e.buf = binary.AppendVarint(append(e.buf, valueInt), v)
		case string:
			e.buf = binary.AppendUvarint(append(e.buf, valueText), uint64(len(v)))
			e.buf = append(e.buf, v...)
		case []byte:
			e.buf = binary.AppendUvarint(append(e.buf, valueBytes), uint64(len(v)))
			e.buf = append(e.buf, v...)
		case bool:
			is := byte(valueFalse)
			if v {
				is = valueTrue
			}
			e.buf = append(e.buf, is)
		default:
			return fmt.Errorf("write the backup: a value of type %T", value)
		}
	}
	return e.send()
}

// errDamaged is what every reading of a file that is not whole wraps.
var errDamaged = errors.New("the backup is damaged or was cut short")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errDamaged}, args...)...)
}

// decoder reads frames and sums what it has read.
type decoder struct {
	r   *bufio.Reader
	sum hash.Hash
	// before is the sum as it was before the frame that is being read.
	before [sha256.Size]byte
	one    [1]byte
}

func newDecoder(r io.Reader) *decoder {
	return &decoder{r: bufio.NewReaderSize(r, 256<<10), sum: sha256.New()}
}

// ReadByte implements io.ByteReader, for numbers.
func (d *decoder) ReadByte() (byte, error) {
	b, err := d.r.ReadByte()
	if err != nil {
		return 0, damaged("%w", err)
	}
	d.one[0] = b
	d.sum.Write(d.one[:])
	return b, nil
}

// frame reads the letter of the next frame.
func (d *decoder) frame() (byte, error) {
	d.sum.Sum(d.before[:0])
	return d.ReadByte()
}

// bytes reads a length, at most limit, and as many bytes. Memory grows with what
// is there, not with what is claimed.
func (d *decoder) bytes(limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(d)
	if err != nil {
		return nil, err
	}
	if n > limit || n > math.MaxInt32 {
		return nil, damaged("a length of %d", n)
	}
	raw, err := io.ReadAll(io.LimitReader(d.r, int64(n)))
	if err != nil {
		return nil, damaged("%w", err)
	}
	if uint64(len(raw)) < n {
		return nil, damaged("%w", io.ErrUnexpectedEOF)
	}
	d.sum.Write(raw)
	return raw, nil
}

func (d *decoder) json(into any) error {
	text, err := d.bytes(maxJSON)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return damaged("%w", err)
	}
	return nil
}

func (d *decoder) table() (t store.Table, err error) {
	if err := d.json(&t); err != nil {
		return t, err
	}
	if t.Name == "" || len(t.Columns) == 0 || len(t.Columns) > maxColumns {
		return t, damaged("a table %q of %d columns", t.Name, len(t.Columns))
	}
	return t, nil
}

func (d *decoder) row(values []any) error {
	for i := range values {
		var err error
		if values[i], err = d.value(); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) value() (any, error) {
	kind, err := d.ReadByte()
	if err != nil {
		return nil, err
	}
	switch kind {
	case valueNil:
		return nil, nil
	case valueInt:
		n, err := binary.ReadVarint(d)
		if err != nil {
			return nil, damaged("%w", err)
		}
		return n, nil
	case valueText:
		raw, err := d.bytes(maxValue)
		return string(raw), err
	case valueBytes:
		return d.bytes(maxValue)
	case valueTrue, valueFalse:
		return kind == valueTrue, nil
	}
	return nil, damaged("a value of kind %q", kind)
}

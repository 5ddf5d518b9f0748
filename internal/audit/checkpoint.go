package audit

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	keystile "keystile.dev/keystile"
)

// maxCheckpointLine bounds one line of a file of checkpoints in bytes.
const maxCheckpointLine = 64 << 10

// line is a checkpoint as a line of text.
type line struct {
	Chain     string                  `json:"chain"`
	Kind      keystile.CheckpointKind `json:"kind"`
	Seq       int64                   `json:"seq"`
	Hash      string                  `json:"hash"`
	At        time.Time               `json:"at"`
	Key       string                  `json:"key"`
	Signature []byte                  `json:"signature"`
}

// WriteCheckpoints writes one JSON object a line.
func WriteCheckpoints(w io.Writer, all []keystile.Checkpoint) error {
	enc := json.NewEncoder(w)
	for i := range all {
		c := &all[i]
		if err := enc.Encode(line{c.Chain, c.Kind, c.Seq, hex.EncodeToString(c.Hash[:]), c.At, c.KeyID, c.Signature}); err != nil {
			return fmt.Errorf("write a checkpoint: %w", err)
		}
	}
	return nil
}

// ReadCheckpoints reads what WriteCheckpoints wrote. Of a log in JSON it takes the
// lines that are checkpoints; a line that is no JSON object is an error, so that a
// damaged file does not pass for a shorter one.
func ReadCheckpoints(r io.Reader) ([]keystile.Checkpoint, error) {
	var all []keystile.Checkpoint
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxCheckpointLine)
	number := 0
	for lines.Scan() {
		number++
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		c, ok, err := readCheckpoint(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if ok {
			all = append(all, c)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", number+1, err)
	}
	return all, nil
}

func readCheckpoint(text []byte) (c keystile.Checkpoint, ok bool, err error) {
	var is struct {
		Signature json.RawMessage `json:"signature"`
	}
	if err := json.Unmarshal(text, &is); err != nil {
		return c, false, errors.New("it is no JSON object")
	}
	if is.Signature == nil {
		return c, false, nil
	}
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return c, false, errors.New("it is no checkpoint")
	}
	hash, err := hex.DecodeString(l.Hash)
	if err != nil || len(hash) != len(c.Hash) || l.Seq < 1 || l.Kind != keystile.CheckpointSeal && l.Kind != keystile.CheckpointBase {
		return c, false, errors.New("it is no checkpoint")
	}
	c = keystile.Checkpoint{Chain: l.Chain, Kind: l.Kind, Seq: l.Seq, At: l.At, KeyID: l.Key, Signature: l.Signature}
	copy(c.Hash[:], hash)
	return c, true, nil
}

// AppendCheckpoints adds checkpoints to a file, which is made with mode 0600 if
// it is not there, and returns once the disk has them.
func AppendCheckpoints(path string, all []keystile.Checkpoint) (err error) {
	f, err := os.OpenFile(filepath.Clean(path), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the file of checkpoints: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var text bytes.Buffer
	if err := WriteCheckpoints(&text, all); err != nil {
		return err
	}
	if _, err := f.Write(text.Bytes()); err != nil {
		return fmt.Errorf("write the file of checkpoints: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write the file of checkpoints: %w", err)
	}
	return nil
}

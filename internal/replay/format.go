package replay

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	keystile "keystile.dev/keystile"
)

// A segment of the journal is a header and records of one size, all of them
// little endian and each with a checksum (CRC-32C):
//
//	header  magic 8 | version 4 | reserved 4 | store 32 | epoch 16 | digest key 32 | number 8 |
//	        created 8 | floor 8 | refuse 8 | window 8 | reserved 4 | checksum 4      = 144
//	record  checksum 4 | kind 1 | reserved 3 | time 8 | scope 8 | key 16             = 40
//
// Times are Unix nanoseconds. A header is complete on disk before its file has
// its name, and a file is appended to by one process only. So after a kill only
// the last segment can be odd, and only by a part of a record at its end, or
// (power lost) by zeros where data should have come. Anything else is damage.
const (
	segmentMagic   = "KSTLRPLY"
	segmentVersion = 1
	headerBytes    = 144
	recordBytes    = 40
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header says whose journal a segment belongs to and what a reader must know even
// if all earlier segments are gone.
type header struct {
	store   [32]byte // digest of the store's id
	epoch   [16]byte
	key     [32]byte // of the digester
	number  uint64
	created int64
	floor   int64
	refuse  int64 // stamps up to it are refused; 0 for none
	window  int64
}

// storeDigest is how a header names a store.
func storeDigest(id string) [32]byte { return sha256.Sum256([]byte(id)) }

func (h *header) encode() []byte {
	b := make([]byte, 0, headerBytes)
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint32(b, segmentVersion)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = append(b, h.store[:]...)
	b = append(b, h.epoch[:]...)
	b = append(b, h.key[:]...)
	b = binary.LittleEndian.AppendUint64(b, h.number)
	for _, t := range [...]int64{h.created, h.floor, h.refuse, h.window} {
		b = binary.LittleEndian.AppendUint64(b, uint64(t)) //nolint:gosec // G115: bits, not a number
	}
	b = binary.LittleEndian.AppendUint32(b, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// errDamaged: the journal cannot be believed. What is lost is not known.
var errDamaged = errors.New("the journal is damaged")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errDamaged, fmt.Sprintf(format, args...))
}

func decodeHeader(b []byte) (h header, err error) {
	if len(b) != headerBytes || string(b[:8]) != segmentMagic {
		return h, damaged("a segment does not begin as one")
	}
	if sum := crc32.Checksum(b[:headerBytes-4], castagnoli); sum != binary.LittleEndian.Uint32(b[headerBytes-4:]) {
		return h, damaged("the checksum of a segment's header is wrong")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != segmentVersion {
		return h, fmt.Errorf("the journal of spent nonces has format %d and this program knows %d; run the version that wrote it: %w",
			v, segmentVersion, keystile.ErrConflict)
	}
	copy(h.store[:], b[16:])
	copy(h.epoch[:], b[48:])
	copy(h.key[:], b[64:])
	h.number = binary.LittleEndian.Uint64(b[96:])
	for i, t := range [...]*int64{&h.created, &h.floor, &h.refuse, &h.window} {
		*t = int64(binary.LittleEndian.Uint64(b[104+8*i:])) //nolint:gosec // G115: bits, not a number
	}
	if h.window <= 0 || h.window > int64(24*time.Hour) {
		return h, damaged("a segment's clock window is %v", time.Duration(h.window))
	}
	return h, nil
}

// The kinds of records.
const (
	recordClaim = 1 // time is LastValid
	recordFloor = 2 // time is the floor; the rest is zero
)

// appendRecord writes a record.
func appendRecord(b []byte, kind byte, m *mark) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0, kind, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.last)) //nolint:gosec // G115: bits, not a number
	b = binary.LittleEndian.AppendUint64(b, m.scope)
	b = append(b, m.key[:]...)
	binary.LittleEndian.PutUint32(b[at:], crc32.Checksum(b[at+4:], castagnoli))
	return b
}

func decodeRecord(b *[recordBytes]byte) (kind byte, m mark, ok bool) {
	if crc32.Checksum(b[4:], castagnoli) != binary.LittleEndian.Uint32(b[:4]) {
		return 0, m, false
	}
	m.last = int64(binary.LittleEndian.Uint64(b[8:])) //nolint:gosec // G115: bits, not a number
	m.scope = binary.LittleEndian.Uint64(b[16:])
	copy(m.key[:], b[24:])
	kind = b[4]
	return kind, m, kind == recordClaim || kind == recordFloor
}

// readSegment reads one segment, calling each for every record. end is where the
// last whole record ends; torn says that an unfinished write follows it.
func readSegment(from io.Reader, begin func(*header) error, each func(kind byte, m *mark)) (end int64, torn bool, err error) {
	in := bufio.NewReaderSize(from, 64<<10)
	var first [headerBytes]byte
	if _, err := io.ReadFull(in, first[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, false, damaged("a segment ends in its header")
		}
		return 0, false, fmt.Errorf("read the journal of spent nonces: %w", err)
	}
	h, err := decodeHeader(first[:])
	if err != nil {
		return 0, false, err
	}
	if err := begin(&h); err != nil {
		return 0, false, err
	}
	end = headerBytes
	var row [recordBytes]byte
	for {
		switch _, err := io.ReadFull(in, row[:]); {
		case errors.Is(err, io.EOF):
			return end, false, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return end, true, nil
		case err != nil:
			return end, false, fmt.Errorf("read the journal of spent nonces: %w", err)
		}
		kind, m, ok := decodeRecord(&row)
		if !ok {
			return end, true, onlyZeros(row[:], in, end)
		}
		each(kind, &m)
		end += recordBytes
	}
}

// onlyZeros says that a segment is damaged unless nothing but zeros follows.
func onlyZeros(row []byte, rest io.Reader, at int64) error {
	var room [4096]byte
	for piece := row; ; {
		if len(bytes.Trim(piece, "\x00")) > 0 {
			return damaged("a record at byte %d is unreadable", at)
		}
		n, err := rest.Read(room[:])
		piece = room[:n]
		if n == 0 && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the journal of spent nonces: %w", err)
		}
	}
}

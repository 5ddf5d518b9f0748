package replay

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"strings"
)

// Steps counts what purging looked at, ever.
func (m *Memory) Steps() (n int64) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += s.steps
		s.mu.Unlock()
	}
	return n
}

// DrainStep is how many expired nonces one claim takes out.
const DrainStep = drainStep

// Sizes of the journal's format.
const (
	HeaderBytes = headerBytes
	RecordBytes = recordBytes
)

// File is what a journal needs of a file.
type File = file

// WithFiles makes a journal write to what wrap makes of its files.
func WithFiles(o *JournalOptions, wrap func(File) File) {
	o.create = func(dir string, h *header) (file, error) {
		f, err := createSegment(dir, h)
		if err != nil {
			return nil, err
		}
		return wrap(f), nil
	}
}

// Scan reads a segment; -1 if it is damaged.
func Scan(from io.Reader) (records int, end int64, torn bool, err error) {
	end, torn, err = readSegment(from, func(*header) error { return nil }, func(byte, *mark) { records++ })
	return records, end, torn, err
}

// Segment writes a segment with so many claims.
func Segment(claims int) []byte {
	h := header{window: 60e9, number: 1}
	b := h.encode()
	for i := range claims {
		b = appendRecord(b, recordClaim, &mark{key: [16]byte{byte(i)}, last: int64(i)})
	}
	return b
}

// WithClockAt makes the script read its clock, in microseconds, from a key.
func WithClockAt(o *ValkeyOptions, key string) {
	const asks = "redis.call('TIME')"
	if strings.Count(claimScript, asks) != 1 {
		panic("claim.lua does not read its clock as it did")
	}
	o.script = strings.Replace(claimScript, asks,
		"{math.floor(redis.call('GET', '"+key+"') / 1000000), redis.call('GET', '"+key+"') % 1000000}", 1)
}

// ClaimForgetful claims as a node that has forgotten what it claimed itself.
func (v *Valkey) ClaimForgetful(ctx context.Context, n Nonce) error {
	k, err := v.memory.admit(&n, v.memory.now())
	if err != nil {
		return err
	}
	return v.ask(ctx, doClaim, &n, &k)
}

// OfVersion rewrites a segment as one of another format.
func OfVersion(version uint32) func([]byte) []byte {
	return func(b []byte) []byte {
		binary.LittleEndian.PutUint32(b[8:], version)
		binary.LittleEndian.PutUint32(b[headerBytes-4:], crc32.Checksum(b[:headerBytes-4], castagnoli))
		return b
	}
}

package proxy

import "sync"

// bufferSize is what one copy of a body holds in memory.
const bufferSize = 32 << 10

// buffers lends the buffers that bodies are copied through. It implements
// httputil.BufferPool.
type buffers struct{ pool sync.Pool }

// Get returns a buffer of bufferSize bytes with undefined contents.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, bufferSize)
}

// Put takes a buffer back.
func (b *buffers) Put(buf []byte) {
	if len(buf) == bufferSize {
		b.pool.Put((*[bufferSize]byte)(buf))
	}
}

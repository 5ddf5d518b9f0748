package chaos

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// cable carries connections to an engine, and can be cut: then what the program
// sees is what it sees when the engine dies.
type cable struct {
	t       *testing.T
	address string
	target  string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]struct{}
	carriers sync.WaitGroup
}

func newCable(t *testing.T, target string) *cable {
	t.Helper()
	c := &cable{t: t, target: target, address: "127.0.0.1:0", conns: map[net.Conn]struct{}{}}
	c.mend()
	c.address = c.listener.Addr().String()
	t.Cleanup(c.cut)
	return c
}

// mend listens, again on the same address.
func (c *cable) mend() {
	c.t.Helper()
	listener := must((&net.ListenConfig{}).Listen(c.t.Context(), "tcp", c.address))(c.t)
	c.mu.Lock()
	c.listener = listener
	c.mu.Unlock()
	c.carriers.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // cut
			}
			c.carriers.Go(func() { c.carry(conn) })
		}
	})
}

// cut ends every connection and listens no more.
func (c *cable) cut() {
	c.mu.Lock()
	if c.listener != nil {
		c.close(c.listener)
		c.listener = nil
	}
	for conn := range c.conns {
		c.close(conn)
	}
	c.mu.Unlock()
	c.carriers.Wait()
}

func (c *cable) close(what io.Closer) {
	if err := what.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		c.t.Errorf("cut a cable: %v", err)
	}
}

// plug remembers a connection; false: the cable is cut.
func (c *cable) plug(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listener == nil {
		c.close(conn)
		return false
	}
	c.conns[conn] = struct{}{}
	return true
}

func (c *cable) unplug(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, conn)
	c.close(conn)
}

func (c *cable) carry(here net.Conn) {
	if !c.plug(here) {
		return
	}
	defer c.unplug(here)
	there, err := net.Dial("tcp", c.target)
	if err != nil || !c.plug(there) {
		return
	}
	defer c.unplug(there)
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{here, there}, {there, here}} {
		go func() {
			defer func() { done <- struct{}{} }()
			if _, err := io.Copy(way[0], way[1]); err != nil {
				return // whatever ended it, the other way ends, too
			}
		}()
	}
	<-done
}

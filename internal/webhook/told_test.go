package webhook

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestThreat33_APartnerHearsNothingOfThisSidesNetwork(t *testing.T) {
	here := &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 40000}
	for _, c := range []struct {
		err  error
		says string
	}{
		{&net.DNSError{Err: "no such host", Name: "hooks.example.com", Server: "10.1.2.3:53", IsNotFound: true}, "has no address"},
		{&net.DNSError{Err: "i/o timeout", Name: "hooks.example.com", Server: "10.1.2.3:53", IsTimeout: true}, "could not be looked up"},
		{&net.OpError{Op: "read", Net: "tcp", Source: here, Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "connection reset"},
		{errors.New("certificate is for example.org"), "example.org"},
	} {
		if got := told(fmt.Errorf("send: %w", c.err)); !strings.Contains(got, c.says) || strings.Contains(got, "10.1.2.3") {
			t.Errorf("%v is told as %q", c.err, got)
		}
	}
}

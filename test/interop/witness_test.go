package interop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// witness stands between a proxy and keystile, writes down what is asked, and
// passes both ways what it was given.
type witness struct {
	address string
	to      string
	client  *http.Transport
	mu      sync.Mutex
	asked   []http.Header
	gone    bool
}

func startWitness(to string) (*witness, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &witness{address: l.Addr().String(), to: to, client: &http.Transport{DisableCompression: true}}
	server := &http.Server{Handler: w, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Println("witness:", err)
		}
	}()
	teardown.add(func() error {
		w.client.CloseIdleConnections()
		return server.Close()
	})
	return w, nil
}

// take returns the header fields of the questions asked since the last take.
func (w *witness) take() []http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.asked
	w.asked = nil
	return all
}

// away makes it hang up on whoever asks, as if keystile were not there.
func (w *witness) away(gone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = gone
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.asked = append(w.asked, r.Header.Clone())
	gone := w.gone
	w.mu.Unlock()
	if gone {
		panic(http.ErrAbortHandler)
	}

	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", w.to, ""
	answer, err := w.client.RoundTrip(out)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadGateway)
		return
	}
	for name, values := range answer.Header {
		rw.Header()[name] = values
	}
	rw.WriteHeader(answer.StatusCode)
	_, copyErr := io.Copy(rw, answer.Body)
	if err := errors.Join(copyErr, answer.Body.Close()); err != nil {
		fmt.Println("witness:", err)
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// requests are HTTP/1.1 requests as bytes, sent in turn.
type requests [][]byte

// generate sends requests over keep-alive connections for a while and counts
// the answers. Each must be 200: a refusal would be measured as if it were one.
func generate(ctx context.Context, s subject, connections int, d time.Duration) (answered int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var wg sync.WaitGroup
	var total atomic.Int64
	errs := make([]error, connections)
	for i := range connections {
		wg.Go(func() {
			// Each connection starts elsewhere in the set and walks all of it.
			n, err := exchange(ctx, s.server.address, s.requests, i*len(s.requests)/connections)
			total.Add(n)
			errs[i] = err
		})
	}
	wg.Wait()
	return total.Load(), errors.Join(errs...)
}

func exchange(ctx context.Context, address string, all requests, next int) (answered int64, err error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	in := bufio.NewReaderSize(c, 4096)
	for ; ctx.Err() == nil; next++ {
		if _, err := c.Write(all[next%len(all)]); err != nil {
			return answered, err
		}
		if err := readAnswer(in); err != nil {
			return answered, err
		}
		answered++
	}
	return answered, nil
}

var (
	statusOK      = []byte("HTTP/1.1 200")
	contentLength = []byte("Content-Length: ")
)

// readAnswer reads an answer with a Content-Length, and nothing more than a
// load generator needs of it.
func readAnswer(in *bufio.Reader) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, statusOK) {
		return fmt.Errorf("the answer is %q", bytes.TrimSpace(line))
	}
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, contentLength); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if _, err := in.Discard(length); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// sendAll sends each request once over one connection.
func sendAll(ctx context.Context, address string, all requests) (err error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	in := bufio.NewReaderSize(c, 4096)
	for _, request := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := c.Write(request); err != nil {
			return err
		}
		if err := readAnswer(in); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// client is one keep-alive connection that sends prepared requests. It does as
// little as it can, so that the servers get the cores.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte // of the last answer
}

func dial(ctx context.Context, address string) (*client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

// do sends a request and reads the answer's status and body.
func (c *client) do(request []byte) (status int, err error) {
	if _, err := c.conn.Write(request); err != nil {
		return 0, err
	}
	line, err := c.in.ReadSlice('\n')
	if err == nil && len(line) < 12 {
		err = fmt.Errorf("%q is not a status line", line)
	}
	if err != nil {
		return 0, err
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, err
	}
	length := 0
	for {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte(": ")); ok && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		}
	}
	c.body = slices.Grow(c.body[:0], length)[:length]
	for read := 0; read < length; {
		n, err := c.in.Read(c.body[read:])
		if err != nil {
			return 0, err
		}
		read += n
	}
	return status, nil
}

// target is one kind of request to one server.
type target struct {
	address string
	status  int // expected
	// request appends the n-th request of a client to b.
	request func(b []byte, client, n int) []byte
	// settled returns when nothing is left to do for what was answered; nil: at once.
	settled func(context.Context) error
}

// result is what a run of a target measured.
type result struct {
	perSecond float64
	p50, p99  time.Duration
	settling  time.Duration // of the run, after the last answer
}

// load sends requests over so many connections for a while.
func load(ctx context.Context, t target, clients int, length time.Duration) (result, error) {
	until := time.Now().Add(length)
	return loadWhile(ctx, t, clients, func(now time.Time) bool { return now.Before(until) })
}

// loadWhile sends requests over so many connections, each one after more said
// yes; more is called by many goroutines. The time until the target has settled
// belongs to the run.
func loadWhile(ctx context.Context, t target, clients int, more func(now time.Time) bool) (result, error) {
	var mu sync.Mutex
	var all []time.Duration
	var failure error
	var wg sync.WaitGroup
	began := time.Now()
	for n := range clients {
		wg.Go(func() {
			took, err := loadOne(ctx, t, n, more)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if err != nil {
				failure = err
			}
		})
	}
	wg.Wait()
	answered := time.Since(began)
	if failure == nil && t.settled != nil {
		failure = t.settled(ctx)
	}
	took := time.Since(began)
	if failure != nil {
		return result{}, failure
	}
	slices.Sort(all)
	return result{perSecond: float64(len(all)) / took.Seconds(), p50: quantile(all, 0.5), p99: quantile(all, 0.99), settling: took - answered}, nil
}

func loadOne(ctx context.Context, t target, n int, more func(now time.Time) bool) ([]time.Duration, error) {
	c, err := dial(ctx, t.address)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	var all []time.Duration
	var request []byte
	for i, now := 0, time.Now(); ctx.Err() == nil && more(now); i++ {
		request = t.request(request[:0], n, i)
		status, err := c.do(request)
		if err != nil {
			return nil, err
		}
		if status != t.status {
			return nil, fmt.Errorf("%s answered %d, want %d: %s", t.address, status, t.status, c.body)
		}
		then := now
		now = time.Now()
		all = append(all, now.Sub(then))
	}
	return all, ctx.Err()
}

// quantile of sorted durations; 0 of none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func median[T int | float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

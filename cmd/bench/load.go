package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// client is one keep-alive connection of Go's own HTTP client, as a caller would
// have it. It costs more than bare reads and writes of prepared bytes would, and E
// pays for it as well; with those, E is half as high again and the ratio of an
// attach a third lower.
type client struct {
	address string
	http    *http.Client
	body    bytes.Buffer // of the last answer
}

func dial(address string) *client {
	return &client{address: address, http: &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, DisableCompression: true}}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// request is what a client sends; body and key may be empty.
type request struct{ method, path, body, key string }

// do sends a request and reads the answer's status and body.
func (c *client) do(ctx context.Context, r request) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, r.method, "http://"+c.address+r.path, strings.NewReader(r.body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+benchKey)
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	c.body.Reset()
	_, err = c.body.ReadFrom(resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

// target is one kind of request to one server.
type target struct {
	address string
	status  int                         // expected
	request func(client, n int) request // the n-th of a client
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
	c := dial(t.address)
	defer c.close()
	var all []time.Duration
	for i, now := 0, time.Now(); ctx.Err() == nil && more(now); i++ {
		status, err := c.do(ctx, t.request(n, i))
		if err != nil {
			return nil, err
		}
		if status != t.status {
			return nil, fmt.Errorf("%s answered %d, want %d: %s", t.address, status, t.status, c.body.Bytes())
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

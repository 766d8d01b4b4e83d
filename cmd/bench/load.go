package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// client is one keep-alive connection of Go's own HTTP client, as a caller would
// have it. E pays for it as everything does. Measured with 64 of them, in nine
// interleaved rounds: bare connections that write prepared bytes and skip answers
// get 1.8 times as much from E and from a get, and 1.1 times from an attach, whose
// ratio to E would be a third lower.
type client struct {
	address  string
	http     *http.Client
	body     bytes.Buffer // of the last answer
	status   int          // of the last answer
	replayed bool         // said the last answer
}

func dial(address string) *client {
	return &client{address: address, http: &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, DisableCompression: true}}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// request is what a client sends, and what the answer must contain. Body, key and
// want may be empty.
type request struct {
	method, path, body, key string
	want                    string
	times                   int  // that want occurs; 0: at least once
	replay                  bool // the answer must say that it is one
	number                  int  // for answered
}

// do sends a request and reads the answer.
func (c *client) do(ctx context.Context, r request) error {
	c.status = 0
	req, err := http.NewRequestWithContext(ctx, r.method, "http://"+c.address+r.path, strings.NewReader(r.body))
	if err != nil {
		return err
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
		return err
	}
	c.body.Reset()
	c.status, c.replayed = resp.StatusCode, resp.Header.Get("Idempotency-Replayed") != ""
	_, err = c.body.ReadFrom(resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// expect sends a request and checks the answer.
func (c *client) expect(ctx context.Context, r request, status int) error {
	if err := c.do(ctx, r); err != nil {
		return err
	}
	right := c.status == status && (!r.replay || c.replayed)
	if r.times > 0 {
		right = right && bytes.Count(c.body.Bytes(), []byte(r.want)) == r.times
	} else {
		right = right && bytes.Contains(c.body.Bytes(), []byte(r.want))
	}
	if !right {
		return fmt.Errorf("%s %s at %s answered %d (replayed: %t), want %d with %q: %s", r.method, r.path, c.address, c.status, c.replayed, status, r.want, c.body.Bytes())
	}
	return nil
}

// target is one kind of request to one server.
type target struct {
	address string
	status  int                         // expected
	request func(client, n int) request // the n-th of a client
	// answered is called with each answer's request and time, by many goroutines; nil: not at all.
	answered func(request, time.Time)
	// refused counts the answers 503, which are not errors then; nil: they are.
	refused *atomic.Int64
	// settled returns when nothing is left to do for what was answered; nil: at once.
	settled func(context.Context) error
}

// result is what a run of a target measured.
type result struct {
	perSecond float64
	latencies latencies
	settling  time.Duration // of the run, after the last answer
}

func (r result) String() string {
	if r.settling == 0 {
		return r.latencies.String()
	}
	return fmt.Sprintf("%s, settled %s after", r.latencies, r.settling.Round(time.Millisecond))
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
	return collect(ctx, t, clients, func(n int) ([]time.Duration, error) { return loadOne(ctx, t, n, more) })
}

// collect runs one for each client, all at once, and sums up what they measured.
func collect(ctx context.Context, t target, clients int, one func(n int) ([]time.Duration, error)) (result, error) {
	took := make([][]time.Duration, clients)
	failed := make([]error, clients)
	var wg sync.WaitGroup
	began := time.Now()
	for n := range clients {
		wg.Go(func() { took[n], failed[n] = one(n) })
	}
	wg.Wait()
	answered := time.Since(began)
	for _, err := range failed {
		if err != nil {
			return result{}, err
		}
	}
	if t.settled != nil {
		if err := t.settled(ctx); err != nil {
			return result{}, err
		}
	}
	all := time.Since(began)
	r := result{latencies: newLatencies(), settling: all - answered}
	for _, one := range took {
		for _, d := range one {
			r.latencies.record(d)
		}
	}
	r.perSecond = float64(r.latencies.count()) / all.Seconds()
	if t.settled == nil {
		r.settling = 0
	}
	return r, nil
}

func loadOne(ctx context.Context, t target, n int, more func(now time.Time) bool) ([]time.Duration, error) {
	c := dial(t.address)
	defer c.close()
	var all []time.Duration
	for i, now := 0, time.Now(); ctx.Err() == nil && more(now); i++ {
		r := t.request(n, i)
		err := c.expect(ctx, r, t.status)
		then := now
		now = time.Now()
		if err != nil && t.refused != nil && c.status == http.StatusServiceUnavailable {
			t.refused.Add(1)
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, now.Sub(then))
		if t.answered != nil {
			t.answered(r, now)
		}
	}
	return all, ctx.Err()
}

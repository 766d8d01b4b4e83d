package main

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// openClients is how many requests an open loop has on their way, at most. What
// comes while all are taken waits, and its latency grows.
const openClients = 128

// openLoop sends requests at a fixed rate, whatever the answers do. A latency is
// counted from the moment at which the request was to be sent, so that a server
// that stands still is late for all that came meanwhile.
func openLoop(ctx context.Context, t target, perSecond float64, length time.Duration) (result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	clients := make([]*client, openClients)
	for n := range clients {
		clients[n] = dial(t.address)
		defer clients[n].close()
		// What it answers to this does not matter; the connection is there then.
		if err := clients[n].do(ctx, getRequest("/", "")); err != nil {
			return result{}, err
		}
	}
	count := max(int(perSecond*length.Seconds()), 1)
	due := make(chan time.Time, count)
	go arrive(ctx, due, count, time.Duration(float64(time.Second)/perSecond))
	return collect(ctx, t, openClients, func(n int) ([]time.Duration, error) {
		took, err := answerDue(ctx, t, n, clients[n], due)
		if err != nil {
			cancel()
		}
		return took, err
	})
}

// arrive sends the times at which requests are due, each one when it has come. A
// thread of its own sleeps exactly: timers of the runtime would be late by up to a
// millisecond.
func arrive(ctx context.Context, due chan<- time.Time, count int, gap time.Duration) {
	defer close(due)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := time.Now()
	for n := range count {
		at := began.Add(time.Duration(n) * gap)
		for wait := time.Until(at); wait > 0 && ctx.Err() == nil; wait = time.Until(at) {
			ts := unix.NsecToTimespec(wait.Nanoseconds())
			_ = unix.Nanosleep(&ts, nil) // an interrupted one is repeated
		}
		if ctx.Err() != nil {
			return
		}
		due <- at
	}
}

func answerDue(ctx context.Context, t target, n int, c *client, due <-chan time.Time) ([]time.Duration, error) {
	var all []time.Duration
	i := 0
	for at := range due {
		r := t.request(n, i)
		if err := c.expect(ctx, r, t.status); err != nil {
			return nil, err
		}
		now := time.Now()
		all = append(all, now.Sub(at))
		if t.answered != nil {
			t.answered(r, now)
		}
		i++
	}
	return all, ctx.Err()
}

package main

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/pmledger/pmledger/api"
	"github.com/pmledger/pmledger/eventstore"
)

const (
	// lookEvery is how often the log's head is asked for, at most.
	lookEvery = time.Second
	// lookTimeout bounds one question.
	lookTimeout = 2 * time.Second
	// maxLooks bounds how many heads that the views have not reached are kept.
	maxLooks = 1024
)

// freshness watches how far the views are behind the log, in time: it looks at the
// log's head now and then, and notes when the views have reached it. Views that are
// slow, views that have halted and a log that does not answer all show as age.
type freshness struct {
	head    func(context.Context) (eventstore.Position, error)
	reached func() eventstore.Position // by the views
	most    time.Duration              // --max-lag
	now     func() time.Time

	mu        sync.Mutex
	pending   []look // not reached yet, oldest first
	confirmed time.Time
	cutOff    error // why the log did not answer the last time
}

// look is the log's head as of a moment. What was appended before it is not after
// the head.
type look struct {
	at   time.Time
	head eventstore.Position
}

// run looks at the log until ctx ends.
func (f *freshness) run(ctx context.Context) error {
	tick := time.NewTicker(min(lookEvery, f.most/5))
	defer tick.Stop()
	for {
		f.look(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (f *freshness) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	at := f.now()
	head, err := f.head(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cutOff = err
	f.settle()
	if err == nil && len(f.pending) < maxLooks {
		f.pending = append(f.pending, look{at, head})
	}
}

// settle takes off the list what the views have reached. The caller holds mu.
func (f *freshness) settle() {
	position, n := f.reached(), 0
	for n < len(f.pending) && f.pending[n].head <= position {
		f.confirmed = f.pending[n].at
		n++
	}
	f.pending = append(f.pending[:0], f.pending[n:]...)
}

// state is what is known now. Until the views have caught up for the first time
// they are behind by more than any bound.
func (f *freshness) state() api.Freshness {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	known := api.Freshness{Behind: math.MaxInt64, CutOff: f.cutOff != nil}
	if !f.confirmed.IsZero() {
		known.Behind = f.now().Sub(f.confirmed)
	}
	return known
}

// ready says whether the views are recent enough for reads to be sent here.
func (f *freshness) ready() api.Check {
	s := f.state()
	check := api.Check{Name: "views", OK: s.Behind <= f.most}
	switch {
	case s.Behind == math.MaxInt64:
		check.Detail = "they have not caught up with the log yet"
	case !check.OK:
		check.Detail = fmt.Sprintf("they show the log as it was %s ago, which is more than --max-lag %s", s.Behind.Round(time.Millisecond), f.most)
	}
	return check
}

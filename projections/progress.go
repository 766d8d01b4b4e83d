package projections

import (
	"context"
	"math"
	"sync"
	"sync/atomic"

	"github.com/pmledger/pmledger/eventstore"
)

// progress wakes those who wait for the views to get somewhere.
type progress struct {
	applied  atomic.Uint64 // position reached by every projection
	messages atomic.Uint64 // position of the last public event

	mu      sync.Mutex
	changed chan struct{} // closed at the next change; nil while nobody waits
}

// change returns a channel that is closed when anything changes after the call.
func (p *progress) change() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

func (p *progress) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// publishProgress shows readers and waiters what the projections have reached.
func (v *Views) publishProgress() {
	lowest := eventstore.Position(math.MaxUint64)
	for _, p := range v.projections {
		lowest = min(lowest, p.mark.Load().position)
	}
	v.progress.applied.Store(uint64(lowest))
	v.progress.messages.Store(uint64(v.customers.published))
	v.progress.wake()
}

// Position is the position up to which every projection has applied the log.
func (v *Views) Position() eventstore.Position {
	return eventstore.Position(v.progress.applied.Load())
}

// Wait returns when every projection has applied the log up to p: from then on
// every read shows it. It returns a *HaltedError when a projection has halted
// before p, ErrClosed when the views are closed, and ctx.Err() when ctx ends.
func (v *Views) Wait(ctx context.Context, p eventstore.Position) error {
	for v.Position() < p {
		changed := v.progress.change()
		if v.Position() >= p {
			return nil
		}
		if err := v.cannotReach(p); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
	return nil
}

// cannotReach tells why the views will not get to p.
func (v *Views) cannotReach(p eventstore.Position) error {
	for _, projection := range v.projections {
		if halted := projection.halted.Load(); halted != nil && projection.mark.Load().position < p {
			return halted
		}
	}
	if err := v.enter(); err != nil {
		return err
	}
	v.leave()
	return nil
}

// WaitMessages returns when there is a public event after the given position. Its
// errors are those of Wait; a halt counts when it is that of the events.
func (v *Views) WaitMessages(ctx context.Context, after eventstore.Position) error {
	for v.LastMessage() <= after {
		changed := v.progress.change()
		if v.LastMessage() > after {
			return nil
		}
		if halted := v.customersProjection.halted.Load(); halted != nil {
			return halted
		}
		if err := v.enter(); err != nil {
			return err
		}
		v.leave()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
	return nil
}

// LastMessage is the position of the last public event, 0 for none.
func (v *Views) LastMessage() eventstore.Position {
	return eventstore.Position(v.progress.messages.Load())
}

package kurrent

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/planted"
)

// Follow implements eventstore.Store. It is one subscription to the ledger's
// streams in $all. When it is dropped, another one begins after the last record
// that was yielded, or as far behind it as the server has looked for the next one,
// however often and for however long that fails; only ctx,
// Close, a position that this log does not have, and a refusal of the server end
// it. What is read ahead for a slow follower is bounded; then the server waits.
func (s *Store) Follow(ctx context.Context, after eventstore.Position) iter.Seq2[[]eventstore.Record, error] {
	return func(yield func([]eventstore.Record, error) bool) {
		f := follower{store: s, at: place{own: after}}
		for tries := 0; ; tries++ {
			before := f.at
			left, err := f.run(ctx, yield)
			if left {
				return
			}
			switch {
			case f.at.beyond() && isBadPlace(err):
				f.at.seen = nil // it was another node's word
				continue
			case f.at.reached() > before.reached():
				tries, f.vain = 0, 0
			case errors.Is(err, errBehind):
				f.vain++
			}
			if final := f.final(ctx, err); final != nil {
				yield(nil, final)
				return
			}
			if planted.FollowFromHead.Here() {
				f.at.own, _ = s.horizon.known()
			}
			s.o.Logger.Warn("following the event store was interrupted", "after", f.at.own, "error", err)
			s.cluster.pause(ctx, tries)
		}
	}
}

// follower is one Follow.
type follower struct {
	store  *Store
	at     place
	placed bool // at is known to be a place in this log
	vain   int  // subscriptions given up in a row that brought nothing
}

// idle is how long a follower hears nothing before it begins to doubt. It takes
// longer each time that giving up did not help: the next record may be long and the
// way slow.
func (f *follower) idle() time.Duration { return f.store.o.ReadTimeout << min(f.vain, 6) }

// final is the error that ends the following, or nil.
func (f *follower) final(ctx context.Context, err error) error {
	switch {
	case f.store.cluster.isClosed():
		return eventstore.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case f.at.own > 0 && isBadPlace(err):
		return fmt.Errorf("position %d is no record's place in this log (%w): %w", f.at.own, err, eventstore.ErrAhead)
	case isTransient(err), errors.Is(err, eventstore.ErrUnavailable),
		errors.Is(err, errBehind), errors.Is(err, errNoMore), errors.Is(err, errMoved):
		return nil
	default:
		return err
	}
}

// run follows over one subscription. It returns true when yield wants no more.
func (f *follower) run(ctx context.Context, yield func([]eventstore.Record, error) bool) (left bool, err error) {
	if err := f.store.cluster.wait(ctx); err != nil {
		return false, err
	}
	if err := f.place(ctx); err != nil {
		return false, err
	}
	sub, err := f.store.subscribe(ctx, f.at)
	if err != nil {
		return false, err
	}
	defer sub.end()
	doubt := doubts{follower: f, wait: f.idle()}
	asking, stop := context.WithCancel(ctx)
	defer doubt.asked.Wait()
	defer stop()
	for {
		batch, seen, err := sub.next(ctx, doubt.wait)
		further := seen.GetCommitPosition() > f.at.seen.GetCommitPosition()
		f.at.seen = seen
		switch {
		case errors.Is(err, errQuiet) && further:
			doubt.end() // it searches
			continue
		case errors.Is(err, errQuiet):
			if err := doubt.grow(asking); err != nil {
				f.store.cluster.heed(sub.link, &lostError{cause: err})
				return false, err
			}
			continue
		case err != nil:
			return false, err
		}
		doubt.end()
		f.at.own = batch[len(batch)-1].Position
		if !yield(batch, nil) {
			return true, nil
		}
	}
}

// place checks that the follower does not begin after the head. The server would
// not say so: it would pass over what comes up to there. A node that lags behind
// cannot know, nor can a leader that was cut off; so before the answer is believed,
// the nodes are asked once more who the leader is.
func (f *follower) place(ctx context.Context) error {
	if f.placed {
		return nil
	}
	head, _ := f.store.horizon.known()
	for again := range 2 {
		if f.at.own <= head {
			break
		}
		if again > 0 {
			f.store.cluster.renew()
		}
		var err error
		if head, err = f.store.Head(ctx); err != nil {
			return err
		}
	}
	if f.at.own > head {
		return fmt.Errorf("%w: %d is asked for, %d is the head", eventstore.ErrAhead, f.at.own, head)
	}
	f.placed = true
	return nil
}

// doubts are what a follower has that hears nothing. A connection that carries
// nothing, and a node that was cut off from its cluster, look just like an idle log.
// So the leader is asked for its head once in a while. What is there may take a
// moment to come; then the node is given up.
type doubts struct {
	*follower
	wait     time.Duration // for the next record
	expected bool          // it was known before the last wait that there is one
	asked    sync.WaitGroup
}

// grow is told that nothing came for as long as was waited. It returns errBehind
// when something should have.
func (d *doubts) grow(ctx context.Context) error {
	idle := d.idle()
	known, _ := d.store.horizon.known()
	switch {
	case known > d.at.own && d.expected:
		return errBehind
	case known > d.at.own:
		d.expected, d.wait = true, idle/5
	case d.wait == idle:
		d.wait = idle / 5
		d.asked.Go(func() { _, _ = d.store.Head(ctx) }) // the horizon learns from it, when it can be asked
	default:
		d.wait = idle
	}
	return nil
}

// end is told that something came.
func (d *doubts) end() { d.wait, d.expected = d.idle(), false }

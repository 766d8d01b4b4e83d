package kurrent_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/kurrent"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

const (
	writers   = 32
	readers   = 4
	followers = 2
	// pace is how long a writer rests between two appends.
	pace = 30 * time.Millisecond
	// hasty is how long every eighth writer waits for an append, whatever the store
	// would.
	hasty = 150 * time.Millisecond
	// settling is how long everything may take to go on once the trouble is over.
	settling = 15 * time.Second
)

// world is a store with many callers, of whom each knows what it may expect.
type world struct {
	server *kurrenttest.Server
	store  *kurrent.Store
	limit  time.Duration // what the store promises to be back within
	grace  time.Duration // what a busy machine may add

	ctx      context.Context // ends the callers between two calls
	stop     context.CancelFunc
	work     sync.WaitGroup
	follow   sync.WaitGroup
	unfollow context.CancelFunc

	acked   [writers]atomic.Uint64 // records that were acknowledged, by stream
	reached [followers]atomic.Uint64
	calls   sync.Map // what is under way: a *call

	mu        sync.Mutex
	abandoned map[uuid.UUID]string // appends that surely did not happen
	figures   figures
	wrong     []string
}

// figures are a row of the table.
type figures struct {
	appended, unavailable, unknown, gaveUp int // appends by how they ended
	read, unread                           int // reads that succeeded and failed
	followed                               int
	slowestAppend, slowestRead             time.Duration
	lost, doubled, hung                    int
}

// call is one call under way.
type call struct {
	what  string
	began time.Time
	bound time.Duration
}

func streamOf(writer int) string { return fmt.Sprintf("customer-acme+w%d", writer) }

// newWorld starts the callers on a store that is reached by a connection string.
func newWorld(server *kurrenttest.Server, connection string, limit, grace time.Duration) (*world, error) {
	opening, cancel := context.WithTimeout(context.Background(), settling)
	defer cancel()
	store, err := kurrent.Open(opening, connection, kurrent.Options{AppendTimeout: limit, ReadTimeout: limit, Gap: 100 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	w := &world{server: server, store: store, limit: limit, grace: grace, abandoned: map[uuid.UUID]string{}}
	w.ctx, w.stop = context.WithCancel(context.Background())
	var following context.Context
	following, w.unfollow = context.WithCancel(context.Background())
	for i := range writers {
		w.work.Go(func() { w.write(i) })
	}
	for i := range readers {
		w.work.Go(func() { w.read(i) })
	}
	for i := range followers {
		w.follow.Go(func() { w.pursue(following, i) })
	}
	return w, nil
}

// fault notes what must not be.
func (w *world) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wrong) < 10 {
		w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
	}
}

func (w *world) count(f func(*figures)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.figures)
}

// timed makes a call and checks that it comes back in time.
func (w *world) timed(what string, bound time.Duration, do func() error) (time.Duration, error) {
	c := &call{what: what, began: time.Now(), bound: bound}
	w.calls.Store(c, nil)
	err := do()
	w.calls.Delete(c)
	took := time.Since(c.began)
	if took > bound+w.grace {
		w.count(func(f *figures) { f.hung++ })
		w.fault("%s took %v, its bound is %v: %v", what, took, bound, err)
	}
	return took, err
}

// write appends to a stream of its own until the world stops. An append of unknown
// outcome is repeated as it was; one that surely did not happen is never tried
// again, and another one is made in its place.
func (w *world) write(i int) {
	name := streamOf(i)
	next := records(1 + i%3)
	for maybe := false; w.rest(); {
		bound, ctx, cancel := w.limit, context.Background(), func() {}
		if i%8 == 0 {
			bound = hasty
			ctx, cancel = context.WithTimeout(ctx, bound)
		}
		version := w.acked[i].Load()
		took, err := w.timed("an append", bound, func() error {
			defer cancel()
			_, err := w.store.Append(ctx, name, version, next)
			return err
		})
		w.count(func(f *figures) { f.slowestAppend = max(f.slowestAppend, took) })
		switch {
		case err == nil:
			w.acked[i].Add(uint64(len(next)))
			next, maybe = records(1+i%3), false
			w.count(func(f *figures) { f.appended++ })
		case errors.Is(err, eventstore.ErrUnknownOutcome):
			maybe = true
			w.count(func(f *figures) { f.unknown++ })
		case errors.Is(err, context.DeadlineExceeded) && bound == hasty:
			maybe = true
			w.count(func(f *figures) { f.gaveUp++ })
		case errors.Is(err, eventstore.ErrUnavailable) && maybe: // speaks of this call only
			w.count(func(f *figures) { f.unavailable++ })
		case errors.Is(err, eventstore.ErrUnavailable):
			w.abandon(next, err)
			next = records(1 + i%3)
		default:
			w.fault("append to %s at %d: %v", name, version, err)
			return
		}
	}
}

// abandon notes an append that the store says did not happen.
func (w *world) abandon(r []eventstore.NewRecord, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.figures.unavailable++
	for _, one := range r {
		w.abandoned[one.ID] = err.Error()
	}
}

// rest waits for the next append. It is false once the world has stopped.
func (w *world) rest() bool {
	timer := time.NewTimer(pace)
	defer timer.Stop()
	select {
	case <-w.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// read reads streams whole: without gaps, and with all that was acknowledged before.
func (w *world) read(i int) {
	for ; w.rest(); i++ {
		name := streamOf(i % writers)
		least := w.acked[i%writers].Load()
		last := uint64(0)
		took, err := w.timed("a read", w.limit, func() error {
			ctx, cancel := context.WithTimeout(context.Background(), w.limit)
			defer cancel()
			for r, err := range w.store.Stream(ctx, name, 1) {
				if err != nil {
					return err
				}
				if last++; r.Version != last || r.Stream != name {
					return fmt.Errorf("version %d of %s came, not %d of %s", r.Version, r.Stream, last, name)
				}
			}
			if last < least {
				return fmt.Errorf("%s has %d records, %d were acknowledged", name, last, least)
			}
			return nil
		})
		w.count(func(f *figures) { f.slowestRead = max(f.slowestRead, took) })
		switch {
		case err == nil:
			w.count(func(f *figures) { f.read++ })
		case errors.Is(err, eventstore.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
			w.count(func(f *figures) { f.unread++ })
		default:
			w.fault("read: %v", err)
			return
		}
	}
}

// pursue follows the log from its beginning: every stream without a gap, in order.
func (w *world) pursue(ctx context.Context, i int) {
	versions := map[string]uint64{}
	var last eventstore.Position
	for batch, err := range w.store.Follow(ctx, 0) {
		if err != nil {
			if ctx.Err() == nil {
				w.fault("the following ended: %v", err)
			}
			return
		}
		for _, r := range batch {
			versions[r.Stream]++
			if r.Version != versions[r.Stream] || r.Position <= last {
				w.fault("version %d of %s at %d was followed after %d; want version %d", r.Version, r.Stream, r.Position, last, versions[r.Stream])
				return
			}
			last = r.Position
		}
		w.reached[i].Store(uint64(last))
		w.count(func(f *figures) { f.followed += len(batch) })
	}
}

// progress waits until every writer has had some more appends acknowledged.
func (w *world) progress(appends uint64) bool {
	var from [writers]uint64
	for i := range from {
		from[i] = w.acked[i].Load()
	}
	return eventually(func() bool {
		for i := range from {
			if w.acked[i].Load() < from[i]+appends*uint64(1+i%3) {
				return false
			}
		}
		return true
	})
}

// eventually waits until something is so, as long as it may take to settle.
func eventually(so func() bool) bool {
	for end := time.Now().Add(settling); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// finish stops the callers, lets the followers arrive, and compares the log of the
// server with what everyone was told.
func (w *world) finish() (figures, []string) {
	w.stop()
	stopped := make(chan struct{})
	go func() { w.work.Wait(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(settling):
		w.calls.Range(func(key, _ any) bool {
			c := key.(*call)
			w.fault("%s hangs for %v, its bound is %v", c.what, time.Since(c.began), c.bound)
			w.count(func(f *figures) { f.hung++ })
			return true
		})
	}
	head := lastOfOurs(w.server)
	if !eventually(func() bool { return w.reached[0].Load() >= head && w.reached[1].Load() >= head }) {
		w.fault("the followers are at %d and %d, the head is %d", w.reached[0].Load(), w.reached[1].Load(), head)
	}
	w.unfollow()
	w.follow.Wait()
	if err := w.store.Close(); err != nil {
		w.fault("close: %v", err)
	}
	w.compare()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.figures, w.wrong
}

func lastOfOurs(server *kurrenttest.Server) uint64 {
	last := uint64(0)
	for _, r := range server.All() {
		if strings.HasPrefix(r.Stream, "customer-") {
			last = r.Position
		}
	}
	return last
}

// compare looks for records that were acknowledged and are not there, that are
// there twice, and that are there although the store had said otherwise.
func (w *world) compare() {
	seen := map[uuid.UUID]bool{}
	for _, r := range w.server.All() {
		if seen[r.ID] {
			w.count(func(f *figures) { f.doubled++ })
		}
		seen[r.ID] = true
		if why, given := w.abandoned[r.ID]; given {
			w.fault("a record is in %s whose append did not happen: %s", r.Stream, why)
		}
	}
	for i := range writers {
		there, acked := uint64(len(w.server.Records(streamOf(i)))), w.acked[i].Load()
		if there < acked {
			w.count(func(f *figures) { f.lost += int(acked - there) })
		}
		if most := acked + uint64(1+i%3); there > most {
			w.fault("%s has %d records, at most %d were appended", streamOf(i), there, most)
		}
	}
}

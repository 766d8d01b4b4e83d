package projections

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/planted"
	"github.com/pmledger/pmledger/gateway"
)

// WorkerOptions are the parts of a Worker. Those without a default are required.
type WorkerOptions struct {
	Views    *Views
	Ledger   *eventstore.Ledger
	Gateways map[string]gateway.Gateway // by provider
	Policy   PolicyFunc
	// ReturnURL is where a provider sends the buyer of a setup intent back to.
	// The intent's version is that of the record that asks the gateway. Nil: "".
	ReturnURL func(*domain.SetupIntent) string
	Logger    *slog.Logger     // nil discards
	Now       func() time.Time // real time, for pauses; nil: the machine's
	Random    func() float64   // in [0, 1), for pauses; nil: the machine's

	Timeout     time.Duration // of one gateway call; 0: 10 s
	Concurrency int           // items per gateway at once; 0: 8
	Attempts    int           // without an answer before an item is given up; 0: 300, a day and a bit
	Grace       time.Duration // before Run touches what Do is for; 0: 15 s
}

// Pauses between attempts double from the first to the last; half of each is
// left to chance, so that what failed together does not return together.
const (
	firstPause = time.Second
	lastPause  = 5 * time.Minute
)

// Worker does the gateway work on the list: it asks the gateway, with the id of
// the event that brought the item as idempotency key, and records the answer with
// an ordinary command, whose id follows from that event too. The event that
// follows takes the item off the list. So it may stop between any two steps, and
// any number of workers may do the same item: the provider sees one effect, and
// the log one answer.
//
// A gateway without an answer is asked again after pauses from 1 s to 5 min. How
// often it was is kept in memory: a restart begins to count afresh.
type Worker struct {
	o WorkerOptions

	// reading is held by who reads the list, mu never while that lasts: requests
	// wait for mu.
	reading sync.Mutex
	list    func(after eventstore.Position, most int) ([]work, error)
	seen    eventstore.Position // of the last item that was read
	begun   bool                // the list was read to its end once

	mu     sync.Mutex
	lanes  map[string]*lane            // by provider: one that is slow holds up no other
	claims map[uuid.UUID]chan struct{} // items being done, by event; closed when done
	ended  chan struct{}               // something was settled

	uncanceled atomic.Int64
}

// NewWorker makes a worker. Run or Step make it work; Do works at any time.
func NewWorker(o WorkerOptions) *Worker {
	if o.ReturnURL == nil {
		o.ReturnURL = func(*domain.SetupIntent) string { return "" }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.Concurrency = cmp.Or(o.Concurrency, 8)
	o.Attempts = cmp.Or(o.Attempts, 300)
	o.Grace = cmp.Or(o.Grace, 15*time.Second)
	return &Worker{o: o, list: o.Views.dueWork, lanes: map[string]*lane{}, claims: map[uuid.UUID]chan struct{}{}, ended: make(chan struct{}, 1)}
}

// Run does what comes up until ctx ends, and then returns nil. It begins when the
// views have caught up with the log: what was done long ago is not looked at.
func (w *Worker) Run(ctx context.Context) error {
	if !awaitHead(ctx, w.o.Views, w.o.Ledger, w.o.Logger) {
		return nil
	}
	var running sync.WaitGroup
	defer running.Wait()
	for {
		changed := w.o.Views.progress.change()
		var next time.Time
		if err := w.intake(w.o.Now()); err != nil {
			w.o.Logger.Error("the list of gateway work cannot be read", "error", err)
			next = w.o.Now().Add(lastRetry)
		}
		for {
			t, ok, soonest := w.take(w.o.Now())
			if !ok {
				next = earliest(next, soonest)
				break
			}
			running.Go(func() { w.settle(t, w.attempt(ctx, t), w.o.Now()) })
		}
		if !w.pause(ctx, next, changed) {
			return nil
		}
	}
}

// awaitHead waits until the views show what the log held at the call.
func awaitHead(ctx context.Context, v *Views, ledger *eventstore.Ledger, log *slog.Logger) bool {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		head, err := ledger.Head(ctx)
		if err == nil {
			err = v.Wait(ctx, head)
		}
		if err == nil || ctx.Err() != nil {
			return ctx.Err() == nil
		}
		log.Error("the to-do list is not up to date, and nothing is done by itself until it is", "error", err)
		if !sleep(ctx, pause) {
			return false
		}
	}
}

func (w *Worker) pause(ctx context.Context, until time.Time, changed <-chan struct{}) bool {
	var timer <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(max(until.Sub(w.o.Now()), 0))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-w.ended:
	case <-timer:
	}
	return true
}

// Step does one item that may be done at now, if there is one, and tells when
// there will be another; zero: not as things stand. err is what became of the
// item: it stays on the list and will be tried again.
func (w *Worker) Step(ctx context.Context, now time.Time) (did bool, next time.Time, err error) {
	if err := w.intake(now); err != nil {
		return false, time.Time{}, err
	}
	t, ok, next := w.take(now)
	if !ok {
		return false, next, nil
	}
	err = w.attempt(ctx, t)
	w.settle(t, err, now)
	return true, now, err
}

// attempt does an item of the view once.
func (w *Worker) attempt(ctx context.Context, t *task) error {
	due, err := w.o.Views.isDue(t.work)
	if err != nil || !due {
		return err
	}
	_, err = w.perform(ctx, t.work, t.silent+1 >= w.o.Attempts)
	if recorded := (*recordedError)(nil); errors.As(err, &recorded) || errors.Is(err, errNotDue) {
		return nil
	}
	return err
}

// settle puts an item back that is not done.
func (w *Worker) settle(t *task, err error, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.lane(t.provider)
	l.running--
	if err != nil && !planted.ForgetUnanswered.Here() {
		if unanswered := (*unansweredError)(nil); errors.As(err, &unanswered) {
			t.silent++
		}
		full := min(firstPause<<min(t.failures, 16), lastPause)
		t.failures++
		t.at = now.Add(full/2 + time.Duration(w.o.Random()*float64(full/2)))
		heap.Push(&l.tasks, t)
		w.o.Logger.Warn("gateway work is not done yet and will be tried again", "work", t.kind.String(), "provider", t.provider,
			"subject", t.subject, "event", domain.EventID(t.event), "failures", t.failures, "next", t.at, "error", err)
	}
	select {
	case w.ended <- struct{}{}:
	default:
	}
}

// Do does at once what the events of a command call for, and returns the result
// of the command that records the gateway's answer; when nothing is called for,
// that of the command itself. Repeated, it returns the same result, and asks no
// gateway.
//
// Errors: a *gateway.Error when the gateway did not answer: the item stays on
// the list, Run goes on, and the result is the command's own. The refusal that
// domain.RefusalIn finds in the answer, with its result. Those of Ledger.Execute.
func (w *Worker) Do(ctx context.Context, stream string, r eventstore.Result) (eventstore.Result, error) {
	first := r.Version - uint64(len(r.Events)) + 1
	for i, e := range r.Events {
		kind, subject, ok := brought(e)
		if !ok || kind == workDetach {
			continue
		}
		item, err := w.itemAt(ctx, stream, first+uint64(i), kind, subject)
		if err != nil {
			return r, err
		}
		after, err := w.perform(ctx, item, false)
		if errors.Is(err, errNotDue) {
			return r, nil
		}
		if unanswered := (*unansweredError)(nil); errors.As(err, &unanswered) {
			return r, unanswered.err
		}
		if recorded := (*recordedError)(nil); errors.As(err, &recorded) {
			return after, recorded.refusal
		}
		if err != nil {
			return r, err
		}
		return after, nil
	}
	return r, nil
}

// itemAt reads the record that brought an item.
func (w *Worker) itemAt(ctx context.Context, stream string, version uint64, kind workKind, subject string) (work, error) {
	for r, err := range w.o.Views.store.Stream(ctx, stream, version) {
		if err != nil {
			return work{}, err
		}
		e, meta, err := eventstore.DecodeRecord(r)
		if err != nil {
			return work{}, err
		}
		return itemOf(kind, subject, "", Change{Record: r, Event: e, Meta: meta}), nil
	}
	return work{}, errMissing
}

// claim waits until nobody else in this process does the item.
func (w *Worker) claim(ctx context.Context, event uuid.UUID) (release func(), err error) {
	for {
		w.mu.Lock()
		busy := w.claims[event]
		if busy == nil {
			done := make(chan struct{})
			w.claims[event] = done
			w.mu.Unlock()
			return func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				delete(w.claims, event)
				close(done)
			}, nil
		}
		w.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-busy:
		}
	}
}

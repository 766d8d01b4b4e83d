package projections

import (
	"container/heap"
	"time"

	"github.com/pmledger/pmledger/eventstore"
)

const (
	// intakeItems is how many items are read from the list at once.
	intakeItems = 1024
	// laneTasks bounds the tasks of one provider that wait in memory, about half
	// a kilobyte each. What comes behind them stays on the list until half of them
	// are done: after an outage that may be any number.
	laneTasks = 64 << 10
)

// task is an item and what became of it so far.
type task struct {
	work
	at       time.Time // not before
	failures int       // of any kind, for the pause
	silent   int       // attempts that the gateway did not answer
}

// lane holds the items of one provider, and counts those being done.
type lane struct {
	tasks   taskHeap
	running int
	read    eventstore.Position // of the last item that became a task
	left    int                 // items behind it, left on the list when they were read
}

// intake reads what has come onto the list, and what was left there for lanes that
// have room again.
func (w *Worker) intake(now time.Time) error {
	w.reading.Lock()
	defer w.reading.Unlock()
	for {
		items, err := w.list(w.seen, intakeItems)
		if err != nil {
			return err
		}
		w.accept(items, now)
		if len(items) < intakeItems {
			break
		}
	}
	w.begun = true
	for provider, l := range w.drained() {
		if err := w.refill(provider, l, now); err != nil {
			return err
		}
	}
	return nil
}

// accept makes tasks of items that are read for the first time.
func (w *Worker) accept(items []work, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, item := range items {
		w.seen = item.position
		if l := w.lane(item.provider); l.left > 0 || !l.takes(item) {
			l.left++
		} else {
			l.push(item, now.Add(w.delay(item, w.begun)))
		}
	}
}

// drained are the lanes that have room for what was left on the list.
func (w *Worker) drained() map[string]*lane {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := map[string]*lane{}
	for provider, l := range w.lanes {
		if l.left > 0 && len(l.tasks) < laneTasks/2 {
			found[provider] = l
		}
	}
	return found
}

// refill goes on reading for a lane where it was full.
func (w *Worker) refill(provider string, l *lane, now time.Time) error {
	for after := l.read; ; {
		items, err := w.list(after, intakeItems)
		if err != nil {
			return err
		}
		if w.resume(provider, l, items, now) {
			return nil
		}
		after = items[len(items)-1].position
	}
}

// resume makes tasks of items that were left for a lane, and tells whether there
// is no need to read on: the lane is full, or nothing is left.
func (w *Worker) resume(provider string, l *lane, items []work, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, item := range items {
		switch {
		case item.position > w.seen:
			l.left = 0
			return true
		case item.provider != provider:
		case !l.takes(item):
			return true
		default:
			l.push(item, now.Add(w.delay(item, false)))
			l.left = max(l.left-1, 1) // others may have done some: only the end tells
		}
	}
	if len(items) < intakeItems {
		l.left = 0
		return true
	}
	return false
}

// takes tells whether the lane has room. What one record brought stays together:
// the list is read from one position on.
func (l *lane) takes(item work) bool { return len(l.tasks) < laneTasks || item.position == l.read }

func (l *lane) push(item work, at time.Time) {
	heap.Push(&l.tasks, &task{work: item, at: at})
	l.read = item.position
}

// delay is how long an item waits after it was read from the list. What Do is for
// is left to it for a while if the item has just come. Of a pending method the
// gateway was asked a moment ago. And a call whose answer nobody has may still be on
// its way, from another process perhaps: what it begins is canceled once it must
// have ended.
func (w *Worker) delay(item work, justCame bool) time.Duration {
	switch {
	case item.unanswered:
		return 2 * w.o.Timeout
	case justCame && item.kind == workSync:
		return min(firstPause, w.o.Grace)
	case justCame && item.kind != workDetach && !item.kind.cancels():
		return w.o.Grace
	default:
		return 0
	}
}

func (w *Worker) lane(provider string) *lane {
	l := w.lanes[provider]
	if l == nil {
		l = &lane{}
		w.lanes[provider] = l
	}
	return l
}

// take takes the item that may be done longest, or tells when the next may be.
func (w *Worker) take(now time.Time) (*task, bool, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var first *lane
	for _, l := range w.lanes {
		if len(l.tasks) > 0 && l.running < w.o.Concurrency && (first == nil || l.tasks[0].before(first.tasks[0])) {
			first = l
		}
	}
	if first == nil {
		return nil, false, time.Time{}
	}
	if at := first.tasks[0].at; at.After(now) {
		return nil, false, at
	}
	first.running++
	return heap.Pop(&first.tasks).(*task), true, now
}

package disk

import (
	"sync"

	"github.com/pmledger/pmledger/eventstore"
)

// queue holds the requests that wait for the writer.
type queue struct {
	mu      sync.Mutex
	waiting []*request
	closed  bool
	filled  chan struct{} // holds a token when the writer should look

	// free are requests to use again: an Append costs no channel then.
	free sync.Pool
}

func (q *queue) init() {
	q.filled = make(chan struct{}, 1)
	q.free.New = func() any { return &request{done: make(chan struct{}, 1)} }
}

func (q *queue) put(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return eventstore.ErrClosed
	}
	q.waiting = append(q.waiting, r)
	q.signal()
	return nil
}

func (q *queue) signal() {
	select {
	case q.filled <- struct{}{}:
	default:
	}
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// withdraw takes r back unless the writer has it already.
func (q *queue) withdraw(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	r.withdrawn = !r.taken
	return r.withdrawn
}

// take moves what one commit holds to batch, waiting for the first. It returns
// false when the queue is closed and empty.
func (q *queue) take(batch []*request) ([]*request, bool) {
	for {
		q.mu.Lock()
		n, size := 0, 0
		for n < len(q.waiting) && size < commitBytes {
			if r := q.waiting[n]; !r.withdrawn {
				r.taken = true
				size += r.size
				batch = append(batch, r)
			}
			n++
		}
		rest := copy(q.waiting, q.waiting[n:])
		clear(q.waiting[rest:])
		q.waiting = q.waiting[:rest]
		ended := q.closed && rest == 0
		if rest > 0 {
			q.signal()
		}
		q.mu.Unlock()
		if len(batch) > 0 || ended {
			return batch, len(batch) > 0
		}
		<-q.filled
	}
}

// release gives r back for another Append.
func (q *queue) release(r *request) {
	clear(r.entries)
	clear(r.parts)
	*r = request{parts: r.parts[:0], entries: r.entries[:0], done: r.done}
	q.free.Put(r)
}

package disk

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pmledger/pmledger/eventstore"
)

const (
	// tailRecords and tailBytes bound the newest part of the log that is kept in
	// memory: some hundred milliseconds of full load, so that a reader that
	// keeps up never asks the database.
	tailRecords = 8192
	tailBytes   = 16 << 20

	// batchRecords and batchBytes bound what Follow yields at once.
	batchRecords = 512
	batchBytes   = 1 << 20
)

// tail is the newest part of the log, and what wakes those who wait for more.
// All of it is durable.
type tail struct {
	durable atomic.Uint64 // position of the last durable record

	mu      sync.Mutex
	records []eventstore.Record // dense in position, ending at durable
	bytes   int
	grown   chan struct{} // closed when the tail grows; nil while nobody waits
	closed  bool
}

func (t *tail) init(last eventstore.Position) { t.durable.Store(uint64(last)) }

func (t *tail) head() eventstore.Position { return eventstore.Position(t.durable.Load()) }

// add appends records that have just become durable and wakes the waiting.
func (t *tail) add(batch []*request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range batch {
		if r.err != nil {
			continue
		}
		for i := range r.entries {
			t.records = append(t.records, r.entries[i].record)
			t.bytes += len(r.entries[i].value)
		}
	}
	if len(t.records) == 0 {
		return
	}
	t.durable.Store(uint64(t.records[len(t.records)-1].Position))
	if len(t.records) > tailRecords || t.bytes > tailBytes {
		t.trim()
	}
	t.wake()
}

// trim drops the older half by count and by bytes. Dropping much and seldom
// keeps the cost per record small.
func (t *tail) trim() {
	drop, kept := 0, t.bytes
	for drop < len(t.records) && (len(t.records)-drop > tailRecords/2 || kept > tailBytes/2) {
		kept -= recordBytes(&t.records[drop])
		drop++
	}
	t.records = append(make([]eventstore.Record, 0, tailRecords+tailRecords/4), t.records[drop:]...)
	t.bytes = kept
}

// recordBytes is the length of r as stored.
func recordBytes(r *eventstore.Record) int {
	return fixedSize + len(r.Stream) + len(r.Type) + len(r.Metadata) + len(r.Data) + crcSize
}

func (t *tail) wake() {
	if t.grown != nil {
		close(t.grown)
		t.grown = nil
	}
}

func (t *tail) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.wake()
}

// after returns the records that follow a position, as far as one batch holds
// them. Without any there is a reason: the tail begins later (neither batch nor
// grown), or there is none yet (grown, closed when there may be).
func (t *tail) after(p eventstore.Position) (batch []eventstore.Record, grown <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.head()
	switch {
	case t.closed:
		return nil, nil, eventstore.ErrClosed
	case p > last:
		return nil, nil, eventstore.ErrAhead
	case p == last:
		if t.grown == nil {
			t.grown = make(chan struct{})
		}
		return nil, t.grown, nil
	}
	missing := uint64(last - p)
	if missing > uint64(len(t.records)) {
		return nil, nil, nil
	}
	batch = t.records[len(t.records)-int(missing):]
	size, n := 0, 0
	for n < len(batch) && n < batchRecords && (n == 0 || size < batchBytes) {
		size += recordBytes(&batch[n])
		n++
	}
	return slices.Clone(batch[:n]), nil, nil
}

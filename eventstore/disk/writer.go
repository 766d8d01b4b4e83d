package disk

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/planted"
)

// commitBytes bounds what one sync commits, so that the first in a long queue
// does not wait for the last. One append may exceed it alone.
const commitBytes = 4 << 20

// entry is a record on its way into the log: as stored, and as read.
type entry struct {
	record eventstore.Record
	value  []byte
}

// part is what a request appends to one stream.
type part struct {
	stream  string
	version uint64 // that the caller expects
	records int
}

// request is one Append, or one AppendAll, on its way through the writer.
type request struct {
	parts   []part
	entries []entry // of all parts, in their order
	size    int     // bytes of all entries as stored

	taken     bool // by the writer; guarded by the queue
	withdrawn bool // by the caller; guarded by the queue

	// The answer, valid after done: the position of the last record, or an
	// error. conflicting is where the stream ended, for a *ConflictError.
	position    eventstore.Position
	err         error
	conflicting head
	done        chan struct{} // holds one token when the answer is there
}

// writer is the state of the one goroutine that writes.
type writer struct {
	*Store
	last    eventstore.Position // of the log, the batch in the making included
	pending map[string]head     // heads as they will be after the commit
	seen    map[string]head     // of the request at hand, see fits
	key     []byte
	value   []byte
	taken   []*request
}

// write runs until the store closes.
func (s *Store) write(last eventstore.Position) {
	w := &writer{Store: s, last: last, pending: make(map[string]head), seen: make(map[string]head)}
	defer close(s.stopped)
	// A fatal error ends this goroutine in the middle of a commit. Whoever
	// waits then must hear that nobody knows.
	defer w.abandon()
	for {
		batch, ok := s.queue.take(w.taken[:0])
		w.taken = batch
		if !ok {
			return
		}
		if !w.commit(batch) {
			return
		}
		clear(batch)
		w.taken = batch[:0]
	}
}

// commit writes batch with one sync and answers it. It returns false, and
// answers nobody, when the log has failed: in this commit, or in something else
// that the engine was doing.
func (w *writer) commit(batch []*request) bool {
	b := w.db.NewBatch()
	for _, r := range batch {
		w.stage(b, r)
	}
	for stream, h := range w.pending {
		w.key = headKey(w.key, stream)
		w.value = appendHead(w.value, w.key, h)
		_ = b.Set(w.key, w.value, nil) // a batch without an index cannot fail to grow
	}
	if !b.Empty() {
		durability := pebble.Sync
		if planted.SkipSync.Here() {
			durability = pebble.NoSync
		}
		if err := b.Commit(durability); err != nil {
			w.fail(err)
		}
		if w.failure.Load() != nil {
			return false
		}
		w.heads.put(w.pending)
		w.tail.add(batch)
		clear(w.pending)
	}
	_ = b.Close() // nothing of it is read again
	for _, r := range batch {
		r.done <- struct{}{}
	}
	return true
}

// stage gives r its place in the log and in b, or the error it ends with. Nothing
// of r is staged when one of its parts cannot be.
func (w *writer) stage(b *pebble.Batch, r *request) {
	if r.err = w.fits(r); r.err != nil {
		return
	}
	entries := r.entries
	for _, p := range r.parts {
		h, ok := w.pending[p.stream]
		if !ok {
			h = w.seen[p.stream]
		}
		for i := range entries[:p.records] {
			e := &entries[i]
			w.last++
			e.record.Position = w.last
			seal(e.value, w.last, h.last)
			w.key = recordKey(w.key, w.last)
			_ = b.Set(w.key, e.value, nil) // as above
			if planted.SplitAppend.Here() {
				_ = w.db.Set(w.key, e.value, pebble.Sync)
			}
			h = head{version: e.record.Version, last: w.last}
		}
		w.pending[p.stream] = h
		entries = entries[p.records:]
	}
	r.position = w.last
}

// fits checks that every stream stands where the parts of r expect it, each part
// after the ones before it. It notes in seen where the streams end.
func (w *writer) fits(r *request) error {
	clear(w.seen)
	for _, p := range r.parts {
		h, ok := w.seen[p.stream]
		if !ok {
			if h, ok = w.pending[p.stream]; !ok {
				var err error
				if h, err = w.streamHead(p.stream); err != nil {
					return err
				}
			}
		}
		if h.version != p.version && !planted.SkipExpectedVersion.Here() {
			r.conflicting = h
			return &eventstore.ConflictError{Stream: p.stream, Expected: p.version, Actual: h.version}
		}
		h.version += uint64(p.records)
		w.seen[p.stream] = h
	}
	return nil
}

// abandon answers everybody when the writer ends for good.
func (w *writer) abandon() {
	w.queue.close()
	for _, r := range w.taken {
		r.err = fmt.Errorf("%w: %w", eventstore.ErrUnknownOutcome, w.unusable())
		r.done <- struct{}{}
	}
	for {
		batch, ok := w.queue.take(nil)
		if !ok {
			return
		}
		for _, r := range batch {
			r.err = w.unusable()
			r.done <- struct{}{}
		}
	}
}

// Append implements eventstore.Store. Data and metadata are copied. The records
// of one call may take up to 8 MiB as stored.
func (s *Store) Append(ctx context.Context, stream string, version uint64, records []eventstore.NewRecord) (eventstore.Position, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := checkAppend(stream, records); err != nil {
		return 0, err
	}
	r := s.queue.free.Get().(*request)
	r.add(stream, version, records)
	at, err := s.submit(ctx, r)
	if conflict := (*eventstore.ConflictError)(nil); errors.As(err, &conflict) {
		return s.repeated(ctx, conflict, at, records)
	}
	return at.last, err
}

// submit hands r to the writer and waits for the answer: the position, or the
// error. With a *ConflictError it returns where the stream ended.
func (s *Store) submit(ctx context.Context, r *request) (head, error) {
	if err := s.unusable(); err != nil {
		return head{}, err
	}
	if s.opt.readOnly {
		return head{}, errReadOnly
	}
	if err := s.gate.Check(); err != nil && !planted.SkipGate.Here() {
		return head{}, err
	}
	s.gate.Spend(r.size)
	if err := s.queue.put(r); err != nil {
		if failed := s.unusable(); failed != nil {
			return head{}, failed
		}
		return head{}, err
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		if s.queue.withdraw(r) {
			return head{}, ctx.Err()
		}
		return head{}, fmt.Errorf("%w: %w", eventstore.ErrUnknownOutcome, ctx.Err())
	}
	at, err := head{last: r.position}, r.err
	if err != nil {
		at = r.conflicting
	}
	s.queue.release(r)
	return at, err
}

// checkAppend refuses what no log can hold.
func checkAppend(stream string, records []eventstore.NewRecord) error {
	if len(records) == 0 {
		return errors.New("an append needs at least one record")
	}
	if stream == "" || len(stream) > maxName {
		return fmt.Errorf("the name of a stream has 1 to %d bytes, not %d", maxName, len(stream))
	}
	size := 0
	for i := range records {
		if n := len(records[i].Type); n > maxName {
			return fmt.Errorf("the name of a record's type has up to %d bytes, not %d", maxName, n)
		}
		size += encodedSize(stream, &records[i])
	}
	if size > maxAppendBytes {
		return fmt.Errorf("an append holds up to %d bytes, not %d", maxAppendBytes, size)
	}
	return nil
}

// add encodes the records of one part for the writer, in one piece of memory that
// the tail keeps afterwards.
func (r *request) add(stream string, version uint64, records []eventstore.NewRecord) {
	r.parts = append(r.parts, part{stream: stream, version: version, records: len(records)})
	size := 0
	for i := range records {
		size += encodedSize(stream, &records[i])
	}
	r.size += size
	buf := make([]byte, 0, size)
	for i := range records {
		n, start := &records[i], len(buf)
		v := version + uint64(i) + 1
		buf = encode(buf, stream, v, n)
		value := buf[start:len(buf):len(buf)]
		data := len(value) - crcSize - len(n.Data)
		meta := data - len(n.Metadata)
		r.entries = append(r.entries, entry{value: value, record: eventstore.Record{
			ID: n.ID, Stream: stream, Version: v, Type: n.Type,
			Metadata: value[meta:data:data], Data: value[data : data+len(n.Data) : data+len(n.Data)],
		}})
	}
}

// repeated turns a conflict into the first answer when exactly these records
// already stand at the place they are meant for.
func (s *Store) repeated(ctx context.Context, conflict *eventstore.ConflictError, at head, records []eventstore.NewRecord) (eventstore.Position, error) {
	n := uint64(len(records))
	if conflict.Expected >= at.version || n > at.version-conflict.Expected {
		return 0, conflict
	}
	var dec decoder
	var found eventstore.Position
	for p := at.last; p != 0; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		r, back, err := s.record(&dec, p)
		if err != nil {
			return 0, err
		}
		if r.Version <= conflict.Expected {
			return found, nil
		}
		if i := r.Version - conflict.Expected - 1; i < n {
			if r.ID != records[i].ID && !planted.RepeatByVersion.Here() {
				return 0, conflict
			}
			if i == n-1 {
				found = p
			}
		}
		p = back
	}
	return found, nil
}

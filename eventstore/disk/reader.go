package disk

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/eventstore"
)

// streamBytes bounds what Stream keeps of a long stream while it looks for its
// beginning.
const streamBytes = 4 << 20

// Head implements eventstore.Store. It reads nothing.
func (s *Store) Head(ctx context.Context) (eventstore.Position, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.guard.RLock()
	defer s.guard.RUnlock()
	if s.closed {
		return 0, eventstore.ErrClosed
	}
	return s.tail.head(), nil
}

// streamHead finds the end of a stream, which may not be durable yet.
func (s *Store) streamHead(stream string) (head, error) {
	h, ok, forgotten := s.heads.get(stream)
	if ok {
		return h, nil
	}
	h, err := s.storedHead(stream)
	if err == nil {
		s.heads.learn(stream, h, forgotten)
	}
	return h, err
}

func (s *Store) storedHead(stream string) (head, error) {
	var scratch [128]byte
	key := headKey(scratch[:0], stream)
	s.guard.RLock()
	defer s.guard.RUnlock()
	if s.closed {
		return head{}, eventstore.ErrClosed
	}
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return head{}, nil
	}
	if err != nil {
		return head{}, fmt.Errorf("reading the head of stream %s: %w", stream, err)
	}
	h, err := decodeHead(key, value)
	return h, errors.Join(err, closer.Close())
}

// record reads the record at p and its back link.
func (s *Store) record(dec *decoder, p eventstore.Position) (eventstore.Record, eventstore.Position, error) {
	var scratch [recordKeyLen]byte
	s.guard.RLock()
	defer s.guard.RUnlock()
	if s.closed {
		return eventstore.Record{}, 0, eventstore.ErrClosed
	}
	value, closer, err := s.db.Get(recordKey(scratch[:0], p))
	if errors.Is(err, pebble.ErrNotFound) {
		return eventstore.Record{}, 0, damagedRecord(p, "it is missing")
	}
	if err != nil {
		return eventstore.Record{}, 0, fmt.Errorf("reading the record at position %d: %w", p, err)
	}
	r, back, err := dec.decode(bytes.Clone(value), p)
	return r, back, errors.Join(err, closer.Close())
}

// Stream implements eventstore.Store. A stream is found from its end, one point
// read per record, so it costs what it is long; of a very long one the
// positions are kept and most records are read twice.
func (s *Store) Stream(ctx context.Context, stream string, from uint64) iter.Seq2[eventstore.Record, error] {
	durable, err := s.Head(ctx)
	var end head
	if err == nil {
		end, err = s.streamHead(stream)
	}
	return func(yield func(eventstore.Record, error) bool) {
		r := streamReader{store: s, name: stream, durable: durable, from: max(from, 1)}
		if err := cmp.Or(err, ctx.Err()); err != nil {
			yield(eventstore.Record{}, err)
			return
		}
		if err := r.find(ctx, end); err != nil {
			yield(eventstore.Record{}, err)
			return
		}
		r.yield(ctx, yield)
	}
}

// streamReader reads one stream from its end to its beginning and yields it the
// other way round.
type streamReader struct {
	store   *Store
	name    string
	durable eventstore.Position // of the log, when the read began
	from    uint64
	dec     decoder

	at     []eventstore.Position // newest first
	oldest []eventstore.Record   // what was read at the last len(oldest) of at
	bytes  int                   // of oldest
}

// find reads back from end. Records that are not yet durable are passed over.
func (r *streamReader) find(ctx context.Context, end head) error {
	version := end.version
	for p := end.last; p != 0 && version >= r.from; version-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, back, err := r.read(p, version)
		if err != nil {
			return err
		}
		if p <= r.durable {
			if r.bytes += recordBytes(&rec); r.bytes > streamBytes {
				clear(r.oldest)
				r.oldest, r.bytes = r.oldest[:0], recordBytes(&rec)
			}
			r.at, r.oldest = append(r.at, p), append(r.oldest, rec)
		}
		p = back
	}
	return nil
}

// read reads the record at p, which must be the stream's record of that version.
func (r *streamReader) read(p eventstore.Position, version uint64) (eventstore.Record, eventstore.Position, error) {
	rec, back, err := r.store.record(&r.dec, p)
	if err != nil {
		return eventstore.Record{}, 0, err
	}
	if rec.Stream != r.name || rec.Version != version || back >= p || (back == 0) != (version == 1) {
		return eventstore.Record{}, 0, damagedRecord(p, fmt.Sprintf("it is not version %d of stream %s, or not linked to the one before", version, r.name))
	}
	return rec, back, nil
}

// yield hands over what find found, oldest first.
func (r *streamReader) yield(ctx context.Context, yield func(eventstore.Record, error) bool) {
	version := r.from
	for i := len(r.at) - 1; i >= 0; i-- {
		if err := ctx.Err(); err != nil {
			yield(eventstore.Record{}, err)
			return
		}
		var rec eventstore.Record
		if n := len(r.oldest) - (len(r.at) - i); n >= 0 {
			rec, r.oldest[n] = r.oldest[n], eventstore.Record{}
		} else {
			var err error
			if rec, _, err = r.read(r.at[i], version); err != nil {
				yield(eventstore.Record{}, err)
				return
			}
		}
		if !yield(rec, nil) {
			return
		}
		version++
	}
}

// Follow implements eventstore.Store. A reader that keeps up is served from
// memory; one that does not holds nothing open between its batches.
func (s *Store) Follow(ctx context.Context, after eventstore.Position) iter.Seq2[[]eventstore.Record, error] {
	return func(yield func([]eventstore.Record, error) bool) {
		var dec decoder
		at := after
		for {
			batch, err := s.next(ctx, &dec, at)
			if err != nil {
				yield(nil, err)
				return
			}
			at = batch[len(batch)-1].Position
			if !yield(batch, nil) {
				return
			}
		}
	}
}

// next waits for the records after a position.
func (s *Store) next(ctx context.Context, dec *decoder, after eventstore.Position) ([]eventstore.Record, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		batch, grown, err := s.tail.after(after)
		if err != nil || len(batch) > 0 {
			return batch, err
		}
		if grown == nil {
			return s.history(dec, after)
		}
		select {
		case <-ctx.Done():
		case <-grown:
		}
	}
}

// history reads one batch after a position from the database.
func (s *Store) history(dec *decoder, after eventstore.Position) (batch []eventstore.Record, err error) {
	s.guard.RLock()
	defer s.guard.RUnlock()
	if s.closed {
		return nil, eventstore.ErrClosed
	}
	last := s.tail.head()
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: recordKey(nil, after+1),
		UpperBound: recordKey(nil, min(after+batchRecords, last)+1),
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := it.Close(); err == nil && closeErr != nil {
			batch, err = nil, closeErr
		}
	}()
	batch = make([]eventstore.Record, 0, min(uint64(last-after), batchRecords))
	want, size := after+1, 0
	for ok := it.First(); ok && size < batchBytes; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, fmt.Errorf("reading the record at position %d: %w", want, err)
		}
		if at, err := keyPosition(it.Key()); err != nil || at != want {
			return nil, errors.Join(err, damagedRecord(want, "it is missing"))
		}
		r, _, err := dec.decode(bytes.Clone(value), want)
		if err != nil {
			return nil, err
		}
		batch = append(batch, r)
		size += len(value)
		want++
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("reading the record at position %d: %w", want, err)
	}
	if len(batch) == 0 {
		return nil, damagedRecord(want, "it is missing")
	}
	return batch, nil
}

func keyPosition(key []byte) (eventstore.Position, error) {
	if len(key) != recordKeyLen {
		return 0, fmt.Errorf("the key %x of the log is %w: it has %d bytes instead of %d", key, errDamaged, len(key), recordKeyLen)
	}
	return eventstore.Position(binary.BigEndian.Uint64(key[1:])), nil
}

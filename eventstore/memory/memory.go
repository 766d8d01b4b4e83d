// Package memory keeps a log in memory: for tests and examples. It is the
// Store contract in its plainest form and forgets everything at exit.
package memory

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/pmledger/pmledger/eventstore"
)

// batchRecords bounds how many records Follow yields at once.
const batchRecords = 512

// Store is an eventstore.Store in memory. The position of a record is its
// number in the log. Use New.
type Store struct {
	mu      sync.Mutex
	log     []eventstore.Record
	streams map[string][]int // indexes into log, by stream
	grown   chan struct{}    // closed and replaced when log grows or the store closes
	closed  bool
}

var (
	_ eventstore.Store = (*Store)(nil)
	_ eventstore.Bulk  = (*Store)(nil)
)

// New returns an empty store.
func New() *Store {
	return &Store{streams: make(map[string][]int), grown: make(chan struct{})}
}

// Close ends every Follow with eventstore.ErrClosed, which all later calls
// return too.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.grown)
	}
	return nil
}

// Append implements eventstore.Store.
func (s *Store) Append(ctx context.Context, stream string, version uint64, records []eventstore.NewRecord) (eventstore.Position, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if len(records) == 0 {
		return 0, errors.New("an append needs at least one record")
	}
	if stream == "" {
		return 0, errors.New("an append needs the name of a stream")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, eventstore.ErrClosed
	}
	if actual := uint64(len(s.streams[stream])); actual != version {
		if pos, ok := s.repeated(stream, version, records); ok {
			return pos, nil
		}
		return 0, &eventstore.ConflictError{Stream: stream, Expected: version, Actual: actual}
	}
	s.add(stream, records)
	return s.appended(), nil
}

// AppendAll implements eventstore.Bulk.
func (s *Store) AppendAll(ctx context.Context, appends []eventstore.Appending) (eventstore.Position, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if len(appends) == 0 {
		return 0, errors.New("there is nothing to append")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, eventstore.ErrClosed
	}
	added := map[string]int{} // records, by stream
	for _, a := range appends {
		if a.Stream == "" || len(a.Records) == 0 {
			return 0, errors.New("an append needs the name of a stream and at least one record")
		}
		if actual := uint64(len(s.streams[a.Stream]) + added[a.Stream]); actual != a.Version {
			return 0, &eventstore.ConflictError{Stream: a.Stream, Expected: a.Version, Actual: actual}
		}
		added[a.Stream] += len(a.Records)
	}
	for _, a := range appends {
		s.add(a.Stream, a.Records)
	}
	return s.appended(), nil
}

// add puts records at the end of a stream and of the log.
func (s *Store) add(stream string, records []eventstore.NewRecord) {
	for _, r := range records {
		s.streams[stream] = append(s.streams[stream], len(s.log))
		s.log = append(s.log, eventstore.Record{
			ID: r.ID, Stream: stream, Version: uint64(len(s.streams[stream])), Position: eventstore.Position(len(s.log) + 1),
			Type: r.Type, Data: append([]byte(nil), r.Data...), Metadata: append([]byte(nil), r.Metadata...),
		})
	}
}

// appended wakes whoever follows the log and returns its head.
func (s *Store) appended() eventstore.Position {
	close(s.grown)
	s.grown = make(chan struct{})
	return eventstore.Position(len(s.log))
}

// repeated says whether exactly these records already stand in stream after
// version, and where the last of them is.
func (s *Store) repeated(stream string, version uint64, records []eventstore.NewRecord) (eventstore.Position, bool) {
	have := s.streams[stream]
	if n := uint64(len(have)); version > n || uint64(len(records)) > n-version {
		return 0, false
	}
	have = have[version:][:len(records)]
	for i, r := range records {
		if s.log[have[i]].ID != r.ID {
			return 0, false
		}
	}
	return s.log[have[len(have)-1]].Position, true
}

// Stream implements eventstore.Store.
func (s *Store) Stream(ctx context.Context, stream string, from uint64) iter.Seq2[eventstore.Record, error] {
	s.mu.Lock()
	log, at, closed := s.log, s.streams[stream], s.closed
	s.mu.Unlock()
	at = at[min(max(from, 1)-1, uint64(len(at))):]
	return func(yield func(eventstore.Record, error) bool) {
		if closed {
			yield(eventstore.Record{}, eventstore.ErrClosed)
			return
		}
		for _, i := range at {
			if err := ctx.Err(); err != nil {
				yield(eventstore.Record{}, err)
				return
			}
			if !yield(log[i], nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil && len(at) == 0 {
			yield(eventstore.Record{}, err)
		}
	}
}

// Follow implements eventstore.Store.
func (s *Store) Follow(ctx context.Context, after eventstore.Position) iter.Seq2[[]eventstore.Record, error] {
	return func(yield func([]eventstore.Record, error) bool) {
		next := after
		for {
			batch, err := s.next(ctx, next)
			if err != nil {
				yield(nil, err)
				return
			}
			next += eventstore.Position(len(batch))
			if !yield(batch, nil) {
				return
			}
		}
	}
}

// next waits for records after the given position.
func (s *Store) next(ctx context.Context, after eventstore.Position) ([]eventstore.Record, error) {
	for {
		s.mu.Lock()
		log, grown, closed := s.log, s.grown, s.closed
		s.mu.Unlock()
		switch head := eventstore.Position(len(log)); {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case closed:
			return nil, eventstore.ErrClosed
		case after > head:
			return nil, eventstore.ErrAhead
		case after < head:
			end := min(head, after+batchRecords)
			return append([]eventstore.Record(nil), log[after:end]...), nil
		}
		select {
		case <-ctx.Done():
		case <-grown:
		}
	}
}

// Head implements eventstore.Store.
func (s *Store) Head(ctx context.Context) (eventstore.Position, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, eventstore.ErrClosed
	}
	return eventstore.Position(len(s.log)), nil
}

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

var _ eventstore.Store = (*Store)(nil)

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
	for i, r := range records {
		s.streams[stream] = append(s.streams[stream], len(s.log))
		s.log = append(s.log, eventstore.Record{
			ID: r.ID, Stream: stream, Version: version + uint64(i) + 1, Position: eventstore.Position(len(s.log) + 1),
			Type: r.Type, Data: append([]byte(nil), r.Data...), Metadata: append([]byte(nil), r.Metadata...),
		})
	}
	close(s.grown)
	s.grown = make(chan struct{})
	return eventstore.Position(len(s.log)), nil
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

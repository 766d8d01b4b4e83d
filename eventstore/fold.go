package eventstore

import (
	"context"
	"fmt"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore/planted"
)

// fold is a stream read so far: its state, and what the next append needs.
type fold struct {
	stream   string
	state    domain.State
	version  uint64
	tail     string // LeafHash of the last record
	last     time.Time
	position Position           // of the last record; 0 when none
	commands map[string]command // by idempotency key
	watched  string             // a command id to remember though it has no request MAC
}

// command is where a recorded command stands in its stream.
type command struct {
	mac         string
	first, last uint64
}

func newFold(stream string) *fold {
	return &fold{stream: stream, state: domain.NewState(stream), tail: NoPrev, commands: map[string]command{}}
}

// BrokenStreamError says that a stream's records contradict each other. Nothing
// more is decided on such a stream.
type BrokenStreamError struct {
	Stream   string
	Version  uint64
	Position Position
	Cause    error
}

func (e *BrokenStreamError) Error() string {
	return fmt.Sprintf("stream %s is broken at version %d (position %d): %v", e.Stream, e.Version, e.Position, e.Cause)
}

func (e *BrokenStreamError) Unwrap() error { return e.Cause }

// DecodeRecord reads a record's metadata and event.
func DecodeRecord(r Record) (domain.Event, Metadata, error) {
	meta, err := DecodeMetadata(r.Metadata)
	if err != nil {
		return nil, Metadata{}, err
	}
	e, err := domain.Decode(r.Type, meta.Schema, r.Data)
	return e, meta, err
}

// add folds the stream's next record, after checking that it is the next one. It
// must own its state: clone a shared one first.
func (f *fold) add(r Record) (domain.Event, error) {
	e, meta, err := DecodeRecord(r)
	if err == nil {
		err = f.check(r, meta, e)
	}
	if err != nil {
		return nil, &BrokenStreamError{Stream: f.stream, Version: r.Version, Position: r.Position, Cause: err}
	}
	f.state.Evolve(e, meta.Time)
	f.version, f.tail, f.last, f.position = r.Version, r.LeafHash(), meta.Time, r.Position
	if meta.RequestMAC != "" || meta.CommandID == f.watched {
		known, ok := f.commands[meta.CommandID]
		if !ok {
			known = command{mac: meta.RequestMAC, first: r.Version}
		}
		known.last = r.Version
		f.commands[meta.CommandID] = known
	}
	return e, nil
}

func (f *fold) check(r Record, meta Metadata, e domain.Event) error {
	switch {
	case r.Version != f.version+1:
		return fmt.Errorf("version %d follows version %d", r.Version, f.version)
	case meta.Prev != f.tail:
		return fmt.Errorf("prev is %s, but the previous record's hash is %s", meta.Prev, f.tail)
	case meta.Time.Before(f.last):
		return fmt.Errorf("its time %s lies before the previous record's %s", meta.Time, f.last)
	}
	if known := f.commands[meta.CommandID]; known.mac != "" && meta.RequestMAC != "" && known.mac != meta.RequestMAC {
		return fmt.Errorf("command %s was already recorded at version %d for another request", meta.CommandID, known.first)
	}
	return domain.Contradiction(f.state, e)
}

// draft is the state for events that are not appended yet: the fold's own stays as
// it is until they are.
func (f *fold) draft() domain.State {
	if planted.FoldFirst.Here() {
		return f.state
	}
	return f.state.Clone()
}

// read folds what the store holds beyond the fold, up to version to (0: all), and
// returns the events it read.
func (f *fold) read(ctx context.Context, store Store, to uint64) ([]domain.Event, error) {
	var events []domain.Event
	owned := false
	for r, err := range store.Stream(ctx, f.stream, f.version+1) {
		if err != nil {
			return nil, err
		}
		if to != 0 && r.Version > to {
			break
		}
		if !owned {
			f.state, owned = f.state.Clone(), true
		}
		e, err := f.add(r)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

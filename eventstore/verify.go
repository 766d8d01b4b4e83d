package eventstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Verification is what Verify found in order.
type Verification struct {
	Records uint64   `json:"records"`
	Streams uint64   `json:"streams"`
	Head    Position `json:"head"`
}

// Pass is one of the two that Verify makes.
type Pass string

// The passes: through the log, in positions; and stream by stream, in records.
const (
	PassLog     Pass = "walking the log"
	PassStreams Pass = "reading the streams"
)

// DuplicateIDError says that two records of the log have one id.
type DuplicateIDError struct {
	ID            uuid.UUID
	First, Second Position
}

func (e *DuplicateIDError) Error() string {
	return fmt.Sprintf("the records at positions %d and %d have the same id %s", e.First, e.Second, e.ID)
}

// Verify walks the log from its first record to the head as of the call and
// checks every record: its position follows, its version is the next one of its
// stream, its prev is the hash of the record before it, its time does not go
// back, its bytes decode to an event of the catalogue, its id is that of its command
// and nobody else's. Then it reads every stream as the ledger does: the store finds the
// same records, no event contradicts those before it, no command id stands for
// two requests.
//
// It stops at the first broken place with a *BrokenStreamError, a
// *DuplicateIDError or the store's own error; the Verification then counts what
// was in order before. progress, if given, hears how far each of the two passes is.
// Memory: about 300 bytes a stream and 8 bytes a record.
func Verify(ctx context.Context, store Store, progress func(pass Pass, done, total uint64)) (Verification, error) {
	w := walk{streams: map[string]*streamEnd{}}
	if progress == nil {
		progress = func(Pass, uint64, uint64) {}
	}
	head, err := store.Head(ctx)
	if err != nil || head == 0 {
		return w.found, err
	}
	err = between(ctx, store, 0, head, func(batch []Record) error {
		for _, r := range batch {
			if err := w.check(r); err != nil {
				return err
			}
		}
		progress(PassLog, uint64(w.found.Head), uint64(head))
		return nil
	})
	if err == nil {
		err = w.checkIDs(ctx, store, head)
	}
	if err == nil {
		err = w.checkStreams(ctx, store, func(done uint64) { progress(PassStreams, done, w.found.Records) })
	}
	return w.found, err
}

// walk is a log as far as it has been checked.
type walk struct {
	found   Verification
	streams map[string]*streamEnd
	ids     []uint64 // the first half of every record's id
}

// streamEnd is a stream's last record seen so far.
type streamEnd struct {
	version uint64
	hash    string
	time    time.Time
	command string // id
	index   int    // of the record among its command's
}

func (w *walk) check(r Record) error {
	_, meta, err := DecodeRecord(r)
	if err == nil && r.Position <= w.found.Head {
		err = fmt.Errorf("it follows position %d", w.found.Head)
	}
	if err == nil {
		if faults := w.link(r, meta, r.LeafHash()); len(faults) > 0 {
			err = faults[0]
		}
	}
	if err != nil {
		return &BrokenStreamError{Stream: r.Stream, Version: r.Version, Position: r.Position, Cause: err}
	}
	w.found.Head = r.Position
	return nil
}

// link adds a record, with what was read of it, to the walk, or says everything
// that keeps it from being the next one of its stream.
func (w *walk) link(r Record, meta Metadata, hash string) (faults []error) {
	end := w.streams[r.Stream]
	if end == nil {
		end = &streamEnd{hash: NoPrev}
	}
	next := streamEnd{version: r.Version, hash: hash, time: meta.Time, command: meta.CommandID}
	if end.version > 0 && end.command == meta.CommandID {
		next.index = end.index + 1
	}
	if r.Version != end.version+1 {
		faults = append(faults, fmt.Errorf("version %d follows version %d", r.Version, end.version))
	}
	if meta.Prev != end.hash {
		faults = append(faults, fmt.Errorf("prev is %s, but the previous record's hash is %s", meta.Prev, end.hash))
	}
	if meta.Time.Before(end.time) {
		faults = append(faults, fmt.Errorf("its time %s lies before the previous record's %s", meta.Time, end.time))
	}
	if r.ID != EventID(r.Stream, meta.CommandID, next.index) {
		faults = append(faults, fmt.Errorf("its id is not that of record %d of command %s", next.index, meta.CommandID))
	}
	if len(faults) > 0 {
		return faults
	}
	if end.version == 0 {
		w.streams[r.Stream] = end
		w.found.Streams++
	}
	*end = next
	w.ids = append(w.ids, idHalf(r.ID))
	w.found.Records++
	return nil
}

// idHalf is what the walk keeps of an id.
func idHalf(id uuid.UUID) uint64 { return binary.BigEndian.Uint64(id[:8]) }

// checkIDs looks for two records with one id. Halves of ids that occur twice are
// suspects; the log is read again only if there are any.
func (w *walk) checkIDs(ctx context.Context, store Store, head Position) error {
	slices.Sort(w.ids)
	suspects := map[uint64]bool{}
	for i := 1; i < len(w.ids); i++ {
		if w.ids[i] == w.ids[i-1] {
			suspects[w.ids[i]] = true
		}
	}
	if len(suspects) == 0 {
		return nil
	}
	seen := map[uuid.UUID]Position{}
	return between(ctx, store, 0, head, func(batch []Record) error {
		for _, r := range batch {
			if !suspects[idHalf(r.ID)] {
				continue
			}
			if first, ok := seen[r.ID]; ok {
				return &DuplicateIDError{ID: r.ID, First: first, Second: r.Position}
			}
			seen[r.ID] = r.Position
		}
		return nil
	})
}

// checkStreams folds every stream as far as the walk has seen it.
func (w *walk) checkStreams(ctx context.Context, store Store, progress func(done uint64)) error {
	done := uint64(0)
	for _, name := range slices.Sorted(maps.Keys(w.streams)) {
		end, f := w.streams[name], newFold(name)
		if _, err := f.read(ctx, store, end.version); err != nil {
			return err
		}
		if f.version != end.version || f.tail != end.hash {
			return &BrokenStreamError{Stream: name, Version: end.version,
				Cause: fmt.Errorf("the log has this record, but reading the stream does not find it")}
		}
		done += end.version
		progress(done)
	}
	return nil
}

// between gives fn the records after a position up to the one at head, in batches.
func between(ctx context.Context, store Store, after, head Position, fn func([]Record) error) error {
	for batch, err := range store.Follow(ctx, after) {
		if err != nil {
			return err
		}
		end := len(batch)
		for end > 0 && batch[end-1].Position > head {
			end--
		}
		if end > 0 {
			if err := fn(batch[:end]); err != nil {
				return err
			}
		}
		if batch[len(batch)-1].Position >= head {
			return nil
		}
	}
	return nil
}

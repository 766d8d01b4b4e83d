package projections

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
)

// checkpoint is the last record that a projection has applied. It names the
// record, so that another log is noticed even when it is longer, and holds its
// hash, so that the same log in another store is known again. The id is not enough
// for that: a command that is repeated after its record was lost has the same one.
type checkpoint struct {
	position eventstore.Position
	id       uuid.UUID
	version  uint64
	hash     string // the record's LeafHash
	stream   string
}

// hashSize is the length of a hash as text.
var hashSize = len(eventstore.NoPrev)

func checkpointAt(r eventstore.Record) checkpoint {
	return checkpoint{position: r.Position, id: r.ID, version: r.Version, hash: r.LeafHash(), stream: r.Stream}
}

// isAt tells whether a record is the one of the checkpoint, wherever it lies.
func (c checkpoint) isAt(r eventstore.Record) bool {
	return r.Version == c.version && r.ID == c.id && r.LeafHash() == c.hash
}

func checkpointKey(projection string) []byte { return prefix(tableMeta, "checkpoint", projection) }

func (c checkpoint) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 32+hashSize+len(c.stream)), uint64(c.position))
	b = append(b, c.id[:]...)
	b = binary.BigEndian.AppendUint64(b, c.version)
	b = append(b, c.hash...)
	return append(b, c.stream...)
}

func (v *Views) readCheckpoint(projection string) (checkpoint, error) {
	value, err := v.read(checkpointKey(projection))
	if err != nil || value == nil {
		return checkpoint{}, err
	}
	r := reader{b: value}
	mark := checkpoint{position: eventstore.Position(r.uint64())}
	copy(mark.id[:], r.take(16))
	mark.version, mark.hash, mark.stream = r.uint64(), string(r.take(hashSize)), string(r.rest())
	if r.short || mark.stream == "" {
		return checkpoint{}, fmt.Errorf("the checkpoint of projection %s: %w", projection, errShortRow)
	}
	return mark, nil
}

// saveCheckpoints writes how far the projections came without having had
// anything to write.
func (v *Views) saveCheckpoints() error {
	var errs []error
	for _, p := range v.projections {
		if mark := *p.mark.Load(); mark.position != p.saved {
			errs = append(errs, v.db.Set(checkpointKey(p.Name()), mark.encode(), pebble.NoSync))
			p.saved = mark.position
		}
	}
	return errors.Join(errs...)
}

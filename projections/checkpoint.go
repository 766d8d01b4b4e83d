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
// record, so that another log is noticed even when it is longer.
type checkpoint struct {
	position eventstore.Position
	id       uuid.UUID
	version  uint64
	stream   string
}

func checkpointAt(r eventstore.Record) checkpoint {
	return checkpoint{position: r.Position, id: r.ID, version: r.Version, stream: r.Stream}
}

func checkpointKey(projection string) []byte { return prefix(tableMeta, "checkpoint", projection) }

func (c checkpoint) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 32+len(c.stream)), uint64(c.position))
	b = append(b, c.id[:]...)
	b = binary.BigEndian.AppendUint64(b, c.version)
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
	mark.version, mark.stream = r.uint64(), string(r.rest())
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

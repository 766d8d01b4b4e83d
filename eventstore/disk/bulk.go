package disk

import (
	"context"
	"errors"
	"fmt"

	"github.com/pmledger/pmledger/eventstore"
)

var _ eventstore.Bulk = (*Store)(nil)

// AppendAll implements eventstore.Bulk. Data and metadata are copied. All records
// together may take up to 8 MiB as stored.
func (s *Store) AppendAll(ctx context.Context, appends []eventstore.Appending) (eventstore.Position, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if len(appends) == 0 {
		return 0, errors.New("there is nothing to append")
	}
	for _, a := range appends {
		if err := checkAppend(a.Stream, a.Records); err != nil {
			return 0, err
		}
	}
	r := s.queue.free.Get().(*request)
	for _, a := range appends {
		r.add(a.Stream, a.Version, a.Records)
	}
	if r.size > maxAppendBytes {
		return 0, fmt.Errorf("appends made at once hold up to %d bytes, not %d", maxAppendBytes, r.size)
	}
	at, err := s.submit(ctx, r)
	if err != nil {
		return 0, err
	}
	return at.last, nil
}

package kurrent

import (
	"context"
	"fmt"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"github.com/pmledger/pmledger/eventstore"
)

// Head implements eventstore.Store: the position of the last record of the
// ledger's streams, on the leader.
//
// Others may have written after it. So the log is read backwards: first its last
// record, which is ours, or lies where this process has looked already, unless the
// log is shared; then some more; and only then does the server search, which
// may take as long as there are foreign records. What was looked through once is
// not looked through again.
func (s *Store) Head(ctx context.Context) (eventstore.Position, error) {
	var end eventstore.Position
	for _, count := range []uint64{1, 64} {
		back, err := s.lookBack(ctx, endOfAll(count), count)
		if err != nil {
			return 0, err
		}
		end = max(end, back.end)
		if back.found {
			return s.horizon.passed(back.own, end), nil
		}
	}
	back, err := s.lookBack(ctx, endOfOurs(), math.MaxUint64)
	if err != nil {
		return 0, err
	}
	return s.horizon.passed(back.own, max(end, back.end)), nil
}

// lookedBack is what was seen of the log's end.
type lookedBack struct {
	end   eventstore.Position // of the last record that came, whoever's
	own   eventstore.Position // of our last record
	found bool                // false: it stands before all that came
}

// lookBack reads the log from its end until a record is ours, or stands where it
// was examined before. count is how many records req asks for.
func (s *Store) lookBack(ctx context.Context, req *streams.ReadReq, count uint64) (lookedBack, error) {
	own, examined := s.horizon.known()
	var back lookedBack
	err := s.read(ctx, func(a *attempt) error {
		back = lookedBack{own: own}
		n, err := readEvents(a.ctx, a.conn, req, func(e *streams.ReadResp_ReadEvent) error {
			a.sign()
			at := eventstore.Position(e.GetEvent().GetCommitPosition())
			back.end = max(back.end, at)
			if ours(string(e.GetEvent().GetStreamIdentifier().GetStreamName())) {
				p, err := positionOf(e)
				if err != nil {
					return err
				}
				back.own, back.found = p, true
				return errEnough
			}
			if back.found = at <= examined; back.found {
				return errEnough
			}
			return nil
		})
		back.found = back.found || uint64(n) < count
		return err
	})
	if isRefusal(err) {
		err = fmt.Errorf("reading $all, which takes a right of its own: %w", err)
	}
	return back, err
}

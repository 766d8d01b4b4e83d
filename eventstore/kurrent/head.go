package kurrent

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

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
//
// The server says nothing while it searches, so its silence does not mean that it is
// lost: that the connection stands is seen by its keep-alive. In case the server has
// forgotten the search, or the connection has none, another one begins after a time
// that doubles, on a new connection.
func (s *Store) Head(ctx context.Context) (eventstore.Position, error) {
	for patience := searchPatience * s.o.ReadTimeout; ; {
		near, err := s.lookNear(ctx)
		if err != nil {
			return 0, err
		}
		if near.found {
			return s.horizon.passed(near.own, near.end), nil
		}
		back, err := s.lookBack(ctx, endOfOurs(), math.MaxUint64, patience)
		switch {
		case err == nil:
			return s.horizon.passed(back.own, max(near.end, back.end)), nil
		case !errors.Is(err, eventstore.ErrUnavailable):
			return 0, err
		case errors.Is(err, errNoSign):
			patience *= 2
		}
	}
}

// searchPatience is how many times as long as for other answers is waited for the first
// search.
const searchPatience = 12

// lookNear reads the log's last records.
func (s *Store) lookNear(ctx context.Context) (near lookedBack, err error) {
	for _, count := range []uint64{1, 64} {
		end := near.end
		near, err = s.lookBack(ctx, endOfAll(count), count, 0)
		near.end = max(near.end, end)
		if err != nil || near.found {
			return near, err
		}
	}
	return near, nil
}

// lookedBack is what was seen of the log's end.
type lookedBack struct {
	end   eventstore.Position // of the last record that came, whoever's
	own   eventstore.Position // of our last record
	found bool                // false: it stands before all that came
}

// lookBack reads the log from its end until a record is ours, or stands where it
// was examined before. count is how many records req asks for; silence is for how long
// the server may say nothing, 0 for as long as it may elsewhere.
func (s *Store) lookBack(ctx context.Context, req *streams.ReadReq, count uint64, silence time.Duration) (lookedBack, error) {
	own, examined := s.horizon.known()
	var back lookedBack
	err := s.read(ctx, func(a *attempt) error {
		back = lookedBack{own: own}
		if silence > 0 {
			a.silence(silence)
		}
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

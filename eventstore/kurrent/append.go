package kurrent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"

	"github.com/pmledger/pmledger/eventstore"
)

// Append implements eventstore.Store. It appends to the ledger's streams only:
// another one would not be followed.
//
// While the outcome is unknown it repeats the identical append, which the server
// recognizes by the records' ids at their revisions, until AppendTimeout has
// passed or ctx ends. So ErrUnknownOutcome says that the server could not be asked
// for that long; ErrUnavailable, that not one attempt can have reached it whole.
func (s *Store) Append(ctx context.Context, stream string, version uint64, records []eventstore.NewRecord) (eventstore.Position, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := s.checkAppend(stream, version, records); err != nil {
		return 0, err
	}
	w := &write{stream: stream, version: version, last: version + uint64(len(records)), messages: messagesOf(stream, version, records)}
	limited, cancel := context.WithTimeout(ctx, s.o.AppendTimeout)
	defer cancel()
	for tries := 0; ; tries++ {
		at, err := s.tryAppend(limited, w)
		if err == nil {
			return s.placed(limited, ctx, w, at)
		}
		if conflict := (*eventstore.ConflictError)(nil); errors.As(err, &conflict) {
			return 0, err
		}
		if s.cluster.isClosed() {
			return 0, w.ended(eventstore.ErrClosed)
		}
		if errors.Is(err, eventstore.ErrUnavailable) {
			return 0, w.ended(err)
		}
		if !isTransient(err) {
			return 0, w.ended(fmt.Errorf("append to stream %s: %w", stream, err))
		}
		if limited.Err() != nil || !s.cluster.pause(limited, tries) {
			return 0, w.ended(s.gaveUp(ctx, err))
		}
	}
}

// write is an append on its way.
type write struct {
	stream        string
	version, last uint64
	messages      []*streams.AppendReq
	unknown       bool // an attempt may have happened
}

// ended is what is answered when no attempt succeeded.
func (w *write) ended(err error) error {
	if w.unknown {
		return fmt.Errorf("%w: %w", eventstore.ErrUnknownOutcome, withoutUnavailable(err))
	}
	return err
}

// withoutUnavailable takes ErrUnavailable's promise, that nothing was appended,
// out of an error.
func withoutUnavailable(err error) error {
	if errors.Is(err, eventstore.ErrUnavailable) {
		return errors.New(err.Error())
	}
	return err
}

func (s *Store) checkAppend(stream string, version uint64, records []eventstore.NewRecord) error {
	size := 0
	for _, r := range records {
		size += len(r.Data) + len(r.Metadata) + 2*len(r.Type)
	}
	switch {
	case len(records) == 0:
		return errors.New("an append needs at least one record")
	case !ours(stream):
		return fmt.Errorf("%q is not the name of a stream of the ledger", stream)
	case version > math.MaxInt64-uint64(len(records)):
		return fmt.Errorf("version %d of stream %s is beyond what the event store can count", version, stream)
	case size > s.o.MaxAppend:
		return fmt.Errorf("append to stream %s: %d records of %d bytes together; the event store takes at most %d bytes at once",
			stream, len(records), size, s.o.MaxAppend)
	}
	return nil
}

// messagesOf is an append as it is sent: where, then what.
func messagesOf(stream string, version uint64, records []eventstore.NewRecord) []*streams.AppendReq {
	where := &streams.AppendReq_Options{StreamIdentifier: identifier(stream)}
	if version == 0 {
		where.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: none}
	} else {
		where.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: version - 1}
	}
	messages := make([]*streams.AppendReq, 1, 1+len(records))
	messages[0] = &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: where}}
	for _, r := range records {
		messages = append(messages, &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
			Id:       &shared.UUID{Value: &shared.UUID_String_{String_: r.ID.String()}},
			Metadata: map[string]string{"type": r.Type, "content-type": content},
			Data:     r.Data, CustomMetadata: r.Metadata,
		}}})
	}
	return messages
}

// tryAppend makes one attempt. The position is 0 when the server did not tell it.
func (s *Store) tryAppend(limited context.Context, w *write) (eventstore.Position, error) {
	l, c, err := s.cluster.acquire(limited, forCalls)
	if err != nil {
		return 0, err
	}
	defer l.calls.give(c)
	ctx, cancel := context.WithTimeout(leaderOnly(limited), min(l.limit, s.o.AppendTimeout/2))
	defer cancel()
	began := time.Now()
	answer, complete, err := w.send(ctx, c.ClientConn)
	if err != nil {
		w.unknown = w.unknown || complete && mayHaveHappened(err)
		if limited.Err() == nil || l.mute(began) {
			s.cluster.heed(l, err)
		}
		return 0, err
	}
	return w.result(answer)
}

// send sends the append and waits for the answer. complete tells whether the server
// may have got all of it: before that it appends nothing.
func (w *write) send(ctx context.Context, c *grpc.ClientConn) (answer *streams.AppendResp, complete bool, err error) {
	call, err := streams.NewStreamsClient(c).Append(ctx)
	if err != nil {
		return nil, false, &replyError{err: err}
	}
	for _, m := range w.messages {
		err := call.Send(m)
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) { // the server has ended the call; the answer says why
			err = call.RecvMsg(new(streams.AppendResp))
		}
		if err == nil {
			err = errors.New("the event store answered an append before it was sent")
		}
		return nil, false, &replyError{err: err, trailer: call.Trailer()}
	}
	answer, err = call.CloseAndRecv()
	if err != nil {
		return nil, true, &replyError{err: err, trailer: call.Trailer()}
	}
	return answer, true, nil
}

// mayHaveHappened tells whether an append that was sent whole and failed so may
// have happened all the same. Only what the server itself decides is certain.
func mayHaveHappened(err error) bool {
	_, elsewhere := leaderNamed(err)
	return !elsewhere && isTransient(err)
}

// result reads the answer of the server.
func (w *write) result(answer *streams.AppendResp) (eventstore.Position, error) {
	if wrong := answer.GetWrongExpectedVersion(); wrong != nil {
		return 0, &eventstore.ConflictError{Stream: w.stream, Expected: w.version, Actual: actual(wrong)}
	}
	success := answer.GetSuccess()
	if success == nil {
		w.unknown = true
		return 0, errors.New("the event store gives no result")
	}
	if at := success.GetCurrentRevision() + 1; at != w.last {
		w.unknown = true
		return 0, fmt.Errorf("the event store put version %d of stream %s at version %d", w.last, w.stream, at)
	}
	return eventstore.Position(success.GetPosition().GetCommitPosition()), nil
}

// actual is the version of a stream that a conflict tells.
func actual(wrong *streams.AppendResp_WrongExpectedVersion) uint64 {
	switch wrong.GetCurrentRevisionOption().(type) {
	case *streams.AppendResp_WrongExpectedVersion_CurrentRevision:
		return wrong.GetCurrentRevision() + 1
	case *streams.AppendResp_WrongExpectedVersion_CurrentNoStream:
		return 0
	}
	if _, ok := wrong.GetCurrentRevisionOption_20_6_0().(*streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0); ok {
		return wrong.GetCurrentRevision_20_6_0() + 1
	}
	return 0
}

// placed returns the position of an append that happened. The server does not
// always tell it with a repeat; then the record says where it is.
func (s *Store) placed(limited, ctx context.Context, w *write, at eventstore.Position) (eventstore.Position, error) {
	if at != 0 && at != math.MaxUint64 {
		s.horizon.saw(at)
		return at, nil
	}
	page, _, err := s.page(limited, w.stream, w.last, 1)
	if err == nil && len(page) == 0 {
		err = fmt.Errorf("version %d of stream %s was appended, and is not there", w.last, w.stream)
	}
	if err != nil {
		w.unknown = true
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return 0, w.ended(err)
	}
	s.horizon.saw(page[0].Position)
	return page[0].Position, nil
}

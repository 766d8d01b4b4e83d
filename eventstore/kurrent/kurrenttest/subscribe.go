package kurrenttest

import (
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// subscribeToAll sends what stands after a position, and then what comes.
func (r *reading) subscribeToAll() error {
	visible, _ := r.n.view()
	after := uint64(0)
	next := 0
	switch where := r.o.GetAll().GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_End:
		next = visible
	case *streams.ReadReq_Options_AllOptions_Position:
		var err error
		if next, err = r.boundary(where.Position); err != nil {
			return err
		}
		after = where.Position.GetCommitPosition()
	}
	if err := r.confirm(); err != nil {
		return err
	}
	every := checkpointEvery(r.o.GetFilter())
	considered := 0
	return r.pursue(next, func(record *Record) error {
		if record.Position <= after {
			return nil // also when the log had not come so far yet
		}
		passes, err := r.passes(record)
		if err == nil && passes {
			err = r.send(record)
		}
		if err != nil {
			return err
		}
		if considered++; r.o.GetFilter() == nil || considered < every {
			return nil
		}
		considered = 0
		return r.checkpoint(record.Position)
	})
}

// subscribeToStream sends what stands after a revision, and then what comes. The
// stream need not be there yet.
func (r *reading) subscribeToStream() error {
	where := r.o.GetStream()
	name := string(where.GetStreamIdentifier().GetStreamName())
	visible, _ := r.n.view()
	if _, _, deleted := r.n.server.log.of(name, visible); deleted {
		return streamDeleted(r.call.Context(), name)
	}
	from := uint64(0)
	next := 0
	switch o := where.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Revision:
		from = o.Revision + 1
	case *streams.ReadReq_Options_StreamOptions_End:
		next = visible
	}
	if err := r.confirm(); err != nil {
		return err
	}
	return r.pursue(next, func(record *Record) error {
		if record.Stream != name || record.Revision < from {
			return nil
		}
		return r.send(record)
	})
}

// pursue gives every record from a place in the log on to each: those there are,
// then a note that it has caught up, then those that come.
func (r *reading) pursue(next int, each func(*Record) error) error {
	ctx, dropped := r.call.Context(), r.n.server.dropped()
	for live := false; ; {
		visible, changed := r.n.view()
		if next < visible {
			for _, record := range r.n.server.log.slice(next, visible) {
				if err := each(record); err != nil {
					return err
				}
				select {
				case <-dropped:
					return tooBusy()
				default:
				}
			}
			next = visible
		}
		if !live {
			live = true
			if err := r.caughtUp(visible); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-dropped:
			return tooBusy()
		case <-changed:
		}
	}
}

func tooBusy() error { return status.Error(codes.Unavailable, "Server Is Too Busy") }

func (r *reading) confirm() error {
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: uuid.NewString()},
	}})
}

func (r *reading) caughtUp(visible int) error {
	if r.o.GetFilter() != nil && visible > 0 {
		if err := r.checkpoint(r.n.server.log.slice(visible-1, visible)[0].Position); err != nil {
			return err
		}
	}
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}})
}

func (r *reading) checkpoint(position uint64) error {
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{
		Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: position, PreparePosition: position},
	}})
}

package kurrenttest

import (
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Read implements the Read call: reads of a stream and of $all, and
// subscriptions to either.
func (s *streamService) Read(req *streams.ReadReq, call streams.Streams_ReadServer) error {
	ctx, o := call.Context(), req.GetOptions()
	kind := ReadStream
	switch {
	case o.GetCountOption() == nil || o.GetUuidOption() == nil || o.GetFilterOption() == nil || o.GetStreamOption() == nil:
		return status.Error(codes.InvalidArgument, "a read needs its stream, count, filter and uuid options")
	case o.GetSubscription() != nil:
		kind = Subscribe
	case o.GetAll() != nil && o.GetFilter() != nil:
		kind = Search
	case o.GetAll() != nil:
		kind = ReadAll
	}
	r := &reading{n: s.n, call: call, o: o, fault: s.n.server.plan.take(kind, wantsLeader(ctx))}
	if err := s.n.server.authenticate(ctx, o.GetAll() != nil); err != nil {
		return err
	}
	if err := r.fault.pause(ctx); err != nil {
		return err
	}
	if r.fault.ends() && r.fault.Events == 0 {
		return r.fault.strike(ctx, s.n)
	}
	if err := s.n.demand(ctx); err != nil {
		return err
	}
	match, err := filterOf(o.GetFilter())
	if err != nil {
		return err
	}
	r.match = match
	switch {
	case kind == Subscribe && o.GetAll() != nil:
		return r.subscribeToAll()
	case kind == Subscribe:
		return r.subscribeToStream()
	case kind == ReadAll, kind == Search:
		return r.all()
	default:
		return r.stream()
	}
}

// reading is one Read call.
type reading struct {
	n     *Node
	call  streams.Streams_ReadServer
	o     *streams.ReadReq_Options
	fault *Fault
	match func(*Record) bool
	sent  int
	seen  int // records that were held against the filter
}

// passes tells whether the filter lets a record pass, and takes the time for it.
func (r *reading) passes(record *Record) (bool, error) {
	const atOnce = 50
	r.seen++
	if rate := r.n.server.o.SearchRate; rate > 0 && r.o.GetFilter() != nil && r.seen%atOnce == 0 {
		slow := Slow(atOnce * time.Second / time.Duration(rate))
		if err := slow.pause(r.call.Context()); err != nil {
			return false, err
		}
	}
	return r.match(record), nil
}

// stream reads a stream. A stream that is not there is an answer, no error.
func (r *reading) stream() error {
	where := r.o.GetStream()
	name := string(where.GetStreamIdentifier().GetStreamName())
	visible, _ := r.n.view()
	records, exists, deleted := r.n.server.log.of(name, visible)
	switch {
	case deleted:
		return streamDeleted(r.call.Context(), name)
	case !exists:
		return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
			StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: where.GetStreamIdentifier()},
		}})
	}
	records = slices.Clone(records)
	if r.backwards() {
		slices.Reverse(records)
	}
	revision, exact := where.GetRevisionOption().(*streams.ReadReq_Options_StreamOptions_Revision)
	if where.GetEnd() != nil && !r.backwards() {
		return nil
	}
	left := r.o.GetCount()
	for _, record := range records {
		if exact && (r.backwards() && record.Revision > revision.Revision || !r.backwards() && record.Revision < revision.Revision) {
			continue
		}
		if left == 0 {
			return nil
		}
		left--
		if err := r.send(record); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) backwards() bool {
	return r.o.GetReadDirection() == streams.ReadReq_Options_Backwards
}

// all reads $all: forwards from the record at the position on, backwards from the
// one before it.
func (r *reading) all() error {
	visible, _ := r.n.view()
	at := 0
	switch where := r.o.GetAll().GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_End:
		at = visible
	case *streams.ReadReq_Options_AllOptions_Position:
		var err error
		if at, err = r.boundary(where.Position); err != nil {
			return err
		}
	}
	records := r.n.server.log.slice(0, visible)
	left := r.o.GetCount()
	if r.backwards() {
		for at = min(at, visible); at > 0 && left > 0; at-- {
			if passes, err := r.passes(records[at-1]); err != nil {
				return err
			} else if !passes {
				continue
			}
			left--
			if err := r.send(records[at-1]); err != nil {
				return err
			}
		}
		return nil
	}
	for ; at < visible && left > 0; at++ {
		if passes, err := r.passes(records[at]); err != nil {
			return err
		} else if !passes {
			continue
		}
		left--
		if err := r.send(records[at]); err != nil {
			return err
		}
	}
	return nil
}

// boundary is the place of a position in the log. Between two records there is
// none; after the last one there is, without a word.
func (r *reading) boundary(p *streams.ReadReq_Options_Position) (int, error) {
	at, exact := r.n.server.log.place(p.GetCommitPosition())
	all, _ := r.n.server.log.length()
	if p.GetCommitPosition() != 0 && !exact && at < all || p.GetPreparePosition() > p.GetCommitPosition() {
		return 0, status.Error(codes.InvalidArgument, "Invalid Position ("+
			strconv.FormatUint(p.GetCommitPosition(), 10)+"/"+strconv.FormatUint(p.GetPreparePosition(), 10)+")")
	}
	return at, nil
}

// send sends an event, or ends the call when that is planned.
func (r *reading) send(record *Record) error {
	if r.fault.ends() && r.sent >= r.fault.Events {
		return r.fault.strike(r.call.Context(), r.n)
	}
	r.sent++
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Event{Event: r.event(record)}})
}

func (r *reading) event(record *Record) *streams.ReadResp_ReadEvent {
	id := &shared.UUID{Value: &shared.UUID_String_{String_: record.ID.String()}}
	if r.o.GetUuidOption().GetStructured() != nil {
		id = &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
			MostSignificantBits:  int64(binary.BigEndian.Uint64(record.ID[:8])),
			LeastSignificantBits: int64(binary.BigEndian.Uint64(record.ID[8:])),
		}}}
	}
	return &streams.ReadResp_ReadEvent{
		Event: &streams.ReadResp_ReadEvent_RecordedEvent{
			Id:               id,
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(record.Stream)},
			StreamRevision:   record.Revision,
			CommitPosition:   record.Position,
			PreparePosition:  record.Position,
			Metadata: map[string]string{
				"type": record.Type, "content-type": record.ContentType,
				"created": strconv.FormatInt(record.Created.UnixNano()/100, 10), // in ticks
			},
			Data: record.Data, CustomMetadata: record.Metadata,
		},
		Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: record.Position},
	}
}

package kurrenttest

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const contentJSON = "application/json"

var empty = &shared.Empty{}

// streamService answers appends, reads, subscriptions and deletes.
type streamService struct {
	streams.UnimplementedStreamsServer
	n *Node
}

// Append implements the Append call: one message that says where, one for each
// event, one answer.
func (s *streamService) Append(call streams.Streams_AppendServer) error {
	ctx := call.Context()
	fault := s.n.server.plan.take(Append, wantsLeader(ctx))
	if err := s.n.server.authenticate(ctx, false); err != nil {
		return err
	}
	first, err := call.Recv()
	if err != nil {
		return err
	}
	where := first.GetOptions()
	name := string(where.GetStreamIdentifier().GetStreamName())
	if name == "" {
		return status.Error(codes.InvalidArgument, "the stream's name is empty")
	}
	if fault != nil && fault.Early {
		return fault.strike(ctx, s.n)
	}
	records, err := s.proposed(call, name)
	if err != nil {
		return err
	}
	if err := fault.pause(ctx); err != nil {
		return err
	}
	if fault.ends() && !fault.Committed {
		return fault.strike(ctx, s.n)
	}
	w, err := s.commit(ctx, func() written { return s.n.server.log.append(name, expectedOf(where), records) })
	if err != nil {
		return err
	}
	if w.deleted {
		return streamDeleted(ctx, name)
	}
	if fault.ends() {
		return fault.strike(ctx, s.n)
	}
	return call.SendAndClose(answerOf(w, where))
}

// proposed reads the events of an append.
func (s *streamService) proposed(call streams.Streams_AppendServer, name string) ([]*Record, error) {
	var records []*Record
	size := 0
	for {
		m, err := call.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		p := m.GetProposedMessage()
		id, err := uuidOf(p.GetId())
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		for _, key := range []string{"type", "content-type"} {
			if p.GetMetadata()[key] == "" {
				return nil, refuse(call.Context(), codes.InvalidArgument, "Required Metadata Property '"+key+"' is missing",
					"exception", "missing-required-metadata-property", "required-metadata-properties", "type,content-type")
			}
		}
		r := &Record{
			ID: id, Stream: name, Type: p.GetMetadata()["type"], ContentType: p.GetMetadata()["content-type"],
			Data: p.GetData(), Metadata: p.GetCustomMetadata(),
		}
		if size += len(r.Data) + len(r.Metadata) + 2*len(r.Type); size > s.n.server.o.MaxAppend {
			limit := strconv.Itoa(s.n.server.o.MaxAppend)
			return nil, refuse(call.Context(), codes.InvalidArgument, "Maximum Append Size of "+limit+" Exceeded.",
				"exception", "maximum-append-size-exceeded", "maximum-append-size", limit)
		}
		records = append(records, r)
	}
	if len(records) == 0 {
		return nil, status.Error(codes.Unimplemented, "this server for tests does not take appends of nothing")
	}
	return records, nil
}

// commit does what the leader does: what comes to a follower is forwarded to it,
// unless the caller insists on the leader.
func (s *streamService) commit(ctx context.Context, do func() written) (written, error) {
	if err := s.n.demand(ctx); err != nil {
		return written{}, err
	}
	leader, cutOff := s.n.state()
	if leader < 0 {
		return written{}, errNotReady
	}
	if cutOff || !s.n.server.nodes[leader].reachable() {
		timer := time.NewTimer(s.n.server.o.CommitTimeout)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return written{}, status.FromContextError(ctx.Err()).Err()
		case <-timer.C:
			return written{}, status.Error(codes.Aborted, "Operation timed out: commit")
		}
	}
	return do(), nil
}

func streamDeleted(ctx context.Context, name string) error {
	return refuse(ctx, codes.FailedPrecondition, "Event stream '"+name+"' is deleted.",
		"exception", "stream-deleted", "stream-name", name)
}

func expectedOf(o *streams.AppendReq_Options) int64 {
	switch e := o.GetExpectedStreamRevision().(type) {
	case *streams.AppendReq_Options_Revision:
		return int64(e.Revision)
	case *streams.AppendReq_Options_NoStream:
		return expectNoStream
	case *streams.AppendReq_Options_StreamExists:
		return expectExists
	default:
		return expectAny
	}
}

func answerOf(w written, where *streams.AppendReq_Options) *streams.AppendResp {
	if w.wrong {
		return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: wrongOf(w, where)}}
	}
	success := &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: w.revision},
		PositionOption:        &streams.AppendResp_Success_NoPosition{NoPosition: empty},
	}
	if w.position > 0 {
		success.PositionOption = &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{
			CommitPosition: w.position, PreparePosition: w.position,
		}}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_Success_{Success: success}}
}

// wrongOf tells a conflict in the fields of today and in those of release 20.6.0.
func wrongOf(w written, where *streams.AppendReq_Options) *streams.AppendResp_WrongExpectedVersion {
	wrong := &streams.AppendResp_WrongExpectedVersion{}
	if w.current < 0 {
		wrong.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: empty}
		wrong.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{NoStream_20_6_0: empty}
	} else {
		at := uint64(w.current)
		wrong.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: at}
		wrong.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: at}
	}
	switch e := where.GetExpectedStreamRevision().(type) {
	case *streams.AppendReq_Options_Revision:
		wrong.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: e.Revision}
		wrong.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: e.Revision}
	case *streams.AppendReq_Options_NoStream:
		wrong.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: empty}
	case *streams.AppendReq_Options_StreamExists:
		wrong.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: empty}
		wrong.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0{StreamExists_20_6_0: empty}
	default:
		wrong.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: empty}
		wrong.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_Any_20_6_0{Any_20_6_0: empty}
	}
	return wrong
}

func uuidOf(id *shared.UUID) (uuid.UUID, error) {
	if two := id.GetStructured(); two != nil {
		var u uuid.UUID
		binary.BigEndian.PutUint64(u[:8], uint64(two.GetMostSignificantBits()))
		binary.BigEndian.PutUint64(u[8:], uint64(two.GetLeastSignificantBits()))
		return u, nil
	}
	return uuid.Parse(id.GetString_())
}

package kurrenttest

import (
	"context"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
)

// Delete implements the Delete call: the stream is gone and may begin again.
func (s *streamService) Delete(ctx context.Context, req *streams.DeleteReq) (*streams.DeleteResp, error) {
	expected := int64(expectAny)
	switch e := req.GetOptions().GetExpectedStreamRevision().(type) {
	case *streams.DeleteReq_Options_Revision:
		expected = int64(e.Revision)
	case *streams.DeleteReq_Options_NoStream:
		expected = expectNoStream
	case *streams.DeleteReq_Options_StreamExists:
		expected = expectExists
	}
	at, err := s.remove(ctx, string(req.GetOptions().GetStreamIdentifier().GetStreamName()), expected, false)
	if err != nil {
		return nil, err
	}
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{
		Position: &streams.DeleteResp_Position{CommitPosition: at, PreparePosition: at},
	}}, nil
}

// Tombstone implements the Tombstone call: the stream is gone for ever.
func (s *streamService) Tombstone(ctx context.Context, req *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	expected := int64(expectAny)
	switch e := req.GetOptions().GetExpectedStreamRevision().(type) {
	case *streams.TombstoneReq_Options_Revision:
		expected = int64(e.Revision)
	case *streams.TombstoneReq_Options_NoStream:
		expected = expectNoStream
	case *streams.TombstoneReq_Options_StreamExists:
		expected = expectExists
	}
	at, err := s.remove(ctx, string(req.GetOptions().GetStreamIdentifier().GetStreamName()), expected, true)
	if err != nil {
		return nil, err
	}
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{
		Position: &streams.TombstoneResp_Position{CommitPosition: at, PreparePosition: at},
	}}, nil
}

// remove deletes a stream. Unlike an append it tells a conflict as an error.
func (s *streamService) remove(ctx context.Context, name string, expected int64, forEver bool) (uint64, error) {
	fault := s.n.server.plan.take(Delete, wantsLeader(ctx))
	if err := s.n.server.authenticate(ctx, false); err != nil {
		return 0, err
	}
	if err := fault.pause(ctx); err != nil {
		return 0, err
	}
	if fault.ends() && !fault.Committed {
		return 0, fault.strike(ctx, s.n)
	}
	w, err := s.commit(ctx, func() written { return s.n.server.log.remove(name, expected, forEver) })
	switch {
	case err != nil:
		return 0, err
	case w.deleted:
		return 0, streamDeleted(ctx, name)
	case w.wrong:
		return 0, refuse(ctx, codes.FailedPrecondition, "Deletion failed due to WrongExpectedVersion.",
			"exception", "wrong-expected-version", "stream-name", name,
			"expected-version", strconv.FormatInt(expected, 10), "actual-version", strconv.FormatInt(w.current, 10))
	case fault.ends():
		return 0, fault.strike(ctx, s.n)
	}
	return w.position, nil
}

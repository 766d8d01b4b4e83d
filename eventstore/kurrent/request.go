package kurrent

import (
	"context"
	"errors"
	"io"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
)

// searchWindow is how many records the server looks through before it says how
// far it got.
const searchWindow = 1024

var (
	none   = &shared.Empty{}
	asText = &streams.ReadReq_Options_UUIDOption{Content: &streams.ReadReq_Options_UUIDOption_String_{String_: none}}
)

// options are what all reads have in common: ids as text, links as they are.
func options() *streams.ReadReq_Options {
	return &streams.ReadReq_Options{UuidOption: asText, FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: none}}
}

// fromRevision reads a stream forwards.
func fromRevision(stream string, revision, count uint64) *streams.ReadReq {
	o := options()
	o.StreamOption = &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
		StreamIdentifier: identifier(stream), RevisionOption: &streams.ReadReq_Options_StreamOptions_Revision{Revision: revision},
	}}
	o.CountOption = &streams.ReadReq_Options_Count{Count: count}
	return &streams.ReadReq{Options: o}
}

// endOfStream reads the last record of a stream.
func endOfStream(stream string) *streams.ReadReq {
	o := options()
	o.ReadDirection = streams.ReadReq_Options_Backwards
	o.StreamOption = &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
		StreamIdentifier: identifier(stream), RevisionOption: &streams.ReadReq_Options_StreamOptions_End{End: none},
	}}
	o.CountOption = &streams.ReadReq_Options_Count{Count: 1}
	return &streams.ReadReq{Options: o}
}

// endOfAll reads the last records of the whole log, newest first, whoever they
// belong to.
func endOfAll(count uint64) *streams.ReadReq {
	o := options()
	o.ReadDirection = streams.ReadReq_Options_Backwards
	o.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{
		AllOption: &streams.ReadReq_Options_AllOptions_End{End: none},
	}}
	o.CountOption = &streams.ReadReq_Options_Count{Count: count}
	return &streams.ReadReq{Options: o}
}

// endOfOurs reads the records of the ledger's streams, newest first. A count of 1
// would not make the server stop sooner: it looks for the next one before it counts.
func endOfOurs() *streams.ReadReq {
	req := endOfAll(1 << 32)
	req.Options.FilterOption = filter()
	return req
}

// following subscribes to what stands after a place, the zero place for all.
func following(after place) *streams.ReadReq {
	o := options()
	all := &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: none}}
	switch {
	case after.beyond():
		all.AllOption = &streams.ReadReq_Options_AllOptions_Position{Position: &streams.ReadReq_Options_Position{
			CommitPosition: after.seen.GetCommitPosition(), PreparePosition: after.seen.GetPreparePosition(),
		}}
	case after.own > 0:
		all.AllOption = &streams.ReadReq_Options_AllOptions_Position{Position: &streams.ReadReq_Options_Position{
			CommitPosition: uint64(after.own), PreparePosition: uint64(after.own),
		}}
	}
	o.StreamOption = &streams.ReadReq_Options_All{All: all}
	o.CountOption = &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
	o.FilterOption = filter()
	return &streams.ReadReq{Options: o}
}

func filter() *streams.ReadReq_Options_Filter {
	return &streams.ReadReq_Options_Filter{Filter: &streams.ReadReq_Options_FilterOptions{
		Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{
			StreamIdentifier: &streams.ReadReq_Options_FilterOptions_Expression{Prefix: ledgerStreams},
		},
		Window:                       &streams.ReadReq_Options_FilterOptions_Max{Max: searchWindow},
		CheckpointIntervalMultiplier: 1,
	}}
}

// errEnough ends readEvents without an error.
var errEnough = errors.New("enough")

// readEvents reads what the server sends until it ends, or each says that it is
// enough. It returns how many records came. A stream that does not exist has none.
// ctx must end soon after, or the call lingers.
func readEvents(ctx context.Context, c *grpc.ClientConn, req *streams.ReadReq, each func(*streams.ReadResp_ReadEvent) error) (int, error) {
	answers, err := streams.NewStreamsClient(c).Read(ctx, req)
	if err != nil {
		return 0, &replyError{err: err}
	}
	for n := 0; ; {
		answer, err := answers.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, &replyError{err: err, trailer: answers.Trailer()}
		case answer.GetEvent() == nil:
			continue
		}
		n++
		if each == nil {
			continue
		}
		if err := each(answer.GetEvent()); err != nil {
			if errors.Is(err, errEnough) {
				err = nil
			}
			return n, err
		}
	}
}

package kurrenttest

import (
	"regexp"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// filterOf tells which records pass: by the beginning of the stream's name or of
// the type, or by a regular expression on either. Without a filter all do.
func filterOf(f *streams.ReadReq_Options_FilterOptions) (func(*Record) bool, error) {
	if f == nil {
		return func(*Record) bool { return true }, nil
	}
	text := func(r *Record) string { return r.Stream }
	e := f.GetStreamIdentifier()
	if e == nil {
		text, e = func(r *Record) string { return r.Type }, f.GetEventType()
	}
	if e == nil || f.GetWindow() == nil {
		return nil, status.Error(codes.InvalidArgument, "a filter needs an expression and a window")
	}
	if e.GetRegex() == "" {
		return func(r *Record) bool {
			for _, prefix := range e.GetPrefix() {
				if strings.HasPrefix(text(r), prefix) {
					return true
				}
			}
			return false
		}, nil
	}
	expression, err := regexp.Compile(e.GetRegex())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return func(r *Record) bool { return expression.MatchString(text(r)) }, nil
}

// checkpointEvery is after how many records, sent or not, a filtered subscription
// tells how far it is.
func checkpointEvery(f *streams.ReadReq_Options_FilterOptions) int {
	const defaultWindow = 32
	window := int(f.GetMax())
	if window == 0 {
		window = defaultWindow
	}
	return window * max(1, int(f.GetCheckpointIntervalMultiplier()))
}

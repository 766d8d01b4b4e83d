// Package eventstore keeps the log: the only truth of the ledger. Store is the
// log as bytes, with three backends (disk, kurrent, memory) under one contract;
// Ledger runs a domain command against one stream of it.
package eventstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/google/uuid"
)

// Position is a record's place in the total order of the whole log. Positions
// are ordered and opaque: later records have greater ones, and gaps are normal.
// 0 stands before the first record.
type Position uint64

// String renders the position as the text used in headers, cursors and exports.
func (p Position) String() string { return strconv.FormatUint(uint64(p), 10) }

// ParsePosition reads the text form of a position.
func ParsePosition(s string) (Position, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a position", s)
	}
	return Position(n), nil
}

// Record is an event as stored: bytes, with its place in its stream and in the
// log. A record owns its bytes; nobody may change them.
type Record struct {
	ID       uuid.UUID
	Stream   string
	Version  uint64   // 1 is a stream's first record
	Position Position // of this record alone: no two records share one
	Type     string   // stored event name, e.g. payment_method.attached
	Data     []byte   // JSON
	Metadata []byte   // JSON object with string values only; its "time" is the record's time
}

// NewRecord is a record before the store has given it its place.
type NewRecord struct {
	ID       uuid.UUID
	Type     string
	Data     []byte
	Metadata []byte
}

// Errors of a Store. Every other error means that the call failed in a way that
// is neither a lost race nor worth repeating as it stands.
var (
	// ErrUnknownOutcome: the append may or may not have happened. The caller
	// finds out by reading the stream; it must not assume either.
	ErrUnknownOutcome = errors.New("the outcome of the append is unknown")
	// ErrUnavailable: the store cannot be reached now, and nothing was appended.
	ErrUnavailable = errors.New("the event store is unavailable")
	// ErrFull: the space kept for the log is used up, and nothing was appended.
	ErrFull = errors.New("the event store has no room for another record")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("the event store is closed")
	// ErrAhead: a reader asked for what lies after the log's head; it holds
	// positions of another log, or of a later state of this one.
	ErrAhead = errors.New("the position lies ahead of the log's head")
)

// ConflictError is returned by Append when the stream is not at the expected
// version. Nothing was appended.
type ConflictError struct {
	Stream           string
	Expected, Actual uint64
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("stream %s is at version %d, not %d", e.Stream, e.Actual, e.Expected)
}

// Store is an append-only log of streams. All methods are safe for concurrent
// use and return promptly with ctx.Err() when ctx ends. There is no delete.
//
// storetest.Run is the second half of this contract: every backend passes it.
type Store interface {
	// Append adds records to the end of stream, all or none, and returns the
	// position of the last one. They must be durable before it returns nil.
	//
	// version is the number of records the stream must hold (0: it must not
	// exist yet); otherwise Append returns a *ConflictError. Repeating an append
	// that already happened (same stream, version and record ids) must return
	// the first one's position and add nothing. Other errors: ErrFull,
	// ErrUnavailable (nothing appended), ErrUnknownOutcome (look before you
	// leap), ErrClosed. Zero records are a caller's error.
	Append(ctx context.Context, stream string, version uint64, records []NewRecord) (Position, error)

	// Stream yields the records of one stream with Version ≥ from, oldest first,
	// as of the call. A stream that does not exist yields nothing. An error ends
	// the iteration as its last item.
	Stream(ctx context.Context, stream string, from uint64) iter.Seq2[Record, error]

	// Follow yields every record after the given position in log order: history
	// first, then live as it is appended, with no seam and without polling. It
	// yields batches of one or more records, and only what is durable. It never
	// ends by itself; an error, ctx's included, is its last item. A position
	// after the head gives ErrAhead.
	Follow(ctx context.Context, after Position) iter.Seq2[[]Record, error]

	// Head returns the position of the last durable record, 0 in an empty log.
	// It never goes back.
	Head(ctx context.Context) (Position, error)
}

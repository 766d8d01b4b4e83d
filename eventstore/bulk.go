package eventstore

import "context"

// Appending is one append among several.
type Appending struct {
	Stream  string
	Version uint64 // the number of records that the stream must hold before it
	Records []NewRecord
}

// Bulk is a Store that can make many appends at the price of one.
type Bulk interface {
	Store

	// AppendAll makes the appends in their order, all or none, and returns the
	// position of the last record. Nothing of others stands between them. They
	// must be durable before it returns nil. Errors are those of Append; unlike
	// there, a repeat is not recognized: it is a *ConflictError, which names the
	// first stream that is not at its version. No appends are a caller's error.
	AppendAll(ctx context.Context, appends []Appending) (Position, error)
}

package eventstore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// bulkRecords and bulkBytes bound what an import appends with one sync, where
	// the store can do that. The last command of a batch may exceed them.
	bulkRecords = 1000
	bulkBytes   = 2 << 20

	// importPatience is how long an import tries while the store is unavailable:
	// a cluster may have to elect a leader.
	importPatience = time.Minute
	importPause    = 250 * time.Millisecond
)

// batch is what an import appends at once. The last command in it may go on with
// the next line; the others are whole.
type batch struct {
	many    bool        // the store takes many appends at once
	appends []Appending // one for each command
	line    int         // of the first record
	command string      // id of the last
	records int
	size    int      // bytes of data and metadata
	source  Position // of the last record, in the log that was exported
}

// begins tells whether a record is not one more of the last command. A command
// appends to one stream, once, so its records stand next to each other.
func (b *batch) begins(e Exported) bool {
	n := len(b.appends)
	return n == 0 || b.appends[n-1].Stream != e.Stream || b.command != e.meta.CommandID
}

func (b *batch) full() bool {
	if b.many {
		return b.records >= bulkRecords || b.size >= bulkBytes
	}
	return len(b.appends) > 0
}

func (b *batch) add(e Exported, line int) {
	if b.records == 0 {
		b.line = line
	}
	if b.begins(e) {
		b.appends = append(b.appends, Appending{Stream: e.Stream, Version: e.Version - 1})
		b.command = e.meta.CommandID
	}
	last := &b.appends[len(b.appends)-1]
	last.Records = append(last.Records, NewRecord{ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata})
	b.records++
	b.size += len(e.Data) + len(e.Metadata)
	b.source = e.Position
}

// flush appends the batch.
func (i *importing) flush(ctx context.Context) error {
	b := &i.batch
	if len(b.appends) == 0 {
		return nil
	}
	if i.done.Appended == 0 {
		if err := i.o.Begin(); err != nil {
			return err
		}
	}
	err := i.appendAll(ctx, b.appends)
	if conflict := (*ConflictError)(nil); errors.As(err, &conflict) {
		err = fmt.Errorf("%w: somebody else has written to the store during the import; begin again with an empty one", err)
	}
	if err != nil {
		return fmt.Errorf("appending the export from line %d on: %w", b.line, err)
	}
	i.done.Records += uint64(b.records)
	i.done.Appended += uint64(b.records)
	i.done.Source = b.source
	clear(b.appends)
	*b = batch{many: b.many, appends: b.appends[:0]}
	i.o.Progress(i.done)
	return nil
}

func (i *importing) appendAll(ctx context.Context, appends []Appending) error {
	if bulk, ok := i.store.(Bulk); ok {
		_, err := bulk.AppendAll(ctx, appends)
		return err
	}
	for _, a := range appends {
		if err := i.append(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// append appends one command. An outcome that is unknown is found out by the
// identical repeat, which adds nothing to the first.
func (i *importing) append(ctx context.Context, a Appending) error {
	for began := time.Now(); ; {
		_, err := i.store.Append(ctx, a.Stream, a.Version, a.Records)
		if err == nil || !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnknownOutcome) || time.Since(began) > importPatience {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(importPause):
		}
	}
}

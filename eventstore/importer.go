package eventstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// Imported is how far an import has come.
type Imported struct {
	LedgerID string   `json:"ledger_id"`
	Records  uint64   `json:"records"`         // of the export, read so far
	Present  uint64   `json:"present"`         // of these, were in the store before
	Appended uint64   `json:"appended"`        // of these, by this import
	Source   Position `json:"source_position"` // of the last of these, in the log that was exported
	Head     Position `json:"head"`            // of the store, when the import has ended
}

// ImportOptions of Import.
type ImportOptions struct {
	// Fingerprint of the secret that will be used with the store. Both the export
	// and the store must have been made with it; this is checked before anything
	// is appended.
	Fingerprint string
	// Begin is called once, before the first record is appended; its error ends
	// the import. Nil does nothing.
	Begin func() error
	// Progress is called after each batch. Nil does nothing.
	Progress func(Imported)
}

// Import appends to a store what an export holds and the store does not: the same
// records in the same order, with their ids, versions, types and exact bytes. Only
// positions differ. What was appended by one command is one append again.
//
// The store must be empty or hold a beginning of the same log. What it holds is
// compared with the export, record by record, and left as it is; so an import that
// was cut off anywhere is completed by another one, and to repeat a complete one
// changes nothing. An export that begins at a later place must begin right after
// a record that the store holds. Nobody else may append meanwhile.
//
// Every record is checked as Verify does before it is appended, and at
// the end the store is asked for what it has got.
//
// A *LineError names the faulty line. What was appended before is a beginning of
// the log, of whole commands. Other errors are the store's own; while it is
// unavailable, Import tries for a minute. Memory is that of Verify.
func Import(ctx context.Context, store Store, in *ExportReader, o ImportOptions) (Imported, error) {
	if o.Begin == nil {
		o.Begin = func() error { return nil }
	}
	if o.Progress == nil {
		o.Progress = func(Imported) {}
	}
	i := &importing{store: store, in: in, o: o, walk: walk{streams: map[string]*streamEnd{}}}
	err := i.run(ctx)
	return i.done, err
}

// importing is an import under way.
type importing struct {
	store Store
	in    *ExportReader
	o     ImportOptions

	walk  walk // through the store, then through what is appended to it
	start Position
	done  Imported
	batch batch
}

func (i *importing) run(ctx context.Context) error {
	exported, err := i.in.First()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if i.start, err = i.store.Head(ctx); err != nil {
		return err
	}
	if i.start == 0 {
		err = i.mayBegin(exported)
	} else {
		err = i.mayGoOn(ctx, exported)
	}
	if err == nil && i.start > 0 {
		err = i.compare(ctx)
	}
	if err == nil {
		err = i.appendRest(ctx)
	}
	if err == nil {
		err = i.confirm(ctx)
	}
	return err
}

// mayBegin checks that an export can fill an empty store.
func (i *importing) mayBegin(exported *Identity) error {
	if i.in.ahead == nil {
		return errors.New("the export is empty, and so is the store")
	}
	if exported == nil {
		return fmt.Errorf("the export begins after the record with hash %s, and the store is empty: export the log from its start", i.in.ahead.Follows)
	}
	i.done.LedgerID = exported.LedgerID
	return exported.MadeWith(i.o.Fingerprint)
}

// mayGoOn checks that the store holds the exported log, as far as it can be seen
// from who they are.
func (i *importing) mayGoOn(ctx context.Context, exported *Identity) error {
	held, err := ReadIdentity(ctx, i.store)
	if err != nil {
		return fmt.Errorf("the store is not empty: %w", err)
	}
	if exported != nil && exported.LedgerID != held.LedgerID {
		return fmt.Errorf("the store holds the log %s, and the export is of the log %s: import it into an empty store", held.LedgerID, exported.LedgerID)
	}
	i.done.LedgerID = held.LedgerID
	return held.MadeWith(i.o.Fingerprint)
}

// errAllThere: the store holds everything that is in the export.
var errAllThere = errors.New("all is there")

// compare walks through what the store holds and checks that the export says the
// same, from the record on that the export follows.
func (i *importing) compare(ctx context.Context) error {
	follows := NoPrev
	if i.in.ahead != nil {
		follows = i.in.ahead.Follows
	}
	met := follows == NoPrev
	err := between(ctx, i.store, 0, i.start, func(batch []Record) error {
		for _, r := range batch {
			if err := i.walk.check(r); err != nil {
				return err
			}
			if met {
				if err := i.present(r); err != nil {
					return err
				}
			}
			met = met || i.walk.streams[r.Stream].hash == follows
		}
		i.o.Progress(i.done)
		return nil
	})
	switch {
	case errors.Is(err, errAllThere):
		return nil
	case err == nil && !met:
		return fmt.Errorf("the export begins after the record with hash %s, which the store does not hold: export the log from an earlier position, or from its start", follows)
	}
	return err
}

// present checks that the next line is the record that the store holds.
func (i *importing) present(r Record) error {
	e, err := i.in.next()
	if errors.Is(err, io.EOF) {
		return errAllThere
	}
	if err != nil {
		return err
	}
	if faults := differencesOf(r, e.Record); len(faults) > 0 {
		return i.in.fault(e, fmt.Errorf("the store holds something else there, at position %d: %w", r.Position, errors.Join(faults...)))
	}
	i.done.Records++
	i.done.Present++
	i.done.Source = e.Position
	return nil
}

// differencesOf lists what differs between a record and its copy.
func differencesOf(held, exported Record) (faults []error) {
	if held.Stream != exported.Stream || held.Version != exported.Version {
		return []error{fmt.Errorf("version %d of stream %s", held.Version, held.Stream)}
	}
	if held.ID != exported.ID {
		faults = append(faults, fmt.Errorf("its id is %s there and %s here", held.ID, exported.ID))
	}
	if held.Type != exported.Type {
		faults = append(faults, fmt.Errorf("its type is %s there and %s here", held.Type, exported.Type))
	}
	if !bytes.Equal(held.Data, exported.Data) {
		faults = append(faults, errors.New("its data differ"))
	}
	if !bytes.Equal(held.Metadata, exported.Metadata) {
		faults = append(faults, errors.New("its metadata differ"))
	}
	return faults
}

// appendRest appends every line that is left.
func (i *importing) appendRest(ctx context.Context) error {
	_, i.batch.many = i.store.(Bulk)
	for {
		e, err := i.in.next()
		if errors.Is(err, io.EOF) {
			return i.flush(ctx)
		}
		if err != nil {
			return err
		}
		if faults := i.walk.link(e.Record, e.meta, i.in.hash); len(faults) > 0 {
			return i.in.fault(e, errors.Join(faults...))
		}
		if i.batch.full() && i.batch.begins(e) {
			if err := i.flush(ctx); err != nil {
				return err
			}
		}
		i.batch.add(e, i.in.line)
	}
}

// confirm reads what was appended and checks that it stands in the store in the
// order of the export, and that no id occurs twice in the log.
func (i *importing) confirm(ctx context.Context) (err error) {
	if i.done.Head, err = i.store.Head(ctx); err != nil || i.done.Appended == 0 {
		return err
	}
	want := i.walk.ids[uint64(len(i.walk.ids))-i.done.Appended:]
	err = between(ctx, i.store, i.start, i.done.Head, func(batch []Record) error {
		for _, r := range batch {
			if len(want) == 0 {
				return nil // appended by others, after the last record of the export
			}
			if idHalf(r.ID) != want[0] {
				return fmt.Errorf("version %d of stream %s at position %d is not the record that the export has there: "+
					"somebody else has written to the store during the import; begin again with an empty one", r.Version, r.Stream, r.Position)
			}
			want = want[1:]
		}
		return nil
	})
	if err == nil && len(want) > 0 {
		err = fmt.Errorf("the store lacks the last %d of the records just appended to it", len(want))
	}
	if err == nil {
		err = i.walk.checkIDs(ctx, i.store, i.done.Head)
	}
	return err
}

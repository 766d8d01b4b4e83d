package projections

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/eventstore"
)

// Options of Open. Dir is required.
type Options struct {
	// Dir is the folder of the views. It may be deleted at any time while the
	// views are closed; they are rebuilt.
	Dir string

	// LedgerID is the id in the log's identity record. Views of another log are
	// refused. Empty: not checked.
	LedgerID string

	// Logger receives what happens to the views. Nil discards it.
	Logger *slog.Logger

	// Gate is the free-space gate of the volume: the projections pause while it
	// returns an error. Nil: they never pause.
	Gate func() error

	// CacheBytes is the memory for blocks of the database, MemTableBytes that of
	// one of at most four tables that wait to be written. 0: see engine.go.
	CacheBytes, MemTableBytes int64

	// WholeLog says that the views are opened to read all of a long log and then
	// closed: they are made in fewer and larger steps, with more memory, and reads
	// cost more until Compact.
	WholeLog bool

	// CachedMethods bounds the methods that are kept ready for readers, and
	// those kept ready for the projector. 0: 16384, about 3 KB each.
	CachedMethods int

	// BatchRecords bounds the records that are committed at once. 0: 1024.
	BatchRecords int

	// FS is where the files are. Nil is the file system of the machine.
	FS vfs.FS

	readOnly bool
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Gate == nil {
		o.Gate = func() error { return nil }
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCache
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = defaultMemTable
	}
	if o.CachedMethods == 0 {
		o.CachedMethods = 16384
	}
	if o.BatchRecords == 0 {
		o.BatchRecords = 1024
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	return o
}

// Errors of the views.
var (
	// ErrClosed: the views were closed.
	ErrClosed = errors.New("the views are closed")
	// ErrCursor: a cursor is not one that a list returned.
	ErrCursor = errors.New("the cursor was not made by this list")
)

// Views are the read models of one log. All methods are safe for concurrent use.
// What they read is some recent state of the log: Wait makes it recent enough.
//
// A checksum that fails while reading is an error of that read, never a wrong
// answer; the projections halt, and the next Open sets the folder aside and
// rebuilds.
type Views struct {
	o     Options
	store eventstore.Store
	log   *slog.Logger

	customers     *customers
	organizations *organizations
	projections   []*projection
	// customersProjection is the one among them that drives customers.
	customersProjection *projection
	progress            progress
	timetable           timetable
	rows                *commitCache[methodKey, *cachedRow]
	lists               *commitCache[string, []place] // of customers, by their prefix; nil for a long one

	// oneMoment is held shared by who reads several rows that must be of the same
	// state of the log, and alone while a batch becomes visible.
	oneMoment sync.RWMutex

	// guard keeps db open while somebody reads: readers hold it shared for one
	// bounded read, Close holds it alone.
	guard  sync.RWMutex
	db     *pebble.DB
	lock   *pebble.Lock // on the folder, while db is open
	closed bool
	fatal  fatal
	damage damage
}

// Open opens the views in o.Dir on the given log, or starts empty ones. It reads
// the log's head and the records that the checkpoints name.
//
// It refuses views that belong to another log (*ForeignError) or that are ahead
// of this one (*AheadError). Views that are damaged, that another release made in
// another layout, or that were made before the log moved to another store, are set
// aside or dropped and rebuilt, and the log says so.
func Open(ctx context.Context, store eventstore.Store, o Options) (*Views, error) {
	if o.Dir == "" {
		return nil, errors.New("the views need a folder")
	}
	o = o.withDefaults()
	v, err := open(ctx, store, o)
	if cleared, failed := clearAway(o, err); failed != nil {
		err = failed
	} else if cleared {
		v, err = open(ctx, store, o)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the views in %s: %w", o.Dir, err)
	}
	return v, nil
}

// clearAway removes views that cannot be used and can be made anew, and tells
// whether that was why they could not be opened.
func clearAway(o Options, cause error) (bool, error) {
	moved := (*movedError)(nil)
	switch {
	case showsDamage(cause):
		return true, setAside(o, cause)
	case errors.As(cause, &moved):
		o.Logger.Warn("the views are rebuilt", "dir", o.Dir, "cause", cause)
		return true, o.FS.RemoveAll(o.Dir)
	}
	return false, nil
}

// Check tells whether Open would take the views in o.Dir, and how far they are,
// and changes nothing. Those of another layout, which Open makes anew, are as good
// as none; damage is an error here, because it tells of the disk.
func Check(ctx context.Context, store eventstore.Store, o Options) (eventstore.Position, error) {
	o = o.withDefaults()
	o.readOnly = true
	v := newViews(store, o)
	v.damage.deal = func(error) {} // whoever opens them marks them
	defer v.damage.done.Wait()
	if err := v.openPebble(); errors.Is(err, pebble.ErrDBDoesNotExist) || errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	made, err := v.meta(metaLayout)
	if err == nil && string(made) == layout {
		_, err = v.identity()
		err = errors.Join(err, v.load(ctx))
	}
	if moved := (*movedError)(nil); errors.As(err, &moved) {
		err = nil
	}
	return v.Position(), errors.Join(err, v.closePebble())
}

func newViews(store eventstore.Store, o Options) *Views {
	v := &Views{o: o, store: store, log: o.Logger, rows: newCommitCache[methodKey, *cachedRow](o.CachedMethods), lists: newCommitCache[string, []place](max(1, o.CachedMethods/4))}
	v.customers, v.organizations = newCustomers(v), newOrganizations(v)
	v.customersProjection = newProjection(v.customers)
	v.projections = []*projection{v.customersProjection, newProjection(v.organizations)}
	v.damage.deal = v.dealWithDamage
	return v
}

func open(ctx context.Context, store eventstore.Store, o Options) (*Views, error) {
	v := newViews(store, o)
	if err := v.openEngine(); err != nil {
		return nil, err
	}
	if err := v.load(ctx); err != nil {
		err = errors.Join(err, v.closePebble())
		v.damage.done.Wait()
		return nil, err
	}
	return v, nil
}

// load reads the projectors' state and checks that it is one of this log.
func (v *Views) load(ctx context.Context) error {
	head, err := v.store.Head(ctx)
	if err != nil {
		return err
	}
	for _, p := range v.projections {
		mark, err := v.readCheckpoint(p.Name())
		if err != nil {
			return err
		}
		if err := v.belongs(ctx, p.Name(), mark, head); err != nil {
			return err
		}
		p.reached(mark)
		p.saved = mark.position
	}
	if err := errors.Join(v.customers.load(), v.organizations.load()); err != nil {
		return err
	}
	v.publishProgress()
	return nil
}

// Close writes what is in memory to the disk and closes the database. Run must
// have ended. Every later call returns ErrClosed.
func (v *Views) Close() error {
	v.guard.Lock()
	defer v.guard.Unlock()
	if v.closed {
		return nil
	}
	v.closed = true
	v.progress.wake()
	defer v.damage.done.Wait()
	if err := v.fatal.cause(); err != nil {
		// The engine's state is unknown and its files are rebuildable.
		return err
	}
	return errors.Join(v.saveCheckpoints(), v.db.Flush(), v.closePebble())
}

// enter begins a read. leave must follow when it returns nil.
func (v *Views) enter() error {
	v.guard.RLock()
	if v.closed {
		v.guard.RUnlock()
		return ErrClosed
	}
	if err := v.fatal.cause(); err != nil {
		v.guard.RUnlock()
		return err
	}
	return nil
}

func (v *Views) leave() { v.guard.RUnlock() }

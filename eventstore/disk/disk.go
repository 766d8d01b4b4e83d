// Package disk keeps the log on a local disk, in one Pebble database.
//
// An append is acknowledged after its fsync and not before. One writer takes
// everything that is queued, commits it with one sync and takes what has queued
// meanwhile, so appends share syncs without ever waiting for a timer. Readers
// never wait for the writer: what is new comes from a bounded tail in memory,
// what is old from the database, and neither shows what is not yet durable.
//
// Whatever is read is checked, by the engine per block and here per record. A
// record that fails is an error that names its place, never an end of the log.
// Open looks for damage that the engine itself would take for a torn write, see
// recovery.go. An I/O error that reaches the log ends the process, see Options.OnFatal.
package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/eventstore"
)

// Options of Open. The zero value is right for production.
type Options struct {
	// Logger receives what the engine has to say and what recovery found.
	// Nil discards it.
	Logger *slog.Logger

	// MinFree is the free space of the volume, in bytes, below which appends are
	// refused with eventstore.ErrFull. 0 means DefaultMinFree.
	MinFree uint64

	// FreeSpace measures the free bytes of the volume that holds dir. Nil asks
	// the file system.
	FreeSpace func(dir string) (uint64, error)

	// OnFatal is called once, with the cause, when an I/O error reaches the log.
	// What the disk holds is unknown from then on: nothing more is acknowledged
	// and nothing is retried. It must end the process, and the default does,
	// with status 1; what survived is found at the next start. If it returns,
	// as in tests, every further append fails and Close leaves the files as
	// they are.
	OnFatal func(error)

	// Cache and MemTable are sizes in bytes, see engine.go. 0 means the default.
	Cache, MemTable int64

	// FS is where the files are. Nil is the file system of the machine.
	FS vfs.FS

	readOnly bool
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MinFree == 0 {
		o.MinFree = DefaultMinFree
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.FreeSpace == nil {
		fs := o.FS
		o.FreeSpace = func(dir string) (uint64, error) {
			u, err := fs.GetDiskUsage(dir)
			return u.AvailBytes, err
		}
	}
	if o.OnFatal == nil {
		log := o.Logger
		o.OnFatal = func(err error) {
			log.Error("the log cannot be written; ending the process, nothing unsynced was acknowledged", "error", err)
			os.Exit(1)
		}
	}
	if o.Cache == 0 {
		o.Cache = defaultCache
	}
	if o.MemTable == 0 {
		o.MemTable = defaultMemTable
	}
	return o
}

// Store is an eventstore.Store on a local disk. Use Open. All methods are safe
// for concurrent use.
type Store struct {
	dir  string
	opt  Options
	gate *Gate

	queue   queue
	heads   heads
	tail    tail
	stopped chan struct{} // closed when the writer has ended

	reserve   reserve
	flushed   chan struct{} // holds a token when the floor should be raised; closed by Close
	floorKept chan struct{} // closed when nobody raises it any more

	// guard keeps db open while somebody reads: readers hold it shared for one
	// bounded read, Close holds it alone.
	guard  sync.RWMutex
	db     *pebble.DB
	lock   *pebble.Lock // on the folder, from before recovery until after Close
	closed bool

	failed  sync.Once
	failure atomic.Pointer[failure] // set once, by the first fatal error
}

var _ eventstore.Store = (*Store)(nil)

// failure is the I/O error that made the log unusable.
type failure struct{ cause error }

// Open opens the log in dir, creating it if dir is empty or missing, and
// replays what was not yet in its tables. It refuses a log that is damaged or
// that another process has open. One process at a time may have it open.
func Open(dir string, opt Options) (*Store, error) {
	s := newStore(dir, opt)
	last, err := s.recover()
	if err != nil {
		return nil, fmt.Errorf("opening the log in %s: %w", dir, err)
	}
	s.tail.init(last)
	s.reserve.look()
	_ = s.gate.Check() // a full volume is no reason not to read; appends ask again
	go s.keepFloor()
	go s.write(last)
	return s, nil
}

func newStore(dir string, opt Options) *Store {
	opt = opt.withDefaults()
	s := &Store{
		dir: dir, opt: opt,
		stopped: make(chan struct{}), flushed: make(chan struct{}, 1), floorKept: make(chan struct{}),
		reserve: reserve{fs: opt.FS, path: opt.FS.PathJoin(dir, reserveFile), size: min(opt.MinFree/4, maxReserve), log: opt.Logger},
	}
	s.gate = &Gate{Dir: dir, MinFree: opt.MinFree, FreeSpace: opt.FreeSpace, room: s.reserve.offer}
	s.queue.init()
	return s
}

// recover locks the folder, opens the engine and returns the position of the
// last record.
func (s *Store) recover() (last eventstore.Position, err error) {
	if !s.opt.readOnly {
		if err := s.opt.FS.MkdirAll(s.dir, 0o700); err != nil {
			return 0, err
		}
	}
	if s.lock, err = Lock(s.dir, s.opt.FS); err != nil {
		return 0, err
	}
	torn, err := s.openEngine()
	if err == nil {
		last, err = s.lastPosition()
	}
	if err == nil {
		err = s.checkWhole(last, torn)
	}
	if err != nil {
		if s.db != nil {
			err = errors.Join(err, s.db.Close())
		}
		return 0, errors.Join(err, s.lock.Close())
	}
	return last, nil
}

// Gate is the free-space gate of the volume. Others that write to the same
// volume pause at it too.
func (s *Store) Gate() *Gate { return s.gate }

// Close finishes the appends that are queued and closes the log. Every other
// call, those under way included, returns eventstore.ErrClosed from then on.
func (s *Store) Close() error {
	if s.opt.readOnly {
		return s.closeReadOnly()
	}
	s.queue.close()
	<-s.stopped
	s.tail.close()
	if s.failure.Load() != nil {
		return s.unusable()
	}
	s.guard.Lock()
	defer s.guard.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.db.Close()
	close(s.flushed) // after the engine, which may still finish a flush
	<-s.floorKept
	if err == nil {
		err = s.writeFloor(s.tail.head())
	}
	return errors.Join(err, s.lock.Close())
}

// fail makes the log unusable. It is called when an I/O error reached it. Whoever
// meets another one meanwhile waits for OnFatal too: the engine would go on into a
// panic, and the process end without its cause.
func (s *Store) fail(cause error) {
	s.failed.Do(func() {
		s.failure.Store(&failure{cause})
		s.opt.OnFatal(cause)
	})
}

// unusable is the error of every call that needs a log that has failed, nil
// while it has not.
func (s *Store) unusable() error {
	if f := s.failure.Load(); f != nil {
		return fmt.Errorf("%w: the log in %s failed and needs a restart: %w", eventstore.ErrUnavailable, s.dir, f.cause)
	}
	return nil
}

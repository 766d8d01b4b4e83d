package projections

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable/block"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
)

const (
	// layout is the version of keys and values. Views of another layout are
	// dropped and rebuilt.
	layout = "5"

	// defaultCache holds the blocks that lists and older methods are read from;
	// the methods read most are kept decoded beside it. The engine takes the
	// memory of its tables in memory from it, so it must be well above a few of
	// those: with twice a table, filters and indexes were read again and again.
	defaultCache = 96 << 20
	// defaultMemTable is what is written before it must be sorted and written
	// again. The larger, the fewer compactions, and the more is read from the
	// log again after a crash.
	defaultMemTable = 16 << 20

	metaLayout = "layout"
	metaLedger = "ledger"
)

// ForeignError says that the views were made from another log.
type ForeignError struct{ Found, Want string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("they were made from the log %s, and this log is %s: give the right folder, or delete this one and they are rebuilt", e.Found, e.Want)
}

// AheadError says that a projection has applied what the log does not hold: the
// log was replaced by an older or another one.
type AheadError struct {
	Projection     string
	Position, Head eventstore.Position
}

func (e *AheadError) Error() string {
	return fmt.Sprintf("projection %s has applied position %s, which this log (head %s) does not hold: "+
		"bring back the newer log, or, if the loss is accepted, delete the folder and the views are rebuilt", e.Projection, e.Position, e.Head)
}

// fatal remembers that the engine could not go on.
type fatal struct{ first atomic.Pointer[error] }

func (f *fatal) set(err error) { f.first.CompareAndSwap(nil, &err) }

func (f *fatal) cause() error {
	if err := f.first.Load(); err != nil {
		return *err
	}
	return nil
}

// openEngine opens the database, an empty one when there is none that can be
// used. On an error it is closed.
func (v *Views) openEngine() error {
	fs, dir := v.o.FS, v.o.Dir
	if _, err := fs.Stat(fs.PathJoin(dir, damagedMark)); err == nil {
		if err := setAside(v.o, errors.New("damage was found while they were open")); err != nil {
			return err
		}
	}
	if err := v.openPebble(); err != nil {
		return err
	}
	found, err := v.identity()
	if err == nil && found != layout {
		v.log.Warn("the views have the layout of another release and are rebuilt", "found", found, "want", layout)
		if err := errors.Join(v.closePebble(), fs.RemoveAll(dir)); err != nil {
			return err
		}
		if err := v.openPebble(); err != nil {
			return err
		}
		_, err = v.identity()
	}
	if err != nil {
		return errors.Join(err, v.closePebble())
	}
	return nil
}

// openPebble locks the folder and opens the database. That runs in a goroutine of its
// own because a fatal error in the engine ends the goroutine that met it, see
// disk.EngineLog.
func (v *Views) openPebble() (err error) {
	if !v.o.readOnly {
		if err := v.o.FS.MkdirAll(v.o.Dir, 0o700); err != nil {
			return err
		}
	}
	if v.lock, err = disk.Lock(v.o.Dir, v.o.FS); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.db, err = pebble.Open(v.o.Dir, v.engineOptions())
	}()
	<-done
	if cause := v.fatal.cause(); cause != nil {
		err = cause
	}
	if err != nil {
		err = errors.Join(err, v.lock.Close())
	}
	return err
}

func (v *Views) closePebble() error { return errors.Join(v.db.Close(), v.lock.Close()) }

// cannotWrite is told when the engine cannot go on. The views are disposable, so the
// process goes on without them.
func (v *Views) cannotWrite(err error) {
	v.log.Error("the views cannot be written; restart when the disk is well again", "error", err)
	v.fatal.set(err)
}

func (v *Views) engineOptions() *pebble.Options {
	o := &pebble.Options{
		FS:                          blobFiles{v.o.FS, v.damage.found},
		Lock:                        v.lock,
		FormatMajorVersion:          pebble.FormatNewest,
		ReadOnly:                    v.o.readOnly,
		DisableWAL:                  true, // the log is the write-ahead log
		CacheSize:                   v.o.CacheBytes,
		MemTableSize:                uint64(v.o.MemTableBytes),
		MemTableStopWritesThreshold: 4,
		// Measured per attach: 32 µs of compaction with the engine's defaults, 15 µs
		// with twice the tables before the first compaction, a first level that
		// is written less often, and no compression but in the last level.
		L0CompactionThreshold: 8,
		L0StopWritesThreshold: 24,
		LBaseMaxBytes:         512 << 20,
		Logger:                disk.EngineLog{Log: v.log, Fatal: v.cannotWrite},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) {
				v.log.Error("the views' engine met an error and goes on trying", "error", err)
			},
			// Without this the engine would end the process.
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				v.damage.found(fmt.Errorf("%s: %w", i.Path, i.Details))
			},
		},
	}
	for i := range o.Levels {
		// Asking for a method that does not exist must not cost a read.
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = 16 << 10
		o.Levels[i].IndexBlockSize = 256 << 10 // one index a table, not an index of indexes
		o.Levels[i].Compression = func() *block.CompressionProfile { return block.NoCompression }
	}
	// Rows and messages are large and compactions need not copy them: they lie in
	// files of their own. Worth 5 to 10 % of an attach's processor time. How many of
	// these files one table may name is not bounded: past the bound compactions copy
	// the values after all, which was a quarter of a rebuild with 1 M methods.
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: 512, MaxBlobReferenceDepth: math.MaxInt32, RewriteMinimumAge: 5 * time.Minute, TargetGarbageRatio: 0.3}
	}
	// A second compaction begins when the first cannot keep up.
	o.CompactionConcurrencyRange = func() (int, int) { return 1, 2 }
	o.Levels[len(o.Levels)-1].Compression = func() *block.CompressionProfile { return block.SnappyCompression }
	if v.o.WholeLog {
		forWholeLog(o)
	}
	return o
}

// forWholeLog makes compactions rare. The keys of most tables come in no order, so
// each compaction writes all of them again. Measured with 1 M methods: two instead
// of 250, and half the processor time of the whole rebuild.
func forWholeLog(o *pebble.Options) {
	o.MemTableSize = max(o.MemTableSize, 64<<20)
	o.L0CompactionThreshold, o.L0StopWritesThreshold = 64, 1024
	o.LBaseMaxBytes = 1 << 40 // all of it in one level
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = 16 << (20 + i)
	}
}

// Compact makes few tables of the many that WholeLog leaves, so that the next start
// has nothing to catch up with. It takes a few seconds for a million methods.
func (v *Views) Compact(ctx context.Context) error {
	if err := v.enter(); err != nil {
		return err
	}
	defer v.leave()
	return v.db.Compact(ctx, []byte{0}, []byte{0xff}, true)
}

// identity reads the layout of the views, writing it into new ones, and checks
// which log they belong to.
func (v *Views) identity() (string, error) {
	found, err := v.meta(metaLayout)
	if err != nil {
		return "", err
	}
	if found == nil {
		return layout, errors.Join(
			v.db.Set(prefix(tableMeta, metaLayout), []byte(layout), pebble.NoSync),
			v.db.Set(prefix(tableMeta, metaLedger), []byte(v.o.LedgerID), pebble.NoSync))
	}
	ledger, err := v.meta(metaLedger)
	if err == nil && v.o.LedgerID != "" && string(ledger) != v.o.LedgerID {
		err = &ForeignError{Found: string(ledger), Want: v.o.LedgerID}
	}
	return string(found), err
}

// meta reads a value about the views, nil when there is none.
func (v *Views) meta(name string) ([]byte, error) { return v.read(prefix(tableMeta, name)) }

// read returns a copy of a value, nil when there is none.
func (v *Views) read(key []byte) ([]byte, error) {
	value, closer, err := v.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(value)), value...)
	return out, closer.Close()
}

// has tells whether there is a value. Unlike read, it asks the filters of the
// lowest level too, so a "no" costs no block; a "yes" costs more than read.
func (v *Views) has(key []byte) (bool, error) {
	it, err := v.db.NewIter(&pebble.IterOptions{LowerBound: key, UpperBound: append(key[:len(key):len(key)], 0), UseL6Filters: true})
	if err != nil {
		return false, err
	}
	found := it.SeekPrefixGE(key)
	return found, it.Close()
}

// movedError says that the log holds the record of a checkpoint at another position:
// it was moved to another store since. Positions are in keys and rows, so the
// views are made anew.
type movedError struct{ then, now eventstore.Position }

func (e *movedError) Error() string {
	return fmt.Sprintf("the log was moved to another store: what they know at position %s is at position %s", e.then, e.now)
}

// belongs checks that the log holds the record at which a checkpoint stands. A
// position after the head is no proof that it does not: see movedError.
func (v *Views) belongs(ctx context.Context, name string, mark checkpoint, head eventstore.Position) error {
	if mark.position == 0 {
		return nil
	}
	for r, err := range v.store.Stream(ctx, mark.stream, mark.version) {
		switch {
		case err != nil:
			return err
		case mark.isAt(r) && r.Position == mark.position:
			return nil
		case mark.isAt(r):
			return &movedError{then: mark.position, now: r.Position}
		}
		break
	}
	return &AheadError{Projection: name, Position: mark.position, Head: head}
}

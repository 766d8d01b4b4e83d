package disk

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/eventstore"
)

const (
	// defaultCache holds the blocks of streams that are read again and the
	// filters and indexes that answer "no such stream" without a read. The
	// engine takes the memory of its tables in memory from it, so it is more than
	// four of those: with two, filters were read again and again, and "no such
	// stream" took 28 µs instead of 13.
	defaultCache = 192 << 20
	// defaultMemTable is what the log writes before it must sort and write it
	// again. At 64 writers an append took 22 µs with 64 MiB and 36 µs with the
	// engine's own 4 MiB; up to four of them are in memory, so this is half of
	// what is fastest.
	defaultMemTable = 32 << 20
)

// openEngine opens the database under s.dir, after a look at the files in which
// the engine would not see damage.
func (s *Store) openEngine() (t torn, err error) {
	found, err := pebble.Peek(s.dir, s.opt.FS)
	if err != nil {
		return t, err
	}
	if !found.Exists && s.opt.readOnly {
		return t, ErrNoLog
	}
	if found.Exists {
		if t, err = s.inspect(found.ManifestFilename); err != nil {
			return t, err
		}
	} else {
		// The write-ahead log of a database that was just created is in an older
		// format, in which a changed byte cannot be told from the end. Opening
		// it a second time starts one in the format of our choice.
		db, err := s.openPebble()
		if err != nil {
			return t, err
		}
		if err := db.Close(); err != nil {
			return t, err
		}
	}
	if s.db, err = s.openPebble(); err != nil && found.Exists {
		err = fmt.Errorf("%w (read with %s and %s; %s)", err, found.ManifestFilename, found.OptionsFilename, t)
	}
	return t, err
}

// openPebble runs in a goroutine of its own because a fatal error in the engine
// ends the goroutine that met it, see EngineLog.
func (s *Store) openPebble() (db *pebble.DB, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		db, err = pebble.Open(s.dir, s.engineOptions())
	}()
	<-done
	if f := s.failure.Load(); f != nil {
		return nil, f.cause
	}
	return db, err
}

func (s *Store) engineOptions() *pebble.Options {
	log := s.opt.Logger
	o := &pebble.Options{
		FS:                 fatalWrites{vfs.OnDiskFull(markersLast{s.opt.FS}, s.reserve.release), s.fail},
		Lock:               s.lock,
		ReadOnly:           s.opt.readOnly,
		FormatMajorVersion: pebble.FormatNewest,
		CacheSize:          s.opt.Cache,
		MemTableSize:       uint64(s.opt.MemTable),
		// Four tables may wait for their flush before appends must wait.
		MemTableStopWritesThreshold: 4,
		// As for the views: half the compactions of the engine's defaults.
		L0CompactionThreshold: 8,
		L0StopWritesThreshold: 24,
		LBaseMaxBytes:         512 << 20,
		Logger:                EngineLog{log, s.fail},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { log.Error("the log's engine met an error and goes on trying", "error", err) },
			FlushEnd: func(pebble.FlushInfo) {
				select {
				case s.flushed <- struct{}{}:
				default:
				}
			},
			// The read that met it returns an error of its own.
			DataCorruption: func(i pebble.DataCorruptionInfo) { log.Error("the log is damaged", "file", i.Path, "error", i.Details) },
		},
	}
	for i := range o.Levels {
		// A stream that does not exist yet must cost microseconds, not a read.
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = 8 << 10
		o.Levels[i].IndexBlockSize = 256 << 10 // one index a table, not an index of indexes
	}
	return o
}

// lastPosition finds the head of the log.
func (s *Store) lastPosition() (eventstore.Position, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{recordPrefix}, UpperBound: []byte{recordPrefix + 1}})
	if err != nil {
		return 0, err
	}
	var last eventstore.Position
	if it.Last() {
		if last, err = keyPosition(it.Key()); err == nil {
			var value []byte
			if value, err = it.ValueAndErr(); err == nil {
				_, _, err = new(decoder).decode(value, last)
			}
		}
	}
	return last, errors.Join(err, it.Close())
}

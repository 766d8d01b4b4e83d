package disk_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
)

// volume is a disk that somebody else fills up.
type volume struct {
	*vfs.MemFS
	free     atomic.Int64 // bytes
	gone     atomic.Bool  // the reserve
	overrun  func()       // told when appends go on after that until nothing is left
	reserved int64        // bytes that the log's reserve gives back
}

func (v *volume) between(op operation, _ func(), whole func() error) error {
	switch {
	case op.kind == "remove" && strings.HasSuffix(op.path, "/reserve"):
		v.gone.Store(true)
		v.free.Add(v.reserved)
	case op.isWrite() && v.free.Add(-1<<10) < 0:
		if v.gone.Load() {
			v.overrun()
		}
		return syscall.ENOSPC
	}
	return whole()
}

// fillVolumes fills volumes under logs that are written, and empties them again.
// They wait for the gate, which looks ten times a second, so many go side by side.
func (c *faultCounts) fillVolumes(n int) int {
	var g sync.WaitGroup
	var next atomic.Int64
	for range 16 {
		g.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := fillAndEmpty(); err != nil {
					c.blame(err, "a full volume")
				}
			}
		})
	}
	g.Wait()
	return n
}

// fillAndEmpty expects that appends are refused on the full volume, that reads are
// not, that appends go on when there is room, and that all are there afterwards.
func fillAndEmpty() error {
	const plenty = 1 << 40
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// The gate looks ten times a second: in that time no more may be written than this.
	v := &volume{MemFS: vfs.NewCrashableMem(), reserved: 64 << 20, overrun: cancel}
	v.free.Store(plenty)
	opt := small(watch(v.MemFS, v.between))
	opt.MinFree = 4 << 10
	opt.FreeSpace = func(string) (uint64, error) { return uint64(max(v.free.Load()-v.reserved, 0)), nil }
	fatal := make(chan error, 1)
	opt.OnFatal = func(err error) { fatal <- err }
	s, err := disk.Open("log", opt)
	if err != nil {
		return err
	}
	acked, stream := 0, "customer-acme+"+uuid.NewString()
	add := func() error {
		_, err := s.Append(ctx, stream, uint64(acked), records(1, 300))
		if err == nil {
			acked++
		}
		return err
	}
	until := func(want error) (err error) {
		for err = add(); !errors.Is(err, want); err = add() {
			if err != nil && !errors.Is(err, eventstore.ErrFull) {
				return fmt.Errorf("an append was answered with %w, waiting for %w", err, want)
			}
			select {
			case err := <-fatal:
				return err
			default:
			}
		}
		return nil
	}
	if err := add(); err != nil {
		return err
	}
	v.free.Store(0)
	if err := until(eventstore.ErrFull); err != nil {
		return err
	}
	before := acked
	if log, err := readLog(s); err != nil || len(log) != acked {
		return fmt.Errorf("%w: %d of %d records can be read from a full volume, error %v", errLost, len(log), acked, err)
	}
	v.free.Store(plenty)
	if err := until(nil); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	n, err := countRecords(v.CrashClone(vfs.CrashCloneCfg{}))
	if n != acked || acked <= before {
		return fmt.Errorf("%w: %d records of %d, %d before there was room, error %v", errLost, n, acked, before, err)
	}
	return err
}

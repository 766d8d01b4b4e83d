package disk

import (
	"errors"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/eventstore/planted"
)

// fatalWrites is a file system on which a failed write or sync is told before the
// engine hears of it. The engine panics on some, such as those it meets while it
// changes from one write-ahead log to the next, and the process would end without
// the reason. Others it tries again without end, and appends would wait for it.
//
// A table for which there is no room is no such error: the gate closes, and the
// engine goes on when there is room.
type fatalWrites struct {
	vfs.FS
	fail func(error)
}

func (w fatalWrites) told(name string, err error) error {
	if err != nil && (!errors.Is(err, syscall.ENOSPC) || !strings.HasSuffix(name, ".sst")) {
		w.fail(err)
	}
	return err
}

func (w fatalWrites) opened(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, w.told(name, err)
	}
	return fatalFile{f, w, name}, nil
}

// Create implements vfs.FS.
func (w fatalWrites) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.Create(name, category)
	return w.opened(name, f, err)
}

// ReuseForWrite implements vfs.FS.
func (w fatalWrites) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.ReuseForWrite(old, name, category)
	return w.opened(name, f, err)
}

// OpenDir implements vfs.FS. A folder is opened to be synced.
func (w fatalWrites) OpenDir(name string) (vfs.File, error) {
	f, err := w.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return fatalFile{f, w, name}, nil
}

// Unwrap implements vfs.FS.
func (w fatalWrites) Unwrap() vfs.FS { return w.FS }

// fatalFile is a file that is written, or a folder.
type fatalFile struct {
	vfs.File
	in   fatalWrites
	name string
}

// Write implements vfs.File.
func (f fatalFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.in.told(f.name, err)
}

// Sync implements vfs.File.
func (f fatalFile) Sync() error { return f.in.told(f.name, f.File.Sync()) }

// SyncData implements vfs.File.
func (f fatalFile) SyncData() error {
	err := f.File.SyncData()
	if err != nil && planted.RetrySync.Here() {
		err = f.File.SyncData()
	}
	return f.in.told(f.name, err)
}

// SyncTo implements vfs.File.
func (f fatalFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.in.told(f.name, err)
}

// Close implements vfs.File.
func (f fatalFile) Close() error { return f.in.told(f.name, f.File.Close()) }

package disk_test

import (
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// operation is something that is about to change what a disk holds.
type operation struct {
	number int64 // from 1, in the order in which they begin
	kind   string
	path   string
	handle int64 // of the open file, from 1; 0: it has none yet
}

func (o operation) isSync() bool  { return o.kind == "sync" }
func (o operation) isWrite() bool { return o.kind == "write" }

// watched is a file system that hands every operation to between, which makes it
// happen with whole, makes a part of it happen with half, or neither. Files that
// are only read are not watched.
type watched struct {
	vfs.FS
	begun   *atomic.Int64
	handles *atomic.Int64
	between func(op operation, half func(), whole func() error) error
}

func watch(fs vfs.FS, between func(op operation, half func(), whole func() error) error) watched {
	return watched{fs, new(atomic.Int64), new(atomic.Int64), between}
}

// crashable is a disk in memory of which pictures can be taken while it is used:
// some of its operations lock it twice, and would wait for a picture that waits for
// them.
type crashable struct {
	*vfs.MemFS
	still sync.RWMutex // held alone while a picture is taken
}

func newCrashable() *crashable { return &crashable{MemFS: vfs.NewCrashableMem()} }

// during runs an operation.
func (c *crashable) during(whole func() error) error {
	c.still.RLock()
	defer c.still.RUnlock()
	return whole()
}

// picture is what is on the disk when power is lost now: what was synced, and some
// percent of everything else.
func (c *crashable) picture(percent int, seed uint64) *crashable {
	c.still.Lock()
	defer c.still.Unlock()
	rng := rand.New(rand.NewPCG(seed, uint64(percent)))
	return &crashable{MemFS: c.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})}
}

// Unwrap implements vfs.FS.
func (w watched) Unwrap() vfs.FS { return w.FS }

func (w watched) do(kind, path string, whole func() error) error {
	return w.between(operation{w.begun.Add(1), kind, path, 0}, func() {}, whole)
}

func (w watched) opened(kind, path string, open func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := w.do(kind, path, func() (err error) {
		f, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	return watchedFile{f, w, path, w.handles.Add(1)}, nil
}

// Create implements vfs.FS.
func (w watched) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return w.opened("create", name, func() (vfs.File, error) { return w.FS.Create(name, category) })
}

// OpenReadWrite implements vfs.FS.
func (w watched) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return w.opened("create", name, func() (vfs.File, error) { return w.FS.OpenReadWrite(name, category, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (w watched) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return w.opened("rename", name, func() (vfs.File, error) { return w.FS.ReuseForWrite(old, name, category) })
}

// OpenDir implements vfs.FS.
func (w watched) OpenDir(name string) (vfs.File, error) {
	f, err := w.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return watchedFile{f, w, name, w.handles.Add(1)}, nil
}

// Link implements vfs.FS.
func (w watched) Link(old, name string) error {
	return w.do("link", name, func() error { return w.FS.Link(old, name) })
}

// Remove implements vfs.FS.
func (w watched) Remove(name string) error {
	return w.do("remove", name, func() error { return w.FS.Remove(name) })
}

// RemoveAll implements vfs.FS.
func (w watched) RemoveAll(name string) error {
	return w.do("remove", name, func() error { return w.FS.RemoveAll(name) })
}

// Rename implements vfs.FS.
func (w watched) Rename(old, name string) error {
	return w.do("rename", name, func() error { return w.FS.Rename(old, name) })
}

// MkdirAll implements vfs.FS.
func (w watched) MkdirAll(name string, mode os.FileMode) error {
	return w.do("create", name, func() error { return w.FS.MkdirAll(name, mode) })
}

type watchedFile struct {
	vfs.File
	in     watched
	path   string
	handle int64
}

func (f watchedFile) do(kind string, half func(), whole func() error) error {
	return f.in.between(operation{f.in.begun.Add(1), kind, f.path, f.handle}, half, whole)
}

// Write implements vfs.File.
func (f watchedFile) Write(p []byte) (n int, err error) {
	err = f.do("write",
		func() { n, _ = f.File.Write(p[:len(p)/2]) },
		func() (err error) { n, err = f.File.Write(p); return err })
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// WriteAt implements vfs.File.
func (f watchedFile) WriteAt(p []byte, at int64) (n int, err error) {
	err = f.do("write",
		func() { n, _ = f.File.WriteAt(p[:len(p)/2], at) },
		func() (err error) { n, err = f.File.WriteAt(p, at); return err })
	return n, err
}

// Sync implements vfs.File.
func (f watchedFile) Sync() error { return f.do("sync", func() {}, f.File.Sync) }

// SyncData implements vfs.File.
func (f watchedFile) SyncData() error { return f.do("sync", func() {}, f.File.SyncData) }

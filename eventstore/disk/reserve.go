package disk

import (
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	reserveFile = "reserve"
	// maxReserve bounds the reserve, which is a quarter of MinFree: enough for
	// the engine to finish what it has begun.
	maxReserve = 64 << 20
)

// reserve is a file that only takes up room. It is removed when a write finds
// the volume full, although the gate should have closed long before: somebody
// else filled it within the 100 ms between two looks. The engine then repeats
// the write once, with room. Where the file system cannot preallocate, the file
// takes up nothing and only the gate is left.
type reserve struct {
	fs      vfs.FS // without the reserve's own hook
	path    string
	size    uint64 // bytes; 0: there is no reserve
	log     *slog.Logger
	missing atomic.Bool
}

// look finds out whether the reserve is there.
func (r *reserve) look() {
	if r.size > 0 {
		_, err := r.fs.Stat(r.path)
		r.missing.Store(err != nil)
	}
}

// release makes room. The engine's writes wait for it.
func (r *reserve) release() {
	if r.size > 0 && r.fs.Remove(r.path) == nil {
		r.missing.Store(true)
		r.log.Warn("the volume of the log is full; its reserve was released", "file", r.path, "bytes", r.size)
	}
}

// offer takes the reserve out of the room that is free, if it was released and
// fits.
func (r *reserve) offer(free uint64) {
	if free < r.size || !r.missing.Load() {
		return
	}
	if err := r.restore(); err != nil {
		r.log.Warn("the reserve of the log could not be put back", "file", r.path, "bytes", r.size, "error", err)
	}
	r.missing.Store(false)
}

func (r *reserve) restore() error {
	f, err := r.fs.Create(r.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Preallocate(0, int64(r.size)), f.Close()); err != nil {
		_ = r.fs.Remove(r.path) // half a reserve is none; the error says why
		return err
	}
	return nil
}

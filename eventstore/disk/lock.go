package disk

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrLocked: somebody has the folder open.
var ErrLocked = errors.New("it is open already; if another pmledger has it open, stop that one first")

// Lock keeps everybody else from opening the database in dir, in this process and
// in others, until the lock is closed. The error is ErrLocked while somebody has it.
func Lock(dir string, files vfs.FS) (*pebble.Lock, error) {
	lock, err := pebble.LockDirectory(dir, files)
	if noFile := (*fs.PathError)(nil); err != nil && !errors.As(err, &noFile) {
		err = fmt.Errorf("%w (%w)", ErrLocked, err)
	}
	return lock, err
}

package projections

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/blob"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// errDamagedFile: the end of a file of large values cannot be right.
var errDamagedFile = errors.New("a file is damaged")

// blobFiles is a file system that looks at the end of a file of large values before
// the engine does. The engine panics when it finds damage there, in whatever goroutine
// that is, and would again after every start.
type blobFiles struct {
	vfs.FS
	found func(cause error)
}

// Open implements vfs.FS.
func (b blobFiles) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	file, err := b.FS.Open(name, opts...)
	if err != nil || !strings.HasSuffix(name, ".blob") {
		return file, err
	}
	readable, err := sstable.NewSimpleReadable(file)
	if err == nil {
		_, err = blob.NewFileReader(context.Background(), readable, blob.FileReaderOptions{})
	}
	if err != nil {
		// The engine must not know it as corruption: that is when it panics.
		err = fmt.Errorf("%w: %s: %v", errDamagedFile, name, err)
		b.found(err)
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Unwrap implements vfs.FS.
func (b blobFiles) Unwrap() vfs.FS { return b.FS }

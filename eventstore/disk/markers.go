package disk

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/eventstore/planted"
)

// markersLast is a file system on which a marker reaches the disk after what it
// points to. The engine switches manifests by creating an empty file whose name
// says which one holds, and syncs the folder only after that: were the two new
// names written in the other order when power is lost, the marker would point
// to nothing and the log would not open.
type markersLast struct{ vfs.FS }

// Create implements vfs.FS.
func (m markersLast) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(m.PathBase(name), "marker.") && !planted.MarkerFirst.Here() {
		dir, err := m.OpenDir(m.PathDir(name))
		if err != nil {
			return nil, err
		}
		if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
			return nil, err
		}
	}
	return m.FS.Create(name, category)
}

// Unwrap implements vfs.FS.
func (m markersLast) Unwrap() vfs.FS { return m.FS }

package disk

import (
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Inspect is the look that Open takes at the files before the engine does.
func Inspect(dir string, fs vfs.FS) error {
	s := &Store{dir: dir, opt: Options{FS: fs}.withDefaults()}
	found, err := pebble.Peek(dir, fs)
	if err == nil {
		_, err = s.inspect(found.ManifestFilename)
	}
	return err
}

// Queued is how many appends wait for the writer.
func (s *Store) Queued() int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return len(s.queue.waiting)
}

// Fail is called with every I/O error that reached the log.
func (s *Store) Fail(cause error) { s.fail(cause) }

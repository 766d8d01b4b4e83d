package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/planted"
)

// torn is where files end in the middle of a write, as after a crash.
type torn struct {
	manifest bool
	places   []string
}

func (t torn) String() string {
	if len(t.places) == 0 {
		return "no file has a torn end"
	}
	return "torn ends: " + strings.Join(t.places, ", ")
}

// inspect reads the files in which the engine would take damage for the end of
// what was written, before the engine opens them: the write-ahead logs and the
// current manifest. Damage is an error that names file and offset.
func (s *Store) inspect(manifest string) (t torn, err error) {
	if planted.SkipScan.Here() {
		return t, nil
	}
	names, err := s.opt.FS.List(s.dir)
	if err != nil {
		return t, err
	}
	logs, newest := map[string]chunkFile{}, uint32(0)
	for _, name := range names {
		digits, isLog := strings.CutSuffix(name, ".log")
		number, err := strconv.ParseUint(digits, 10, 64)
		if !isLog || err != nil {
			continue
		}
		f := chunkFile{number: uint32(number)}
		begun, err := s.begun(name, f)
		if err != nil {
			return t, err
		}
		if logs[name] = f; begun {
			newest = max(newest, f.number)
		}
	}
	for name, f := range logs {
		f.newest = f.number >= newest
		if _, err := s.inspectFile(name, f, &t); err != nil {
			return t, err
		}
	}
	clean, err := s.inspectFile(s.opt.FS.PathBase(manifest), chunkFile{manifest: true}, &t)
	t.manifest = !clean
	return t, err
}

// begun tells whether a log begins with a valid chunk: then the one before it was
// closed and synced.
func (s *Store) begun(name string, f chunkFile) (bool, error) {
	path := s.opt.FS.PathJoin(s.dir, name)
	file, err := s.opt.FS.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return false, err
	}
	block := make([]byte, blockSize)
	n, err := io.ReadFull(file, block)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return false, fmt.Errorf("reading %s: %w", path, err)
	}
	_, ok := f.at(block[:n])
	return ok, nil
}

func (s *Store) inspectFile(name string, f chunkFile, t *torn) (clean bool, err error) {
	path := s.opt.FS.PathJoin(s.dir, name)
	file, err := s.opt.FS.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return false, err
	}
	c, err := f.scan(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return false, fmt.Errorf("reading %s: %w", path, err)
	}
	if c.beyond != 0 {
		return false, fmt.Errorf("%s is %w at offset %d: %s at offset %d shows that more had been written; "+
			"restore the log from a backup or a replica, and keep this copy", path, errDamaged, c.end, c.proof, c.beyond)
	}
	if !c.clean {
		t.places = append(t.places, fmt.Sprintf("%s at offset %d", path, c.end))
		s.opt.Logger.Info("the file has no end mark, as after a crash; what follows was never acknowledged",
			"file", path, "offset", c.end, "dropped_bytes", c.size-c.end)
	}
	return c.clean, nil
}

// floorFile holds a position that the log has reached. The engine forgets a
// whole table without a word when the last entry of its manifest is damaged;
// with the floor the loss is seen.
const floorFile = "floor"

// writeFloor notes that everything up to p is durable.
func (s *Store) writeFloor(p eventstore.Position) (err error) {
	fs, path := s.opt.FS, s.opt.FS.PathJoin(s.dir, floorFile)
	text := fmt.Appendf(nil, "%d ", p)
	text = fmt.Appendf(text, "%08x\n", crc32.Checksum(text, castagnoli))
	f, err := fs.Create(path+".tmp", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil && !planted.FloorUnsynced.Here() {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(path+".tmp", path); err != nil {
		return err
	}
	dir, err := fs.OpenDir(s.dir)
	if err != nil {
		return err
	}
	err = errors.Join(dir.Sync(), dir.Close())
	if err != nil {
		s.fail(err) // names of the engine's files may be lost with it
	}
	return err
}

// readFloor returns 0 for a log that has no floor yet.
func (s *Store) readFloor() (eventstore.Position, error) {
	path := s.opt.FS.PathJoin(s.dir, floorFile)
	f, err := s.opt.FS.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	text, err := io.ReadAll(io.LimitReader(f, 64))
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	number, _, _ := strings.Cut(string(text), " ")
	p, err := eventstore.ParsePosition(number)
	if want := fmt.Sprintf("%d %08x\n", p, crc32.Checksum([]byte(number+" "), castagnoli)); err != nil || string(text) != want {
		return 0, fmt.Errorf("%s is %w: remove it after making sure that the log is whole", path, errDamaged)
	}
	return p, nil
}

// checkWhole compares what was recovered with what must be there.
func (s *Store) checkWhole(last eventstore.Position, t torn) error {
	floor, err := s.readFloor()
	if err != nil {
		return err
	}
	if last < floor && !planted.IgnoreFloor.Here() {
		return fmt.Errorf("the log is %w: it ends at position %d and has reached %d before (%s); "+
			"restore it from a backup or a replica, and keep this copy", errDamaged, last, floor, t)
	}
	if !t.manifest {
		return nil
	}
	// A manifest that ends in the middle of an entry may have lost one. Without
	// it a range of positions would be missing, so every one is looked at.
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{recordPrefix}, UpperBound: []byte{recordPrefix + 1}})
	if err != nil {
		return err
	}
	want := eventstore.Position(1)
	for ok := it.First(); ok; ok = it.Next() {
		if at := eventstore.Position(binary.BigEndian.Uint64(it.Key()[1:])); at != want {
			return errors.Join(fmt.Errorf("%w (%s)", damagedRecord(want, "it is missing"), t), it.Close())
		}
		want++
	}
	return errors.Join(it.Error(), it.Close())
}

// keepFloor raises the floor whenever the engine has moved records from the
// write-ahead log to a table, until the store closes.
func (s *Store) keepFloor() {
	for range s.flushed {
		if err := s.writeFloor(s.tail.head()); err != nil {
			s.opt.Logger.Warn("the floor of the log could not be written; damage to its newest table may go unseen", "error", err)
		}
	}
	close(s.floorKept)
}

package disk_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/eventstore/disk"
)

// files are the files of a folder with their content.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(content)
	}
	return all
}

// killed copies a log as a process that was killed leaves it: what is not in tables
// yet is in the write-ahead log, and the reserve was released.
func killed(t *testing.T) string {
	t.Helper()
	dir, copied := t.TempDir(), filepath.Join(t.TempDir(), "log")
	opt := small(vfs.Default)
	opt.MinFree = 1 << 20
	s := open(t, dir, opt)
	for v := range uint64(40) {
		mustAppend(t, s, "a", v, records(1, 5000))
	}
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(copied, "reserve")); err != nil {
		t.Fatal(err)
	}
	return copied
}

func TestALogThatIsOpenedReadOnlyStaysAsItIs(t *testing.T) {
	dir := killed(t)
	before := files(t, dir)
	opt := small(vfs.Default)
	opt.MinFree = 1 << 20
	s, err := disk.OpenReadOnly(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := readLog(s); err != nil || len(all) != 40 {
		t.Errorf("%d records, %v", len(all), err)
	}
	if _, err := s.Append(within(t), "b", 0, records(1, 10)); err == nil {
		t.Error("a record was appended")
	}
	if _, err := disk.Open(dir, opt); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("opened meanwhile: %v", err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if after := files(t, dir); !maps.Equal(before, after) {
		t.Errorf("the files have changed: there were %d, there are %d", len(before), len(after))
	}
	if all, err := readLog(open(t, dir, opt)); err != nil || len(all) != 40 {
		t.Errorf("opened afterwards: %d records, %v", len(all), err)
	}
}

func TestADamagedLogIsRefusedReadOnlyToo(t *testing.T) {
	dir := killed(t)
	if err := os.WriteFile(filepath.Join(dir, "floor"), []byte("99 00000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := disk.OpenReadOnly(dir, small(vfs.Default)); err == nil {
		t.Error("it was opened")
		_ = s.Close()
	}
}

func TestWhereThereIsNoLogNoneIsMadeReadOnly(t *testing.T) {
	dir := t.TempDir()
	if _, err := disk.OpenReadOnly(dir, small(vfs.Default)); !errors.Is(err, disk.ErrNoLog) {
		t.Errorf("an empty folder: %v", err)
	}
	if made := files(t, dir); len(made) > 1 { // the lock
		t.Errorf("it holds %d files", len(made))
	}
	if _, err := disk.OpenReadOnly(filepath.Join(dir, "none"), small(vfs.Default)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

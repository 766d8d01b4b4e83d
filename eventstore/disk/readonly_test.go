package disk_test

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/eventstore/disk"
)

// files are the files of a folder with their content.
func files(t *testing.T, fs vfs.FS, dir string) map[string]string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		all[name] = string(content)
	}
	return all
}

// killed is a log as a process that was killed leaves it, in the folder "log": what is
// not in tables yet is in the write-ahead log, and the reserve was released.
func killed(t *testing.T) disk.Options {
	t.Helper()
	fs := vfs.NewCrashableMem()
	opt := small(fs)
	opt.MinFree = 1 << 20
	s := open(t, "log", opt)
	for v := range uint64(40) {
		mustAppend(t, s, "a", v, records(1, 5000))
	}
	opt.FS = fs.CrashClone(vfs.CrashCloneCfg{})
	if err := opt.FS.Remove("log/reserve"); err != nil {
		t.Fatal(err)
	}
	return opt
}

func TestALogThatIsOpenedReadOnlyStaysAsItIs(t *testing.T) {
	opt := killed(t)
	before := files(t, opt.FS, "log")
	s, err := disk.OpenReadOnly("log", opt)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := readLog(s); err != nil || len(all) != 40 {
		t.Errorf("%d records, %v", len(all), err)
	}
	if _, err := s.Append(within(t), "b", 0, records(1, 10)); err == nil {
		t.Error("a record was appended")
	}
	if _, err := disk.Open("log", opt); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("opened meanwhile: %v", err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if after := files(t, opt.FS, "log"); !maps.Equal(before, after) {
		t.Errorf("the files have changed: there were %d, there are %d", len(before), len(after))
	}
	if all, err := readLog(open(t, "log", opt)); err != nil || len(all) != 40 {
		t.Errorf("opened afterwards: %d records, %v", len(all), err)
	}
}

func TestADamagedLogIsRefusedReadOnlyToo(t *testing.T) {
	opt := killed(t)
	floor, err := opt.FS.Create("log/floor", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(floor, "99 00000000\n")
	if err := errors.Join(err, floor.Close()); err != nil {
		t.Fatal(err)
	}
	if s, err := disk.OpenReadOnly("log", opt); err == nil {
		t.Error("it was opened")
		_ = s.Close()
	}
}

func TestWhereThereIsNoLogNoneIsMadeReadOnly(t *testing.T) {
	dir := t.TempDir()
	if _, err := disk.OpenReadOnly(dir, small(vfs.Default)); !errors.Is(err, disk.ErrNoLog) {
		t.Errorf("an empty folder: %v", err)
	}
	if made := files(t, vfs.Default, dir); len(made) > 1 { // the lock
		t.Errorf("it holds %d files", len(made))
	}
	if _, err := disk.OpenReadOnly(filepath.Join(dir, "none"), small(vfs.Default)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

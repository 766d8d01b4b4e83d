package disk_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
)

// damaged is what a log with one changed byte turned out to be.
type damaged int

const (
	refused   damaged = iota // by Open or by a read, with an error
	identical                // nothing is different
	tornOff                  // the last append is missing, and only that
	wrong
)

// grow fills a log and returns it open, with its records and the size of the
// last append. Reopening in between leaves tables and a manifest with several
// entries; what follows the last opening is in the write-ahead log, unless
// memTable is small: then the write-ahead logs are used ones.
func grow(t *testing.T, fs vfs.FS, memTable int64, appends int) (s *disk.Store, all []eventstore.Record, last int) {
	t.Helper()
	opt := small(fs)
	opt.MemTable = memTable
	rng := rand.New(rand.NewPCG(1, 2))
	versions := map[string]uint64{}
	for round := range 3 {
		var err error
		if s, err = disk.Open("log", opt); err != nil {
			t.Fatal(err)
		}
		for range appends {
			stream := "customer-acme+" + string(rune('a'+rng.IntN(8)))
			last = 1 + rng.IntN(3)
			size := 200 + rng.IntN(400)
			if rng.IntN(20) == 0 {
				size *= 25 // a record that crosses blocks
			}
			mustAppend(t, s, stream, versions[stream], records(last, size))
			versions[stream] += uint64(last)
		}
		if round < 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, err := readLog(s)
	if err != nil {
		t.Fatal(err)
	}
	return s, all, last
}

// flip changes one byte of a file.
func flip(t *testing.T, fs vfs.FS, name string, offset int64, mask byte) {
	t.Helper()
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	_, err = f.ReadAt(b, offset)
	b[0] ^= mask
	_, err2 := f.WriteAt(b, offset)
	if err := errors.Join(err, err2, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// errRead marks an error that came after Open.
var errRead = errors.New("reading")

// inspect opens a log that may be damaged and compares it with what it was.
func inspect(fs vfs.FS, want []eventstore.Record, last int) (damaged, error) {
	opt := small(fs)
	opt.OnFatal = func(error) {}
	s, err := disk.Open("log", opt)
	if err != nil {
		return refused, err
	}
	defer s.Close()
	got, err := readLog(s)
	if err != nil {
		return refused, fmt.Errorf("%w: %w", errRead, err)
	}
	if len(got) > len(want) {
		return wrong, nil
	}
	for i := range got {
		if !same(got[i], want[i]) {
			return wrong, nil
		}
	}
	switch len(want) - len(got) {
	case 0:
		return identical, nil
	case last:
		return tornOff, nil
	}
	return wrong, nil
}

// A byte that changes in a table while the log is open must not be served either.
func TestDamageUnderAnOpenLogIsAnError(t *testing.T) {
	fs := vfs.NewMem()
	s, _, _ := grow(t, fs, 64<<10, 60)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, "log", small(fs))
	names, err := fs.List("log")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		info, err := fs.Stat("log/" + name)
		if err != nil || !strings.HasSuffix(name, ".sst") {
			continue
		}
		for at := int64(0); at < info.Size(); at += 1 << 10 {
			flip(t, fs, "log/"+name, at, 0x10)
		}
	}
	if all, err := readLog(s); err == nil {
		t.Errorf("%d records were read from damaged tables", len(all))
	}
}

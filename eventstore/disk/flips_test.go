package disk_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
	"github.com/pmledger/pmledger/eventstore/torture"
)

// masks are the changes of a byte: each bit, and all.
var masks = [...]byte{1, 2, 4, 8, 16, 32, 64, 128, 0xff}

// target is a log whose bytes are changed.
type target struct {
	fs     *vfs.MemFS
	want   []eventstore.Record
	last   int  // records of the last append
	closed bool // in order; else the process was killed
	used   bool // its write-ahead logs are used ones, with what they held before
	copies sync.Pool
}

// copy of the log, which nobody has opened.
func (t *target) copy() *vfs.MemFS {
	if c, ok := t.copies.Get().(*vfs.MemFS); ok {
		return c
	}
	return t.fs.CrashClone(vfs.CrashCloneCfg{})
}

// spot is a byte of a target.
type spot struct {
	*target
	file   string
	region string
	at     int64
	mask   byte
}

func (s spot) String() string {
	return fmt.Sprintf("closed %t, %s, offset %d, mask %#x", s.closed, s.file, s.at, s.mask)
}

// flips counts what changed bytes did, by region.
type flips struct {
	t      *testing.T
	mu     sync.Mutex
	tried  map[string]int64
	torn   int64 // the last append of a live log is missing: a torn write looks the same
	wrong  int64
	silent int64 // errors that do not say where
}

// One changed byte anywhere is an error that names the place, or changes nothing. A
// log that was not closed ends in a place where damage to the very last append
// cannot be told from a write that power loss has torn; that one alone may be
// missing, and is counted apart.
func TestOneChangedByteIsNeverServed(t *testing.T) {
	goal := torture.Size[int64](2000, 52_000, 1_050_000)
	if testing.Short() {
		goal = 300
	}
	seed := torture.Seed(t)
	var all []*target
	for _, c := range []struct {
		closed   bool
		memTable int64
	}{{true, 1 << 20}, {false, 1 << 20}, {false, 16 << 10}} {
		fs := vfs.NewCrashableMem()
		s, want, last := grow(t, fs, c.memTable, 24)
		if c.closed {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			defer s.Close()
		}
		// What is left to flush must not change what is flipped.
		all = append(all, &target{fs: fs.CrashClone(vfs.CrashCloneCfg{}), want: want, last: last, closed: c.closed, used: c.memTable < 1<<20})
	}
	f := &flips{t: t, tried: map[string]int64{}}
	spots := make(chan spot, 64)
	go func() {
		defer close(spots)
		chosen(t, all, goal, rand.New(rand.NewPCG(seed, 3)), spots)
	}()
	inParallel(func(uint64) bool {
		s, ok := <-spots
		if ok && !t.Failed() { // else the rest says the same
			f.try(s)
		}
		return ok
	})
	report := torture.Report{Campaign: "flipped bytes of the log", Seed: seed, Violations: []torture.Figure{
		torture.Count(f.wrong, "undetected"), torture.Count(f.silent, "refused without the place"),
	}}
	total := int64(0)
	for _, region := range slices.Sorted(maps.Keys(f.tried)) {
		total += f.tried[region]
		report.Counts = append(report.Counts, torture.Count(f.tried[region], "in "+region))
	}
	report.Counts = append([]torture.Figure{torture.Count(total, "flips")}, report.Counts...)
	report.Counts = append(report.Counts, torture.Count(f.torn, "of the last append of a live log, apart"))
	torture.Add(t, report)
}

// chosen sends so many of all changes, evenly: nine of each byte of the files that
// Open scans, one where the scan finds little, because that costs the opening and
// reading of a log.
func chosen(t *testing.T, all []*target, goal int64, rng *rand.Rand, to chan<- spot) {
	type file struct {
		*target
		name, region string
		bytes, each  int64
	}
	var files []file
	total := int64(0)
	for _, tg := range all {
		names, err := tg.fs.List("log")
		if err != nil {
			t.Error(err)
		}
		slices.Sort(names) // numbers are in front and have leading zeros
		newest := ""
		for _, name := range names {
			if strings.HasSuffix(name, ".log") {
				newest = name
			}
		}
		for _, name := range names {
			info, err := tg.fs.Stat("log/" + name)
			if err != nil {
				t.Error(err)
				continue
			}
			each := int64(1)
			if scanned(name) && !tg.used {
				each = int64(len(masks))
			}
			files = append(files, file{tg, name, region(name, newest, tg.closed), info.Size(), each})
			total += info.Size() * each
		}
	}
	most := max(2*total/goal-1, 1) // 1 + rng.Int64N(most) is total/goal in the mean
	skip := rng.Int64N(most)
	for _, f := range files {
		for ; skip < f.bytes*f.each; skip += 1 + rng.Int64N(most) {
			mask := masks[rng.IntN(len(masks))]
			if f.each > 1 {
				mask = masks[skip%f.each]
			}
			to <- spot{f.target, f.name, f.region, skip / f.each, mask}
		}
		skip -= f.bytes * f.each
	}
}

// region names the part of the log that a file is.
func region(name, newestLog string, closed bool) string {
	kind, _, _ := strings.Cut(name, "-")
	switch {
	case name == newestLog && !closed:
		return "a live write-ahead log"
	case strings.HasSuffix(name, ".log"):
		return "closed write-ahead logs"
	case strings.HasSuffix(name, ".sst"):
		return "tables"
	}
	return map[string]string{"MANIFEST": "manifests", "OPTIONS": "options", "floor": "the floor"}[kind]
}

// try changes one byte, opens the log and reads it.
func (f *flips) try(s spot) {
	broken := s.copy()
	buf, err := broken.UnsafeGetFileDataBuffer("log/" + s.file)
	if err != nil {
		f.t.Error(err)
		return
	}
	buf[s.at] ^= s.mask
	got := refused
	if scanned(s.file) {
		err = disk.Inspect("log", broken) // what Open does first
	}
	if err != nil {
		buf[s.at] ^= s.mask
		s.copies.Put(broken)
	} else {
		got, err = inspect(broken, s.want, s.last)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tried[s.region]++
	switch {
	case got == tornOff && s.region == "a live write-ahead log":
		f.torn++
	case got == wrong, got == tornOff:
		f.wrong++
		f.t.Errorf("%s: outcome %d", s, got)
	case got == refused && !names(err, s.file):
		f.silent++
		f.t.Errorf("%s: the error does not name the place: %v", s, err)
	case got == refused && strings.HasPrefix(s.file, "MANIFEST") && errors.Is(err, errRead):
		// Heads may be lost together with records, so appends would go wrong.
		f.silent++
		f.t.Errorf("%s: open did not see it: %v", s, err)
	}
}

// scanned tells whether Open looks at every byte of a file before the engine does.
func scanned(name string) bool {
	return strings.HasSuffix(name, ".log") || strings.HasPrefix(name, "MANIFEST")
}

// names tells whether an error names a file: by its name, or by its number.
func names(err error, file string) bool {
	number, _, _ := strings.Cut(file, ".")
	return strings.Contains(err.Error(), file) || strings.Contains(err.Error(), number) || strings.Contains(err.Error(), "at position")
}

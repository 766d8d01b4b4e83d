package disk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
	"github.com/pmledger/pmledger/eventstore/storetest"
)

// plenty is the free space of a volume that is not full.
func plenty(string) (uint64, error) { return 1 << 50, nil }

// small are options that make a short test visit every kind of file.
func small(fs vfs.FS) disk.Options {
	return disk.Options{FS: fs, FreeSpace: plenty, MinFree: 1, Cache: 1 << 20, MemTable: 64 << 10}
}

// open opens the log in dir and closes it with the test.
func open(t testing.TB, dir string, opt disk.Options) *disk.Store {
	t.Helper()
	s, err := disk.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// within is a context that ends when something that must happen does not.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// records returns n records with about size bytes of data each.
func records(n, size int) []eventstore.NewRecord {
	out := make([]eventstore.NewRecord, n)
	for i := range out {
		out[i] = eventstore.NewRecord{
			ID:       uuid.New(),
			Type:     "payment_method.attached",
			Data:     fmt.Appendf(nil, `{"filler":%q}`, strings.Repeat("f", size)),
			Metadata: []byte(`{"command_id":"c","time":"2026-01-02T03:04:05.678Z"}`),
		}
	}
	return out
}

func mustAppend(t testing.TB, s *disk.Store, stream string, version uint64, r []eventstore.NewRecord) eventstore.Position {
	t.Helper()
	p, err := s.Append(within(t), stream, version, r)
	if err != nil {
		t.Fatalf("append to %s at %d: %v", stream, version, err)
	}
	return p
}

// readLog reads the whole log, in order and stream by stream, and says whether
// the two agree.
func readLog(s *disk.Store) ([]eventstore.Record, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	head, err := s.Head(ctx)
	if err != nil || head == 0 {
		return nil, err
	}
	var all []eventstore.Record
	for batch, err := range s.Follow(ctx, 0) {
		if err != nil {
			return nil, err
		}
		if all = append(all, batch...); all[len(all)-1].Position >= head {
			break
		}
	}
	streams := map[string][]eventstore.Record{}
	for _, r := range all {
		streams[r.Stream] = append(streams[r.Stream], r)
	}
	for name, want := range streams {
		var got []eventstore.Record
		for r, err := range s.Stream(ctx, name, 1) {
			if err != nil {
				return nil, err
			}
			got = append(got, r)
		}
		if !slices.EqualFunc(got, want, same) {
			return nil, fmt.Errorf("stream %s has %d records, the log has %d others of it", name, len(got), len(want))
		}
	}
	return all, nil
}

func same(a, b eventstore.Record) bool {
	return a.ID == b.ID && a.Stream == b.Stream && a.Version == b.Version && a.Position == b.Position &&
		a.Type == b.Type && string(a.Data) == string(b.Data) && string(a.Metadata) == string(b.Metadata)
}

func TestDiskKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) eventstore.Store { return open(t, t.TempDir(), disk.Options{}) })
}

// The tiny tables make most reads go to files instead of memory.
func TestDiskKeepsTheContractWithTinyTables(t *testing.T) {
	storetest.Run(t, func(t *testing.T) eventstore.Store { return open(t, "log", small(vfs.NewMem())) })
}

func TestDiskKeepsTheContractOfManyAppendsAtOnce(t *testing.T) {
	storetest.RunBulk(t, func(t *testing.T) eventstore.Bulk { return open(t, "log", small(vfs.NewMem())) })
}

func TestDiskFindsEverythingAgain(t *testing.T) {
	storetest.RunReopen(t, func(t *testing.T, dir string) eventstore.Store { return open(t, dir, disk.Options{}) })
}

func TestSecondOpenIsRefusedWithTheReason(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, disk.Options{})
	if s, err := disk.Open(dir, disk.Options{}); err == nil {
		t.Error("the log was opened twice")
		_ = s.Close()
	} else if !errors.Is(err, disk.ErrLocked) || !strings.Contains(err.Error(), "another pmledger has it open") || !strings.Contains(err.Error(), dir) {
		t.Errorf("the error does not say why: %v", err)
	}
}

func TestAFolderThatCannotBeLockedAtAllIsNotOpenElsewhere(t *testing.T) {
	if _, err := disk.Lock(filepath.Join(t.TempDir(), "missing"), vfs.Default); !errors.Is(err, os.ErrNotExist) || errors.Is(err, disk.ErrLocked) {
		t.Errorf("error %v", err)
	}
}

func TestOversizedAppendsAreRefused(t *testing.T) {
	s := open(t, "log", small(vfs.NewMem()))
	long := strings.Repeat("n", 2000)
	typed := records(1, 1)
	typed[0].Type = long
	for name, err := range map[string]error{
		"stream": second(s.Append(within(t), long, 0, records(1, 1))),
		"empty":  second(s.Append(within(t), "", 0, records(1, 1))),
		"type":   second(s.Append(within(t), "a", 0, typed)),
		"size":   second(s.Append(within(t), "a", 0, records(10, 1<<20))),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if h, _ := s.Head(within(t)); h != 0 {
		t.Errorf("the head is %s", h)
	}
	mustAppend(t, s, "a", 0, records(7, 1<<20))
	if all, err := readLog(s); err != nil || len(all) != 7 || !json.Valid(all[6].Data) {
		t.Errorf("%d records, error %v", len(all), err)
	}
}

func second[T any](_ T, err error) error { return err }

// A follower far behind reads from tables, catches up with the memory and goes
// on live; nothing is missed where one becomes the other.
func TestFollowerFarBehindReachesTheTail(t *testing.T) {
	const n, batch = 12000, 400 // more than the tail holds
	s := open(t, "log", small(vfs.NewMem()))
	for v := 0; v < n; v += batch {
		mustAppend(t, s, "customer-acme+1", uint64(v), records(batch, 20))
	}
	var seen eventstore.Position
	for got, err := range s.Follow(within(t), 0) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range got {
			if seen++; r.Position != seen || r.Version != uint64(seen) {
				t.Fatalf("position %s, version %d after %d records", r.Position, r.Version, seen)
			}
		}
		if seen == n {
			mustAppend(t, s, "customer-acme+1", n, records(1, 20))
		} else if seen > n {
			break
		}
	}
}

func TestCallsAfterAFatalErrorFail(t *testing.T) {
	s, broken := openBreakable(t)
	mustAppend(t, s, "a", 0, records(1, 10))
	broken.Store(true)
	if _, err := s.Append(within(t), "a", 1, records(1, 10)); !errors.Is(err, eventstore.ErrUnknownOutcome) {
		t.Errorf("the append that met the error: %v", err)
	}
	if _, err := s.Append(within(t), "a", 1, records(1, 10)); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("a later append: %v", err)
	}
}

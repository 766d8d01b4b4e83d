package disk_test

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
)

func TestGateClosesAndOpensWithTheFreeSpace(t *testing.T) {
	var free, asked atomic.Uint64
	var clock atomic.Int64
	g := disk.Gate{
		Dir: "/volume", MinFree: 100,
		FreeSpace: func(dir string) (uint64, error) {
			if asked.Add(1); dir != "/volume" {
				t.Errorf("asked about %s", dir)
			}
			return free.Load(), nil
		},
		Now: func() time.Time { return time.Unix(1_000_000, clock.Load()) },
	}
	step := func(bytes uint64, wantFull bool, wantAsked uint64) {
		t.Helper()
		free.Store(bytes)
		if err := g.Check(); errors.Is(err, eventstore.ErrFull) != wantFull {
			t.Errorf("with %d bytes free: %v", bytes, err)
		}
		if n := asked.Load(); n != wantAsked {
			t.Errorf("asked %d times, want %d", n, wantAsked)
		}
	}
	step(99, true, 1)
	clock.Add(int64(99 * time.Millisecond))
	step(100, true, 1) // the measurement still holds
	clock.Add(int64(time.Millisecond))
	step(100, false, 2)
	clock.Add(int64(time.Second))
	step(0, true, 3)
}

func TestGateClosesBeforeAFastWriterIsThrough(t *testing.T) {
	var clock atomic.Int64
	g := disk.Gate{
		Dir: "/volume", MinFree: 100,
		FreeSpace: func(string) (uint64, error) { return 300, nil },
		Now:       func() time.Time { return time.Unix(1_000_000, clock.Load()) },
	}
	for i, want := range []bool{false, false, false, true} {
		if err := g.Check(); errors.Is(err, eventstore.ErrFull) != want {
			t.Errorf("after %d bytes: %v", i*40, err)
		}
		g.Spend(40)
	}
	clock.Add(int64(time.Second))
	if err := g.Check(); err != nil {
		t.Errorf("after another look: %v", err)
	}
}

func TestGateLooksAgainWhenTheClockIsSetBack(t *testing.T) {
	var free uint64
	now := time.Unix(1_000_000, 0)
	g := disk.Gate{
		Dir: "/volume", MinFree: 100,
		FreeSpace: func(string) (uint64, error) { return free, nil },
		Now:       func() time.Time { return now },
	}
	if err := g.Check(); !errors.Is(err, eventstore.ErrFull) {
		t.Errorf("on a full volume: %v", err)
	}
	free, now = 300, now.Add(-time.Hour)
	if err := g.Check(); err != nil {
		t.Errorf("there is room, and an hour until the clock is where it was: %v", err)
	}
	g.Spend(200)
	now = now.Add(-time.Hour)
	if err := g.Check(); err != nil {
		t.Errorf("what was spent before the last look counts for an hour more: %v", err)
	}
}

func TestGateThatCannotMeasureIsClosed(t *testing.T) {
	g := disk.Gate{Dir: "d", MinFree: 1, FreeSpace: func(string) (uint64, error) { return 0, errDisk }}
	if err := g.Check(); !errors.Is(err, errDisk) || errors.Is(err, eventstore.ErrFull) {
		t.Errorf("error %v", err)
	}
}

func TestFullVolumeRefusesAppendsAndServesReads(t *testing.T) {
	var free atomic.Uint64
	opt := small(vfs.NewMem())
	opt.MinFree = 1000
	opt.FreeSpace = func(string) (uint64, error) { return free.Load(), nil }
	free.Store(5000)
	s := open(t, "log", opt)
	p := mustAppend(t, s, "a", 0, records(2, 10))
	free.Store(999)
	awaitAppend(t, s, "b", eventstore.ErrFull)
	if err := s.Gate().Check(); !errors.Is(err, eventstore.ErrFull) {
		t.Errorf("the gate that others ask says %v", err)
	}
	if all, err := readLog(s); err != nil || all[1].Position != p {
		t.Errorf("reading from a full volume: %d records, error %v", len(all), err)
	}
	free.Store(5000)
	awaitAppend(t, s, "c", nil)
}

// awaitAppend appends to fresh streams until the outcome is as wanted.
func awaitAppend(t *testing.T, s *disk.Store, prefix string, want error) {
	t.Helper()
	ctx := within(t)
	for {
		_, err := s.Append(ctx, prefix+uuid.NewString(), 0, records(1, 10))
		if errors.Is(err, want) {
			return
		}
		if err != nil && !errors.Is(err, eventstore.ErrFull) {
			t.Fatalf("append: %v, waiting for %v", err, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// volumeBytes is the least volume that the next tests need: room for a log of
// some 10 MiB besides MinFree.
const volumeBytes = 32 << 20

// mountVolume mounts a small volume.
func mountVolume(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("mounting a small volume needs root on linux")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Skipf("a small volume cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return dir
}

// fill writes a file that somebody else might have written.
func fill(t *testing.T, path string, n int) {
	t.Helper()
	if err := os.WriteFile(path, make([]byte, n), 0o600); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// noise is a JSON string that does not compress below half.
func noise(n int) []byte {
	b := make([]byte, n/2)
	_, _ = rand.Read(b) // cannot fail
	return []byte(`"` + hex.EncodeToString(b) + `"`)
}

func TestSmallVolumeFillsUpAndRecovers(t *testing.T) {
	volume := mountVolume(t)
	ballast := filepath.Join(volume, "ballast")
	fill(t, ballast, 12<<20)
	opt := disk.Options{MinFree: 8 << 20, MemTable: 1 << 20, Cache: 1 << 20, OnFatal: func(err error) { t.Errorf("fatal: %v", err) }}
	dir := filepath.Join(volume, "log")
	s := open(t, dir, opt)
	acked := map[uuid.UUID]bool{}
	fillLog := func() {
		for {
			r := records(1, 4000)
			r[0].Data = noise(20_000)
			_, err := s.Append(within(t), "customer-acme+"+uuid.NewString(), 0, r)
			if errors.Is(err, eventstore.ErrFull) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			acked[r[0].ID] = true
		}
	}
	fillLog()
	checkRecovered(t, s, acked)
	before := len(acked)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	awaitAppend(t, s, "room", nil)
	fillLog()
	if before == 0 || len(acked) == before {
		t.Errorf("%d records before there was room again, %d after", before, len(acked))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkRecovered(t, open(t, dir, opt), acked)
	t.Logf("%d records before, %d after, on a volume of %d MiB", before, len(acked), volumeBytes>>20)
}

// Somebody else fills the volume between two looks of the gate: the reserve
// keeps the log going, and when that is used up the log stops without having
// acknowledged what it cannot keep.
func TestReserveIsReleasedWhenTheGateWasTooLate(t *testing.T) {
	volume := mountVolume(t)
	dir, ballast := filepath.Join(volume, "log"), filepath.Join(volume, "ballast")
	var fatal atomic.Bool
	opt := disk.Options{
		MinFree: 8 << 20, MemTable: 1 << 20, Cache: 1 << 20,
		FreeSpace: plenty, // the gate sees nothing
		OnFatal:   func(error) { fatal.Store(true) },
	}
	s, err := disk.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	reserve := filepath.Join(dir, "reserve")
	if _, err := os.Stat(reserve); err != nil {
		t.Fatalf("there is no reserve: %v", err)
	}
	fill(t, ballast, volumeBytes)
	acked, sinceReleased := map[uuid.UUID]bool{}, 0
	for {
		r := records(1, 4000)
		if _, err := s.Append(within(t), "customer-acme+"+uuid.NewString(), 0, r); err != nil {
			if !fatal.Load() || len(acked) == 0 {
				t.Fatalf("append: %v, after %d", err, len(acked))
			}
			break
		}
		acked[r[0].ID] = true
		if _, err := os.Stat(reserve); errors.Is(err, os.ErrNotExist) {
			sinceReleased++
		}
	}
	if sinceReleased == 0 {
		t.Error("the reserve was not released")
	}
	t.Logf("%d records acknowledged, %d of them after the reserve was released", len(acked), sinceReleased)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	// The failed store still holds the folder; what is on the volume is what a
	// new process would find.
	restart := filepath.Join(volume, "restart")
	if err := os.CopyFS(restart, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	opt.OnFatal = nil
	checkRecovered(t, open(t, restart, opt), acked)
}

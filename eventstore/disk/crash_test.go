package disk_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
)

// checkRecovered expects a log without gaps that holds everything acknowledged.
func checkRecovered(t *testing.T, s *disk.Store, acked map[uuid.UUID]bool) int {
	t.Helper()
	all, err := readLog(s)
	if err != nil {
		t.Fatalf("reading the recovered log: %v", err)
	}
	versions := map[string]uint64{}
	found := 0
	for i, r := range all {
		if versions[r.Stream]++; r.Version != versions[r.Stream] || r.Position != eventstore.Position(i+1) {
			t.Fatalf("record %d is version %d of %s at %s, want version %d at %d", i, r.Version, r.Stream, r.Position, versions[r.Stream], i+1)
		}
		if acked[r.ID] {
			found++
		}
	}
	if found != len(acked) {
		t.Fatalf("%d of %d acknowledged records are in the recovered log of %d", found, len(acked), len(all))
	}
	return len(all)
}

// rounds is how often to repeat what random choices make different: n times, or
// once in a short run.
func rounds(n uint64) uint64 {
	if testing.Short() {
		return 1
	}
	return n
}

// Power is lost at random moments; of what was not synced, none, half or all of
// the blocks and directory entries are on the disk. The log that recovers is
// used and loses power again.
func TestPowerLossKeepsWhatWasAcknowledged(t *testing.T) {
	var crashes, records int
	for _, percent := range []int{0, 50, 100} {
		for seed := range rounds(6) {
			fs := vfs.NewCrashableMem()
			rng := rand.New(rand.NewPCG(seed, uint64(percent)))
			acked := map[uuid.UUID]bool{}
			for range 4 {
				fs = loadUntilPowerLoss(t, fs, acked, rng, percent)
				crashes++
			}
			records += checkRecovered(t, open(t, "log", small(fs)), acked)
		}
	}
	t.Logf("%d power losses, %d records recovered", crashes, records)
}

// loadUntilPowerLoss appends from several writers, takes a picture of the disk
// at some moment and adds to acked what had been acknowledged by then.
func loadUntilPowerLoss(t *testing.T, fs *vfs.MemFS, acked map[uuid.UUID]bool, rng *rand.Rand, percent int) *vfs.MemFS {
	t.Helper()
	s, err := disk.Open("log", small(fs))
	if err != nil {
		t.Fatalf("opening after a power loss: %v", err)
	}
	checkRecovered(t, s, acked)
	const writers = 4
	goal := 30 + rng.IntN(200)
	acks := make(chan uuid.UUID, 4096)
	done := make(chan struct{})
	var stop atomic.Bool
	for range writers {
		go func() {
			defer func() { done <- struct{}{} }()
			stream := "customer-acme+" + uuid.NewString()
			for v := uint64(0); !stop.Load(); v++ {
				size := 100
				if v%7 == 0 {
					size = 20_000 // more than a sync writes at once
				}
				r := records(1, size)
				if _, err := s.Append(context.Background(), stream, v, r); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				acks <- r[0].ID
			}
		}()
	}
	for range goal {
		acked[<-acks] = true
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
	stop.Store(true)
	for ended := 0; ended < writers; {
		select {
		case <-acks: // after the picture was taken: may or may not be in it
		case <-done:
			ended++
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return crashed
}

// Opening writes too: power may be lost there, in a new folder as in a used one.
func TestPowerLossWhileOpening(t *testing.T) {
	moments := 0
	for seed := range rounds(4) {
		rng := rand.New(rand.NewPCG(7, seed))
		moments += losePowerWhileOpening(t, vfs.NewCrashableMem(), nil, seed)
		acked := map[uuid.UUID]bool{}
		fs := loadUntilPowerLoss(t, vfs.NewCrashableMem(), acked, rng, 50)
		moments += losePowerWhileOpening(t, fs, acked, seed)
	}
	t.Logf("power was lost at %d moments", moments)
}

// losePowerWhileOpening takes a picture of the disk before each of Open's and
// Close's writes and opens every one.
func losePowerWhileOpening(t *testing.T, fs *vfs.MemFS, acked map[uuid.UUID]bool, seed uint64) int {
	t.Helper()
	var mu sync.Mutex
	var pictures []*vfs.MemFS
	rng := rand.New(rand.NewPCG(9, seed))
	s, err := disk.Open("log", small(onWrite(fs, func() {
		mu.Lock()
		defer mu.Unlock()
		pictures = append(pictures, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng}))
	})))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i, p := range pictures {
		s, err := disk.Open("log", small(p))
		if err != nil {
			t.Fatalf("seed %d, picture %d: %v", seed, i, err)
		}
		checkRecovered(t, s, acked)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return len(pictures)
}

const killDir = "PMLEDGER_TEST_KILL_DIR" // set in the child of TestKillKeepsWhatWasAcknowledged

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		appendForever(dir)
	}
	os.Exit(m.Run())
}

// appendForever is the child: it appends and prints what was acknowledged.
func appendForever(dir string) {
	s, err := disk.Open(dir, disk.Options{MemTable: 256 << 10})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for range 16 {
		go func() {
			stream := "customer-acme+" + uuid.NewString()
			for v := uint64(0); ; v += 2 {
				r := records(2, 300)
				if _, err := s.Append(context.Background(), stream, v, r); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				line := r[0].ID.String() + " " + r[1].ID.String() + "\n"
				_, _ = io.WriteString(os.Stdout, line) // one write; the parent may be gone
			}
		}()
	}
	select {}
}

// The process is killed while 16 writers append; what it said was acknowledged
// is there, and nothing has a gap. PMLEDGER_TEST_KILLS sets how often.
func TestKillKeepsWhatWasAcknowledged(t *testing.T) {
	kills := 8
	if n, err := strconv.Atoi(os.Getenv("PMLEDGER_TEST_KILLS")); err == nil {
		kills = n
	} else if testing.Short() {
		kills = 2
	}
	dir := t.TempDir()
	acked := map[uuid.UUID]bool{}
	for range kills {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), killDir+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		var timer *time.Timer
		for lines.Scan() {
			if timer == nil { // the moment is random, the first append is not
				timer = time.AfterFunc(time.Duration(rand.IntN(250))*time.Millisecond, func() { _ = child.Process.Kill() })
			}
			for id := range strings.FieldsSeq(lines.Text()) {
				if id, err := uuid.Parse(id); err == nil { // the last line may be cut
					acked[id] = true
				}
			}
		}
		_ = child.Wait() // it was killed
	}
	n := checkRecovered(t, open(t, dir, disk.Options{}), acked)
	t.Logf("%d kills, %d records acknowledged, %d in the log", kills, len(acked), n)
}

package disk_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
)

var errDisk = errors.New("input/output error")

// onLogSync wraps fs so that f runs before every sync of a write-ahead log.
func onLogSync(fs vfs.FS, f func() error) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			if strings.HasSuffix(op.Path, ".log") {
				return f()
			}
		}
		return nil
	}))
}

// openBreakable opens a log whose syncs fail once told to.
func openBreakable(t *testing.T) (*disk.Store, *atomic.Bool) {
	t.Helper()
	broken := new(atomic.Bool)
	opt := small(onLogSync(vfs.NewMem(), func() error {
		if broken.Load() {
			return errDisk
		}
		return nil
	}))
	opt.OnFatal = func(error) {}
	s, err := disk.Open("log", opt)
	if err != nil {
		t.Fatal(err)
	}
	return s, broken
}

func TestSyncErrorIsFatalAndNothingIsAcknowledged(t *testing.T) {
	var broken, fatal atomic.Bool
	fs := vfs.NewCrashableMem()
	opt := small(onLogSync(fs, func() error {
		if broken.Load() {
			return errDisk
		}
		return nil
	}))
	opt.OnFatal = func(err error) {
		if fatal.Swap(true) {
			t.Error("told of the fatal error twice")
		}
		if !strings.Contains(err.Error(), errDisk.Error()) {
			t.Errorf("the cause is lost: %v", err)
		}
	}
	s, err := disk.Open("log", opt)
	if err != nil {
		t.Fatal(err)
	}
	first := mustAppend(t, s, "a", 0, records(1, 10))
	broken.Store(true)
	results := make(chan error, 8)
	for range cap(results) {
		go func() { results <- second(s.Append(within(t), "a", 1, records(1, 10))) }()
	}
	for range cap(results) {
		err := <-results
		if !errors.Is(err, eventstore.ErrUnknownOutcome) && !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("an append was answered with %v", err)
		}
	}
	if !fatal.Load() {
		t.Error("nobody was told")
	}
	broken.Store(false) // a second sync may well succeed: it must not be believed
	if err := second(s.Append(within(t), "b", 0, records(1, 10))); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("an append after the fatal error: %v", err)
	}
	if h, err := s.Head(within(t)); err != nil || h != first {
		t.Errorf("the head is %s, error %v; what was acknowledged ends at %s", h, err, first)
	}
	if err := s.Close(); err == nil {
		t.Error("close of a failed log says that all is well")
	}
	r := open(t, "log", small(fs.CrashClone(vfs.CrashCloneCfg{})))
	if all, err := readLog(r); err != nil || len(all) != 1 {
		t.Errorf("after the restart: %d records, error %v", len(all), err)
	}
}

// The engine may fail in the background while a commit of ours goes well. That
// commit must not be acknowledged, and nobody may wait for ever.
func TestFailureInTheBackgroundAnswersEverybody(t *testing.T) {
	var broken atomic.Bool
	opt := small(errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.Contains(op.Path, "MANIFEST") {
			return errDisk
		}
		return nil
	})))
	failed := make(chan error, 1)
	opt.OnFatal = func(err error) { failed <- err }
	s, err := disk.Open("log", opt)
	if err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	ctx := within(t)
	for v := uint64(0); err == nil; v++ { // until a table is flushed, which writes the manifest
		_, err = s.Append(ctx, "a", v, records(1, 5000))
	}
	if !errors.Is(err, eventstore.ErrUnknownOutcome) && !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("an append was answered with %v", err)
	}
	if cause := <-failed; !strings.Contains(cause.Error(), errDisk.Error()) {
		t.Errorf("the cause is lost: %v", cause)
	}
}

// openStoppable opens a log on fs whose syncs, once stopped, say that they begin
// and wait until they may proceed.
func openStoppable(t *testing.T, fs vfs.FS) (s *disk.Store, toggle func(), syncing, proceed chan struct{}) {
	t.Helper()
	var stopped atomic.Bool
	syncing, proceed = make(chan struct{}), make(chan struct{})
	opt := small(onLogSync(fs, func() error {
		if stopped.Load() {
			syncing <- struct{}{}
			<-proceed
		}
		return nil
	}))
	opt.MemTable = 4 << 20
	return open(t, "log", opt), func() { stopped.Store(!stopped.Load()) }, syncing, proceed
}

// Power is lost in the middle of the sync of a large append. Its blocks reach
// the disk in any order, so valid ones may follow missing ones: that is a torn
// write, not damage.
func TestTornAppendIsNotTakenForDamage(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s, toggle, syncing, proceed := openStoppable(t, fs)
	for v := range uint64(5) {
		mustAppend(t, s, "acked", v, records(1, 100))
	}
	toggle()
	answered := make(chan error, 1)
	go func() { answered <- second(s.Append(within(t), "torn", 0, records(30, 5000))) }()
	<-syncing
	for seed := range uint64(3) {
		cut := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 90, RNG: rand.New(rand.NewPCG(seed, 1))})
		if n, err := countRecords(cut); err != nil || n != 5 && n != 35 {
			t.Errorf("seed %d: %d records, error %v", seed, n, err)
		}
	}
	toggle()
	close(proceed)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// countRecords opens the log on fs, reads it and closes it.
func countRecords(fs vfs.FS) (int, error) {
	s, err := disk.Open("log", small(fs))
	if err != nil {
		return 0, err
	}
	all, err := readLog(s)
	return len(all), errors.Join(err, s.Close())
}

func TestNothingIsVisibleBeforeItsSync(t *testing.T) {
	s, toggle, syncing, proceed := openStoppable(t, vfs.NewMem())
	first := mustAppend(t, s, "a", 0, records(1, 10))
	followed := make(chan eventstore.Position, 1)
	go func() {
		for batch, err := range s.Follow(within(t), first) {
			if err != nil {
				t.Error(err)
			}
			followed <- batch[len(batch)-1].Position
			return
		}
	}()
	toggle()
	acked := make(chan error, 1)
	go func() { acked <- second(s.Append(within(t), "new", 0, records(2, 10))) }()
	<-syncing
	if h, err := s.Head(within(t)); err != nil || h != first {
		t.Errorf("the head is %s before the sync, error %v", h, err)
	}
	for _, stream := range []string{"a", "new"} {
		n := 0
		for _, err := range s.Stream(within(t), stream, 1) {
			if n++; err != nil {
				t.Error(err)
			}
		}
		if want := map[string]int{"a": 1}[stream]; n != want {
			t.Errorf("%d records of stream %s are visible before the sync, want %d", n, stream, want)
		}
	}
	select {
	case err := <-acked:
		t.Errorf("acknowledged before the sync, error %v", err)
	case p := <-followed:
		t.Errorf("position %s followed before the sync", p)
	case <-time.After(20 * time.Millisecond):
	}
	toggle()
	close(proceed)
	if err := <-acked; err != nil {
		t.Errorf("append: %v", err)
	}
	if p := <-followed; p <= first {
		t.Errorf("followed position %s", p)
	}
}

func TestCancelledAppendSaysWhatIsKnown(t *testing.T) {
	s, toggle, syncing, proceed := openStoppable(t, vfs.NewMem())
	toggle()
	type answer struct {
		who string
		err error
	}
	answers := make(chan answer, 2)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { answers <- answer{"taken", second(s.Append(ctx, "taken", 0, records(1, 10)))} }()
	<-syncing // the writer has it and waits for the disk
	go func() { answers <- answer{"queued", second(s.Append(ctx, "queued", 0, records(1, 10)))} }()
	awaitQueue(t, s, 1)
	cancel()
	for range 2 {
		a := <-answers
		if !errors.Is(a.err, context.Canceled) {
			t.Errorf("%s: error %v", a.who, a.err)
		}
		if unknown := errors.Is(a.err, eventstore.ErrUnknownOutcome); unknown != (a.who == "taken") {
			t.Errorf("%s: outcome unknown is %v", a.who, unknown)
		}
	}
	toggle()
	close(proceed)
	mustAppend(t, s, "after", 0, records(1, 10))
	all, err := readLog(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Stream == "queued" {
			t.Error("the append that was taken back is in the log")
		}
	}
	if len(all) != 2 {
		t.Errorf("%d records, want 2", len(all))
	}
}

// awaitQueue waits until so many appends wait for the writer.
func awaitQueue(t *testing.T, s *disk.Store, n int) {
	t.Helper()
	for ctx := within(t); s.Queued() < n; time.Sleep(time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("%d appends wait for the writer, want %d", s.Queued(), n)
		}
	}
}

// While one sync runs, everything that arrives shares the next.
func TestAppendsShareSyncs(t *testing.T) {
	const writers = 20
	var syncs atomic.Int64
	var stopped atomic.Bool
	syncing, proceed := make(chan struct{}), make(chan struct{})
	s := open(t, "log", small(onLogSync(vfs.NewMem(), func() error {
		syncs.Add(1)
		if stopped.CompareAndSwap(true, false) {
			syncing <- struct{}{}
			<-proceed
		}
		return nil
	})))
	stopped.Store(true)
	before := syncs.Load()
	acked := make(chan error, writers+1)
	add := func(stream string) { acked <- second(s.Append(within(t), stream, 0, records(1, 10))) }
	go add("first")
	<-syncing
	for i := range writers {
		go add(strings.Repeat("s", i+1))
	}
	awaitQueue(t, s, writers)
	close(proceed)
	for range writers + 1 {
		if err := <-acked; err != nil {
			t.Error(err)
		}
	}
	if n := syncs.Load() - before; n != 2 {
		t.Errorf("%d appends cost %d syncs", writers+1, n)
	}
}

// The engine panics when it cannot change to another write-ahead log or cannot sync
// their folder. The cause must be told before that.
func TestErrorBetweenTwoLogsIsToldWithItsCause(t *testing.T) {
	for _, kind := range []string{"create", "rename", "sync"} {
		var broken atomic.Bool
		opt := small(watch(vfs.NewMem(), func(op operation, _ func(), whole func() error) error {
			if isLog := strings.HasSuffix(op.path, ".log"); broken.Load() && op.kind == kind && (isLog || kind == "sync" && op.path == "log") {
				return errDisk
			}
			return whole()
		}))
		told := make(chan error, 1)
		opt.OnFatal = func(err error) {
			told <- err
			select {} // the process would end here
		}
		s, err := disk.Open("log", opt)
		if err != nil {
			t.Fatal(err)
		}
		broken.Store(true)
		ctx, cancel := context.WithCancel(within(t))
		answered := make(chan error, 1)
		go func() {
			var err error
			for v := uint64(0); err == nil; v++ {
				_, err = s.Append(ctx, "a", v, records(1, 5000))
			}
			answered <- err
		}()
		if cause := <-told; !errors.Is(cause, errDisk) {
			t.Errorf("%s: the cause is lost: %v", kind, cause)
		}
		cancel()
		if err := <-answered; !errors.Is(err, context.Canceled) && !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("%s: an append was answered with %v", kind, err)
		}
	}
}

// After the first error of the disk the process is about to end. Who meets a second
// one must not go on meanwhile: the engine would panic before the cause is told.
func TestASecondErrorWaitsForWhatTheFirstCauses(t *testing.T) {
	begun, end := make(chan error), make(chan struct{})
	opt := small(vfs.NewMem())
	opt.OnFatal = func(err error) {
		begun <- err
		<-end
	}
	s, err := disk.Open("log", opt)
	if err != nil {
		t.Fatal(err)
	}
	go s.Fail(errDisk)
	if cause := <-begun; !errors.Is(cause, errDisk) {
		t.Errorf("the cause is %v", cause)
	}
	second := make(chan struct{})
	go func() {
		s.Fail(errors.New("the second"))
		close(second)
	}()
	select {
	case cause := <-begun:
		t.Errorf("there is another cause: %v", cause)
	case <-second:
		t.Error("the second error did not wait")
	case <-time.After(20 * time.Millisecond):
	}
	close(end)
	<-second
}

package projections_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/memory"
	"github.com/pmledger/pmledger/projections"
)

func TestViewsGoOnWhereTheyWere(t *testing.T) {
	l := newLedger(t)
	o := options("views")
	v := start(t, l.store, o)
	life(l)
	l.execute("organization-acme", key("k1"))
	v.caughtUp(l.store)
	want, at := dump(t, v.Views), v.Position()
	v.stop()

	again := start(t, l.store, o)
	if again.Position() != at || again.LastMessage() == 0 {
		t.Errorf("opened at %s with messages to %s, want %s", again.Position(), again.LastMessage(), at)
	}
	if got := dump(t, again.Views); got != want {
		t.Errorf("content changed:\n%s", firstDifference(want, got))
	}
	if row, found := again.Key("k1"); !found || row.Organization != "acme" || row.Mode != domain.ModeTest {
		t.Errorf("key: %+v %v", row, found)
	}
	l.execute("organization-acme", domain.RevokeKey{KeyID: "k1"})
	again.caughtUp(l.store)
	if row, _ := again.Key("k1"); row.Key.RevokedAt.IsZero() {
		t.Error("the key was not revoked")
	}
}

// A power cut at any moment leaves views of some earlier moment, which catch up
// to the same content.
func TestAfterAPowerCutViewsFallBackAndCatchUp(t *testing.T) {
	l := newLedger(t)
	fs := vfs.NewCrashableMem()
	syncedFolder(t, fs, "views")
	o := options("views")
	o.FS, o.MemTableBytes, o.BatchRecords = fs, 256<<10, 16
	v := start(t, l.store, o)
	random := rand.New(rand.NewPCG(1, 2))
	var crashed []*vfs.MemFS
	for i := range 400 {
		l.attach("acme", fmt.Sprintf("cus_%d", i%40))
		if i%40 == 39 {
			v.caughtUp(l.store)
			crashed = append(crashed, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: random}))
		}
	}
	v.caughtUp(l.store)
	want := dump(t, v.Views)
	behind := 0
	for i, clone := range crashed {
		o := options("views")
		o.FS = clone
		before := open(t, l.store, o)
		if at := statusOf(t, before, "customers").Position; at > 0 && at < v.Position() {
			behind++
		}
		if err := before.Close(); err != nil {
			t.Fatal(err)
		}
		survivor := start(t, l.store, o)
		survivor.caughtUp(l.store)
		if got := dump(t, survivor.Views); got != want {
			t.Errorf("crash %d: %s", i, firstDifference(want, got))
		}
		survivor.stop()
	}
	if behind == 0 {
		t.Error("no crash left anything behind: the test shows nothing")
	}
}

// syncedFolder makes a folder that a power cut does not take.
func syncedFolder(t *testing.T, fs vfs.FS, dir string) {
	t.Helper()
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := fs.OpenDir("/")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(root.Sync(), root.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestViewsAheadOfTheLogAreRefused(t *testing.T) {
	for name, restored := range map[string]func(l *ledger){
		"an older log":         func(l *ledger) { l.attach("acme", "cus_1") },
		"another, longer log":  func(l *ledger) { l.serial.Add(500); life(l); life(l) },
		"an empty log":         func(*ledger) {},
		"other records, alike": func(l *ledger) { l.serial.Add(500); life(l); l.attach("acme", "cus_1") },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(t)
			o := options("views")
			v := start(t, l.store, o)
			life(l)
			l.attach("acme", "cus_1")
			v.caughtUp(l.store)
			v.stop()

			other := newLedger(t)
			restored(other)
			var ahead *projections.AheadError
			if _, err := projections.Open(t.Context(), other.store, o); !errors.As(err, &ahead) {
				t.Fatalf("Open: %v", err)
			}
		})
	}
}

func TestViewsOfAnotherLedgerAreRefused(t *testing.T) {
	store := memory.New()
	o := options("views")
	o.LedgerID = "one"
	v := open(t, store, o)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	o.LedgerID = "two"
	var foreign *projections.ForeignError
	if _, err := projections.Open(t.Context(), store, o); !errors.As(err, &foreign) || foreign.Found != "one" {
		t.Fatalf("Open: %v", err)
	}
	o.LedgerID = "one"
	if err := open(t, store, o).Close(); err != nil {
		t.Error(err)
	}
}

func TestOneProcessHasTheViewsOpen(t *testing.T) {
	store := memory.New()
	o := options(filepath.Join(t.TempDir(), "views"))
	o.FS = vfs.Default
	v := open(t, store, o)
	_, err := projections.Open(t.Context(), store, o)
	if err == nil || !strings.Contains(err.Error(), "stop that one first") {
		t.Errorf("a second Open: %v", err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	if err := open(t, store, o).Close(); err != nil {
		t.Error(err)
	}
}

func TestReadersAndTheProjectorShareTheViews(t *testing.T) {
	l := newLedger(t)
	o := options("views")
	o.CachedMethods = 4
	v := start(t, l.store, o)
	id := l.attach("acme", "cus_1")
	v.caughtUp(l.store)
	done := make(chan error, 4)
	stop := make(chan struct{})
	for range cap(done) {
		go func() {
			var last uint64
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				atLeast := l.Written()
				if err := v.Wait(context.Background(), atLeast); err != nil {
					done <- err
					return
				}
				row, found, err := v.Method("acme", id)
				if err != nil || !found || row.Version < last || eventstore.Position(row.Version) < atLeast {
					done <- fmt.Errorf("version %d after %d, waited for %s: %v %v", row.Version, last, atLeast, found, err)
					return
				}
				last = row.Version
			}
		}()
	}
	for i := range 300 {
		city := fmt.Sprint(i)
		l.now = l.now.Add(time.Millisecond)
		l.execute("customer-acme+cus_1", domain.UpdateMethod{MethodID: id, BillingAddress: &domain.Address{City: city}})
	}
	close(stop)
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

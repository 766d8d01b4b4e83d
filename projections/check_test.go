package projections_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/eventstore/disk"
	"github.com/pmledger/pmledger/eventstore/memory"
	"github.com/pmledger/pmledger/projections"
)

func TestCheckLeavesDamagedViewsAsTheyAre(t *testing.T) {
	dir, store := t.TempDir(), memory.New()
	o := projections.Options{Dir: filepath.Join(dir, "views"), LedgerID: "l"}
	if err := os.Mkdir(o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if at, err := projections.Check(t.Context(), store, o); at != 0 || err != nil {
		t.Errorf("an empty folder: %d, %v", at, err)
	}
	v, err := projections.Open(t.Context(), store, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	tables, _ := filepath.Glob(filepath.Join(o.Dir, "*.sst"))
	for _, table := range tables {
		content, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		content[0] ^= 1
		if err := os.WriteFile(table, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := projections.Check(t.Context(), store, o); err == nil || len(tables) == 0 {
		t.Errorf("%d damaged tables: %v", len(tables), err)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "DAMAGED")); err == nil {
		t.Error("Check has marked the folder")
	}
}

func TestViewsThatAreOpenSaySo(t *testing.T) {
	store, o := memory.New(), projections.Options{Dir: filepath.Join(t.TempDir(), "views")}
	v, err := projections.Open(t.Context(), store, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := projections.Open(t.Context(), store, o); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("opened again: %v", err)
	}
	if _, err := projections.Check(t.Context(), store, o); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("checked: %v", err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := projections.Check(t.Context(), store, o); err != nil {
		t.Errorf("when they are closed: %v", err)
	}
	lock, err := disk.Lock(o.Dir, vfs.Default)
	if err != nil {
		t.Fatalf("Check has not let go of them: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
}

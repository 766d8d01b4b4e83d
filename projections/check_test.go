package projections_test

import (
	"os"
	"path/filepath"
	"testing"

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

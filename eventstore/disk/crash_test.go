package disk_test

import (
	"testing"

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

package disk_test

import (
	"testing"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
	"github.com/pmledger/pmledger/eventstore/storetest"
)

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

func TestDiskKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) eventstore.Store { return open(t, t.TempDir(), disk.Options{}) })
}

func TestDiskFindsEverythingAgain(t *testing.T) {
	storetest.RunReopen(t, func(t *testing.T, dir string) eventstore.Store { return open(t, dir, disk.Options{}) })
}

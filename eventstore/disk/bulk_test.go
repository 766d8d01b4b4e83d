package disk_test

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
)

// Power is lost while many appends are made at once: each call is in the log whole
// or not at all, and those that were acknowledged are.
func TestPowerLossKeepsManyAppendsTogether(t *testing.T) {
	const together = 7
	cut := 0
	for _, percent := range []int{0, 50, 100} {
		for seed := range rounds(4) {
			rng := rand.New(rand.NewPCG(seed, uint64(percent)))
			fs := vfs.NewCrashableMem()
			s := open(t, "log", small(fs))
			var acked, called atomic.Uint64
			var stop atomic.Bool
			reached, ended := make(chan struct{}, 1), make(chan struct{})
			goal := 1 + rng.Uint64N(40)
			go func() {
				defer close(ended)
				for !stop.Load() {
					var appends []eventstore.Appending
					for n := range together {
						appends = append(appends, eventstore.Appending{Stream: "customer-acme+" + uuid.NewString(), Records: records(1, 100+9_000*(n%2))})
					}
					called.Add(1)
					if _, err := s.AppendAll(context.Background(), appends); err != nil {
						t.Errorf("append: %v", err)
						return
					}
					if acked.Add(1) == goal {
						reached <- struct{}{}
					}
				}
			}()
			<-reached
			safe := acked.Load()
			crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			if called.Load() > safe {
				cut++
			}
			stop.Store(true)
			<-ended
			n := uint64(checkRecovered(t, open(t, "log", small(crashed)), nil))
			if n%together != 0 || n < safe*together {
				t.Errorf("%d records were recovered of calls with %d each, %d of them acknowledged", n, together, safe)
			}
		}
	}
	t.Logf("%d power losses in the middle of a call", cut)
}

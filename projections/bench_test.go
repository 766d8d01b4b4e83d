package projections_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

// onDisk are the options of production.
func onDisk(b *testing.B) projections.Options {
	return projections.Options{Dir: filepath.Join(b.TempDir(), "views"), Logger: quiet(), FS: vfs.Default}
}

// BenchmarkApply attaches the same number of cards again and again: two events
// each, from the log's bytes to rows and messages. It reports what remains when
// reading and decoding alone are taken away, too.
func BenchmarkApply(b *testing.B) {
	l := newLedger(b)
	bulk(b, l, b.N)
	head, err := l.store.Head(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	decode := decodeAll(b, l.store, head)
	v := start(b, l.store, onDisk(b))
	b.ResetTimer()
	if err := v.Wait(context.Background(), head); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "attaches/s")
	b.ReportMetric(decode.Seconds()/b.Elapsed().Seconds(), "decode/apply")
	b.ReportMetric(float64(decode.Nanoseconds())/float64(b.N), "decode-ns/op")
}

// decodeAll is the work that no projection can avoid: reading the log,
// checking every record's hash, and decoding it.
func decodeAll(b *testing.B, store eventstore.Store, head eventstore.Position) time.Duration {
	begin := time.Now()
	for batch, err := range store.Follow(b.Context(), 0) {
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range batch {
			_ = r.LeafHash()
			if _, _, err := eventstore.DecodeRecord(r); err != nil {
				b.Fatal(err)
			}
		}
		if batch[len(batch)-1].Position == head {
			break
		}
	}
	return time.Since(begin)
}

// filled are views of n cards of as many customers.
func filled(b *testing.B, n int) (*running, *ledger, []domain.MethodID) {
	l := newLedger(b)
	bulk(b, l, n)
	v := start(b, l.store, onDisk(b))
	v.caughtUp(l.store)
	_, states, err := l.replay()
	if err != nil {
		b.Fatal(err)
	}
	var ids []domain.MethodID
	for i := range n {
		for id := range states[fmt.Sprintf("customer-acme+bulk_%d", i)].(*domain.Customer).Methods {
			ids = append(ids, id)
		}
	}
	b.ResetTimer()
	return v, l, ids
}

func BenchmarkMethodGet(b *testing.B) {
	for name, spread := range map[string]int{"hot": 1000, "cold": 100_000} {
		b.Run(name, func(b *testing.B) {
			v, _, ids := filled(b, spread)
			for i := range b.N {
				if _, found, err := v.Method("acme", ids[i*7919%len(ids)]); !found || err != nil {
					b.Fatal(found, err)
				}
			}
		})
	}
}

func BenchmarkList20(b *testing.B) {
	v, _, _ := filled(b, 20_000)
	for b.Loop() {
		page, err := v.Methods("acme", projections.MethodQuery{Limit: 20})
		if err != nil || len(page.Items) != 20 {
			b.Fatal(len(page.Items), err)
		}
	}
}

func BenchmarkRenderMethod(b *testing.B) {
	l := newLedger(b)
	id := l.attach("acme", "cus_1")
	m := method(b, l, "acme", "cus_1", id)
	for b.Loop() {
		_ = projections.RenderMethod(m)
	}
}

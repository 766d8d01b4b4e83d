package eventstore_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
	"github.com/pmledger/pmledger/eventstore/kurrent"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
	"github.com/pmledger/pmledger/eventstore/memory"
)

// BenchmarkImport imports the log of some attaches, two records each, into an empty
// store. Of a cluster it measures the double of its protocol, in the same process.
func BenchmarkImport(b *testing.B) {
	for name, c := range map[string]struct {
		attaches int
		open     func(b *testing.B) eventstore.Store
	}{
		"Disk": {50_000, func(b *testing.B) eventstore.Store {
			s, err := disk.Open(b.TempDir(), disk.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = s.Close() })
			return s
		}},
		"Cluster": {2_000, func(b *testing.B) eventstore.Store {
			s, err := kurrent.Open(b.Context(), kurrenttest.Start(b, kurrenttest.Options{}).ConnectionString(), kurrent.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = s.Close() })
			return s
		}},
	} {
		b.Run(name, func(b *testing.B) {
			export, records := largeExport(b, c.attaches)
			for b.Loop() {
				b.StopTimer()
				store := c.open(b)
				b.StartTimer()
				done, err := eventstore.Import(b.Context(), store, eventstore.NewExportReader(bytes.NewReader(export)), eventstore.ImportOptions{Fingerprint: fingerprint})
				if err != nil || done.Appended != records {
					b.Fatalf("%+v, %v", done, err)
				}
			}
			b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// largeExport is the export of a log of customers with one method each.
func largeExport(b *testing.B, attaches int) (export []byte, records uint64) {
	b.Helper()
	store := memory.New()
	if _, err := eventstore.Identify(b.Context(), store, fingerprint, uuid.New(), start); err != nil {
		b.Fatal(err)
	}
	ledger, _ := newLedger(store)
	for n := range attaches {
		r := request(fmt.Sprint("key_", n), attach(n))
		r.Stream, r.RequestMAC = domain.CustomerStream("acme", fmt.Sprint("cus_", n), ""), fmt.Sprintf("%064x", n)
		if _, err := ledger.Execute(context.Background(), r); err != nil {
			b.Fatal(err)
		}
	}
	follows := eventstore.NoPrev
	head, _ := store.Head(b.Context())
	for batch, err := range store.Follow(b.Context(), 0) {
		for _, r := range batch {
			if err == nil {
				export, err = eventstore.Exported{Record: r, Follows: follows}.Append(export)
			}
			follows = r.LeafHash()
		}
		if err != nil {
			b.Fatal(err)
		}
		if batch[len(batch)-1].Position == head {
			break
		}
	}
	return export, uint64(head)
}

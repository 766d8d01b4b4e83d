package disk_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
)

// fdatasync measures the bare cost of making 600 bytes durable: what one append
// by one client cannot be faster than on this machine, at this moment.
func fdatasync(b *testing.B) time.Duration {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const n = 300
	if _, err := f.Write(make([]byte, n*600)); err != nil { // as in a used log file
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	for i := range int64(n) {
		if _, err := f.WriteAt(make([]byte, 600), i*600); err != nil {
			b.Fatal(err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start) / n
}

// BenchmarkAppend appends one record of some 600 bytes per operation, to one of
// 100 000 streams. fdatasyncs/op below 1 is what sharing syncs gains.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("%dWriters", writers), func(b *testing.B) {
			bare := fdatasync(b)
			s := open(b, b.TempDir(), disk.Options{})
			var next atomic.Int64
			var g sync.WaitGroup
			names := make([]string, 100_000)
			versions := make([]uint64, len(names))
			for i := range names {
				names[i] = fmt.Sprintf("customer-acme+cus_%08x", uint32(i)*2654435761)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for w := range writers {
				g.Go(func() {
					r := records(1, 450)
					// Each writer has streams of its own.
					for i := w; next.Add(1) <= int64(b.N); i = (i + writers) % (len(names) / writers * writers) {
						r[0].ID[0]++
						if _, err := s.Append(context.Background(), names[i], versions[i], r); err != nil {
							b.Error(err)
							return
						}
						versions[i]++
					}
				})
			}
			g.Wait()
			perOp := b.Elapsed() / time.Duration(b.N)
			b.ReportMetric(float64(perOp)/float64(bare), "fdatasyncs/op")
			b.ReportMetric(float64(bare.Microseconds()), "µs/fdatasync")
		})
	}
}

// fillForReading writes n records, five to a stream, the streams interleaved.
func fillForReading(b *testing.B, dir string, n int) []string {
	b.Helper()
	s, err := disk.Open(dir, disk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	names := make([]string, n/5)
	var g sync.WaitGroup
	for w := range 64 {
		g.Go(func() {
			for v := range uint64(5) {
				for i := w; i < len(names); i += 64 {
					names[i] = fmt.Sprintf("customer-acme+cus_%08x", uint32(i)*2654435761)
					if _, err := s.Append(context.Background(), names[i], v, records(1, 450)); err != nil {
						b.Error(err)
					}
				}
			}
		})
	}
	g.Wait()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return names
}

const readRecords = 100_000

// BenchmarkStream reads one stream of five records, all streams in turn.
func BenchmarkStream(b *testing.B) {
	dir := b.TempDir()
	names := fillForReading(b, dir, readRecords)
	s := open(b, dir, disk.Options{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := 0
		for _, err := range s.Stream(context.Background(), names[i*7919%len(names)], 1) {
			if n++; err != nil {
				b.Fatal(err)
			}
		}
		if n != 5 {
			b.Fatalf("%d records", n)
		}
	}
}

// BenchmarkFollow reads the whole log per operation. scans/op is its ratio to
// an iteration over the same database that decodes nothing.
func BenchmarkFollow(b *testing.B) {
	dir := b.TempDir()
	fillForReading(b, dir, readRecords)
	bare := bareScan(b, dir)
	s := open(b, dir, disk.Options{})
	b.ReportAllocs()
	for b.Loop() {
		for batch, err := range s.Follow(context.Background(), 0) {
			if err != nil {
				b.Fatal(err)
			}
			if batch[len(batch)-1].Position == eventstore.Position(readRecords) {
				break
			}
		}
	}
	perOp := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(float64(perOp)/float64(bare), "scans/op")
	b.ReportMetric(float64(perOp)/readRecords, "ns/record")
}

func bareScan(b *testing.B, dir string) (best time.Duration) {
	b.Helper()
	db, err := pebble.Open(dir, &pebble.Options{FormatMajorVersion: pebble.FormatNewest, CacheSize: 128 << 20, ReadOnly: true, Logger: quiet{}})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for range 3 {
		start := time.Now()
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{'r'}, UpperBound: []byte{'s'}})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for ok := it.First(); ok; ok = it.Next() {
			n += len(it.Value())
		}
		if err := it.Close(); err != nil || n == 0 {
			b.Fatal(n, err)
		}
		if took := time.Since(start); best == 0 || took < best {
			best = took
		}
	}
	return best
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

package kurrent_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/kurrent"
	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
)

// serveDouble makes the test binary a server, for benchmarks.
const serveDouble = "PMLEDGER_TEST_SERVE_DOUBLE"

func TestMain(m *testing.M) {
	if os.Getenv(serveDouble) == "" {
		os.Exit(m.Run())
	}
	server, err := kurrenttest.New(kurrenttest.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(server.ConnectionString())
	_, _ = io.Copy(io.Discard, os.Stdin) // until whoever started it is gone
}

// double starts the server's double in a process of its own, so that what this
// process uses is what the client costs.
func double(b *testing.B) string {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), serveDouble+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // it may have been killed
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var (
	benchData = fmt.Appendf(nil, `{"filler":%q}`, strings.Repeat("d", 600))
	benchMeta = fmt.Appendf(nil, `{"filler":%q}`, strings.Repeat("m", 300))
)

// spread runs do n times over 32 goroutines, and reports the processor time of each.
func spread(b *testing.B, do func(stream string, version uint64) error) {
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	began := cpu()
	var g sync.WaitGroup
	for w := range 32 {
		g.Go(func() {
			stream := fmt.Sprintf("customer-bench+%d-%s", w, uuid.NewString())
			for v := uint64(0); left.Add(-1) >= 0; v++ {
				if err := do(stream, v); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	g.Wait()
	b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
}

func appendAdapter(ctx context.Context, s *kurrent.Store) func(string, uint64) error {
	return func(stream string, version uint64) error {
		_, err := s.Append(ctx, stream, version, []eventstore.NewRecord{{ID: uuid.New(), Type: "payment_method.attached", Data: benchData, Metadata: benchMeta}})
		return err
	}
}

func appendRaw(ctx context.Context, c *esdb.Client) func(string, uint64) error {
	return func(stream string, version uint64) error {
		o := esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}
		if version > 0 {
			o.ExpectedRevision = esdb.Revision(version - 1)
		}
		_, err := c.AppendToStream(ctx, stream, o, esdb.EventData{
			EventID: uuid.New(), EventType: "payment_method.attached", ContentType: esdb.ContentTypeJson, Data: benchData, Metadata: benchMeta,
		})
		return err
	}
}

// BenchmarkAppend compares an append through the store with one through the
// server's own client.
func BenchmarkAppend(b *testing.B) {
	at := double(b)
	b.Run("store", func(b *testing.B) { spread(b, appendAdapter(b.Context(), open(b, at, kurrent.Options{}))) })
	b.Run("client", func(b *testing.B) { spread(b, appendRaw(b.Context(), rawClient(b, at))) })
}

// BenchmarkFollow does the same for a followed record.
func BenchmarkFollow(b *testing.B) {
	const streams, each = 16, 1000
	at := double(b)
	s := open(b, at, kurrent.Options{})
	for n := range streams {
		for v := uint64(0); v < each; v += 100 {
			mustAppend(b, s, fmt.Sprint("customer-bench+", n), v, records(100))
		}
	}
	b.Run("store", func(b *testing.B) {
		counted(b, streams*each, func(most int) (n int) {
			for batch, err := range s.Follow(b.Context(), 0) {
				if err != nil {
					b.Fatal(err)
				}
				if n += len(batch); n >= most {
					break
				}
			}
			return n
		})
	})
	b.Run("client", func(b *testing.B) {
		c := rawClient(b, at)
		counted(b, streams*each, func(most int) (n int) {
			sub, err := c.SubscribeToAll(b.Context(), esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: &esdb.SubscriptionFilter{
				Type: esdb.StreamFilterType, Prefixes: []string{"customer-", "organization-", "subscription-", "ledger"},
			}})
			if err != nil {
				b.Fatal(err)
			}
			for n < most {
				if e := sub.Recv(); e.EventAppeared != nil {
					n++
				} else if e.SubscriptionDropped != nil {
					b.Fatal(e.SubscriptionDropped.Error)
				}
			}
			if err := sub.Close(); err != nil {
				b.Fatal(err)
			}
			return n
		})
	})
}

// counted lets follow read the log, again and again, and reports the processor time
// of each record.
func counted(b *testing.B, written int, follow func(most int) int) {
	b.Helper()
	b.ResetTimer()
	began, n := cpu(), 0
	for n < b.N {
		n += follow(min(b.N-n, written))
	}
	b.ReportMetric(float64(cpu()-began)/float64(n), "cpu-ns/op")
}

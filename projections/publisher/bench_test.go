package publisher

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

// BenchmarkBacklog publishes a backlog of b.N messages with every write synced.
func BenchmarkBacklog(b *testing.B) {
	for _, size := range []int{100, 500, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			log := newOutbox(b.N)
			source := log.source()
			source.Messages = func(after eventstore.Position, n int) ([]projections.Message, error) {
				return log.read(after, min(n, size))
			}
			s := startServer(b, ServerOptions{Logger: silent()})
			b.ReportAllocs()
			b.ResetTimer()
			p, stop := run(b, Options{Server: s, Source: source, Logger: silent()})
			for !caughtUp(p, log)() {
				time.Sleep(100 * time.Microsecond)
			}
			b.StopTimer()
			stop()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// BenchmarkLatency measures, in turn and on the same stream, from a new message in
// the outbox to a subscriber, and from a bare synced publish to the same
// subscriber. The ratio of the medians is what the publisher adds.
func BenchmarkLatency(b *testing.B) {
	log, bare := newOutbox(1), newOutbox(1)
	s := startServer(b, ServerOptions{Listen: "127.0.0.1:0", Anonymous: true, Logger: silent()})
	other := startServer(b, ServerOptions{Listen: "127.0.0.1:0", Anonymous: true, Logger: silent()})
	p, _ := run(b, Options{Server: s, Source: log.source(), Logger: silent()})
	q, stop := run(b, Options{Server: other, Source: bare.source(), Logger: silent()})
	eventually(b, "published", caughtUp(p, log))
	eventually(b, "published", caughtUp(q, bare))
	stop()
	nc, _ := writer(b, other)
	mine, theirs := subscribe(b, client(b, s), "pm.v1.>"), subscribe(b, client(b, other), "pm.v1.>")
	var ours, bares []time.Duration
	b.ResetTimer()
	for range b.N {
		began := time.Now()
		log.add(1)
		receive(b, mine)
		ours = append(ours, time.Since(began))
		m := message(len(ours), projections.Message{}, projections.Message{})
		header := nats.Header{}
		for name, value := range headers(m) {
			header[name] = []string{value}
		}
		began = time.Now()
		if err := nc.PublishMsg(&nats.Msg{Subject: m.InputSubject(), Reply: replyPrefix + ".bare", Header: header, Data: m.Body}); err != nil {
			b.Fatal(err)
		}
		receive(b, theirs)
		bares = append(bares, time.Since(began))
	}
	b.StopTimer()
	for _, q := range []struct {
		name  string
		place float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		a, c := quantile(ours, q.place), quantile(bares, q.place)
		b.ReportMetric(float64(a.Microseconds()), q.name+"-µs")
		b.ReportMetric(float64(a)/float64(c), q.name+"-ratio-to-bare")
	}
}

func receive(b *testing.B, sub *nats.Subscription) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := sub.NextMsgWithContext(ctx); err != nil {
		b.Fatal(err)
	}
}

func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[int(q*float64(len(d)-1))]
}

func silent() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

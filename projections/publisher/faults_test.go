package publisher

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// holds waits until the stream has n messages.
func holds(t testing.TB, js jetstream.JetStream, n int) {
	t.Helper()
	eventually(t, "the stream holds the messages", func() bool {
		stream, err := js.Stream(context.Background(), StreamName)
		return err == nil && stream.CachedInfo().State.Msgs == uint64(n)
	})
}

// A write that was stored but whose acknowledgement never came is the case that
// makes duplicates. The duplicate window does not help when it is over.
func TestLostAcknowledgementsMakeNoDuplicates(t *testing.T) {
	t.Parallel()
	for name, window := range map[string]time.Duration{"inside the duplicate window": 2 * time.Minute, "after the duplicate window": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			log, b := newOutbox(0), startBus(t)
			js := b.js()
			if _, err := js.CreateStream(context.Background(), require(jetstream.StreamConfig{Duplicates: window, Replicas: 1}, false)); err != nil {
				t.Fatal(err)
			}
			w := newWire(t, b.s.Addr().String())
			log.add(1)
			p, _ := run(t, Options{URL: w.url(), Source: log.source(), AckTimeout: 300 * time.Millisecond})
			eventually(t, "published", caughtUp(p, log))
			for i, n := range []int{1, 3, 15, 16, 200, 1, 40} {
				w.muted.Store(true)
				log.add(n)
				holds(t, js, len(log.all()))
				if window < time.Second {
					time.Sleep(2 * window) // a condition of the test: the window must be over
				}
				w.cut()
				eventually(t, "published after the cut", caughtUp(p, log))
				if st := p.Status(); i == 0 && st.Published != 1 {
					t.Errorf("the publisher counts %d messages as its own although no answer came", st.Published)
				}
			}
			complete(t, js, log.all())
		})
	}
}

// A publisher that slept between reading the stream's end and writing must be
// refused, also when the duplicate window has forgotten the messages.
func TestWriteThatNamesAnOldEndIsRefused(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 5, 20} {
		log, b := newOutbox(n), startBus(t)
		if _, err := b.js().CreateStream(context.Background(), require(jetstream.StreamConfig{Duplicates: 100 * time.Millisecond, Replicas: 1}, false)); err != nil {
			t.Fatal(err)
		}
		publish := func() error {
			p, err := New(Options{URL: b.url(), Source: log.source(), Logger: quiet(t)})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.connect(); err != nil {
				t.Fatal(err)
			}
			defer p.nc.Close()
			_, err = p.publish(context.Background(), end{}, log.all())
			return err
		}
		if err := publish(); err != nil {
			t.Errorf("%d messages: %v", n, err)
		}
		// Until the server forgets the messages, it takes them for repeats.
		eventually(t, "the second writer is refused", func() bool { return errors.Is(publish(), errConflict) })
		complete(t, b.js(), log.all())
	}
}

func TestStreamIsCompleteAfterNATSWasAway(t *testing.T) {
	t.Parallel()
	log, b := newOutbox(50), startBus(t)
	p, _ := run(t, Options{URL: b.url(), Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	for range 3 {
		b.stop()
		log.add(400)
		eventually(t, "the outage shows", func() bool { return p.Status().LastError != nil && !p.Status().Connected })
		if n, err := p.Lag(1000); n != 400 || err != nil {
			t.Errorf("lag %d, %v", n, err)
		}
		b.start()
		eventually(t, "published after the outage", caughtUp(p, log))
	}
	complete(t, b.js(), log.all())
}

func TestPublisherStartsBeforeNATSDoes(t *testing.T) {
	t.Parallel()
	log, b := newOutbox(5), startBus(t)
	b.stop()
	p, _ := run(t, Options{URL: b.url(), Source: log.source()})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := p.Checked(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a verdict without a server: %v", err)
	}
	b.start()
	eventually(t, "published", caughtUp(p, log))
	complete(t, b.js(), log.all())
}

// While messages keep coming, the server is stopped and started at random moments.
func TestServerRestartsInTheMiddleOfPublishing(t *testing.T) {
	t.Parallel()
	log, b := newOutbox(0), startBus(t)
	p, _ := run(t, Options{URL: b.url(), Source: log.source(), AckTimeout: time.Second})
	stop := feed(log, 6000)
	for range 5 {
		time.Sleep(time.Duration(20+rand.IntN(80)) * time.Millisecond)
		b.stop()
		b.start()
	}
	stop()
	eventually(t, "published", caughtUp(p, log))
	complete(t, b.js(), log.all())
}

// feed adds up to n messages in random portions until it is stopped.
func feed(log *outbox, n int) (stop func()) {
	var ended atomic.Bool
	var running sync.WaitGroup
	running.Go(func() {
		for added := 0; added < n && !ended.Load(); time.Sleep(time.Millisecond) {
			k := 1 + rand.IntN(30)
			log.add(k)
			added += k
		}
	})
	return func() {
		ended.Store(true)
		running.Wait()
	}
}

func TestCompetingPublishersWriteWhatOneWouldWrite(t *testing.T) {
	t.Parallel()
	log, b := newOutbox(0), startBus(t)
	var publishers []*Publisher
	for range 3 {
		p, _ := run(t, Options{URL: b.url(), Source: log.source()})
		publishers = append(publishers, p)
	}
	for _, p := range publishers {
		eventually(t, "every publisher is connected", func() bool { return p.Status().Connected })
	}
	eventually(t, "the publishers meet", func() bool {
		log.add(1 + rand.IntN(30))
		return slices.ContainsFunc(publishers, func(p *Publisher) bool { return p.Status().Conflicts > 0 })
	})
	for _, p := range publishers {
		eventually(t, "every publisher sees the end", caughtUp(p, log))
	}
	complete(t, b.js(), log.all())
}

func TestStandbyTakesOverWhenTheOtherStops(t *testing.T) {
	t.Parallel()
	log, b := newOutbox(100), startBus(t)
	active, stopActive := run(t, Options{URL: b.url(), Source: log.source()})
	idle, stopIdle := run(t, Options{URL: b.url(), Source: log.source()})
	eventually(t, "one stands by", func() bool {
		log.add(1)
		return active.Status().Standby || idle.Status().Standby
	})
	if active.Status().Standby {
		active, stopActive, idle, stopIdle = idle, stopIdle, active, stopActive
	}
	eventually(t, "the other is through", caughtUp(active, log))
	stopActive()
	eventually(t, "the standby has seen all", caughtUp(idle, log))
	began := time.Now()
	log.add(100)
	eventually(t, "the standby took over", caughtUp(idle, log))
	if waited := time.Since(began); waited < standstill/2 { // what it had seen of the other may count for a part
		t.Errorf("the standby took over after %s; the other may stand still for %s", waited, standstill)
	}
	stopIdle()
	complete(t, b.js(), log.all())
}

func TestPublisherPausesAtTheGate(t *testing.T) {
	t.Parallel()
	log := newOutbox(3)
	s := startServer(t, ServerOptions{})
	var full atomic.Bool
	p, _ := run(t, Options{Server: s, Source: log.source(), Gate: func() error {
		if full.Load() {
			return errors.New("less than 256 MiB are free")
		}
		return nil
	}})
	eventually(t, "published", caughtUp(p, log))
	full.Store(true)
	log.add(20)
	eventually(t, "the pause shows", func() bool { return p.Status().LastError != nil })
	if n, _ := p.Lag(100); n != 20 {
		t.Errorf("lag %d behind a closed gate", n)
	}
	full.Store(false)
	eventually(t, "published", caughtUp(p, log))
	_, js := writer(t, s)
	complete(t, js, log.all())
}

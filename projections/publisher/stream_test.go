package publisher

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pmledger/pmledger/eventstore"
)

func halted(t testing.TB, p *Publisher, cause error) {
	t.Helper()
	eventually(t, "it halts", func() bool { return p.Status().Halted != nil })
	if err := p.Status().Halted; !errors.Is(err, cause) {
		t.Errorf("halted by %v, want %v", err, cause)
	}
	if err := p.Checked(context.Background()); !errors.Is(err, cause) {
		t.Errorf("the verdict is %v", err)
	}
}

// A log that was restored from an older copy must not be published over the
// stream, and the stream must stay as it is: it is the evidence.
func TestStreamAheadOfTheLogHaltsThePublisher(t *testing.T) {
	t.Parallel()
	newer, older, dir := newOutbox(60), newOutbox(40), t.TempDir()
	s := startServer(t, ServerOptions{Dir: dir})
	p, stop := run(t, Options{Server: s, Source: newer.source()})
	eventually(t, "published", caughtUp(p, newer))
	stop()
	p, stop = run(t, Options{Server: s, Source: older.source()})
	halted(t, p, ErrAhead)
	stop()
	_, js := writer(t, s)
	complete(t, js, newer.all())
	t.Run("deleting the stream's folder mends it", func(t *testing.T) {
		s.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		s := startServer(t, ServerOptions{Dir: dir})
		p, _ := run(t, Options{Server: s, Source: older.source()})
		eventually(t, "published", caughtUp(p, older))
		_, js := writer(t, s)
		complete(t, js, older.all())
	})
}

func TestStreamOfAnotherLogHaltsThePublisher(t *testing.T) {
	t.Parallel()
	one, other := newOutbox(30), newOutbox(50)
	for i := range other.messages {
		other.messages[i].ID[0] = 7
	}
	s := startServer(t, ServerOptions{})
	p, stop := run(t, Options{Server: s, Source: one.source()})
	eventually(t, "published", caughtUp(p, one))
	stop()
	p, _ = run(t, Options{Server: s, Source: other.source()})
	halted(t, p, ErrOtherLog)
	_, js := writer(t, s)
	complete(t, js, one.all())
}

// A view that is still being rebuilt knows less than the stream; that is no reason
// to halt.
func TestPublisherWaitsForTheViewBeforeItJudges(t *testing.T) {
	t.Parallel()
	log, s := newOutbox(30), startServer(t, ServerOptions{})
	p, stop := run(t, Options{Server: s, Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	stop()
	view, asked, ready := newOutbox(0), make(chan eventstore.Position, 1), make(chan struct{})
	source := view.source()
	source.Head = log.source().Head
	source.Reached = func(ctx context.Context, at eventstore.Position) error {
		asked <- at
		select {
		case <-ready:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p, _ = run(t, Options{Server: s, Source: source})
	select {
	case at := <-asked:
		if at != log.last() {
			t.Errorf("it waits for position %d, the stream ends at %d", at, log.last())
		}
	case <-time.After(time.Minute):
		t.Fatal("it judges without the view")
	}
	view.add(35)
	log.add(5)
	close(ready)
	eventually(t, "published", caughtUp(p, log))
	_, js := writer(t, s)
	complete(t, js, log.all())
}

func TestWritesOfOthersHaltThePublisher(t *testing.T) {
	t.Parallel()
	log, b := newOutbox(5), startBus(t)
	p, _ := run(t, Options{URL: b.url(), Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	if _, err := b.js().Publish(context.Background(), "_pm.in.v1.demo.x", []byte("mine")); err != nil {
		t.Fatal(err)
	}
	log.add(1)
	halted(t, p, ErrOtherLog)
}

func TestSettingsOfTheStreamAreRepaired(t *testing.T) {
	t.Parallel()
	log, s := newOutbox(20), startServer(t, ServerOptions{})
	_, js := writer(t, s)
	_, err := js.CreateStream(context.Background(), jetstream.StreamConfig{Name: StreamName, Subjects: []string{"_pm.in.v1.>"}, MaxMsgs: 3, AllowRollup: true})
	if err != nil {
		t.Fatal(err)
	}
	p, _ := run(t, Options{Server: s, Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	complete(t, js, log.all())
	stream, err := js.Stream(context.Background(), StreamName)
	if err != nil {
		t.Fatal(err)
	}
	if c := stream.CachedInfo().Config; len(differences(c, require(c, true))) > 0 {
		t.Errorf("settings %+v", c)
	}
	if p.Status().Rebuilds != 0 {
		t.Error("the stream was rebuilt although its settings could be changed")
	}
}

func TestUnfitStreamHaltsOrIsRebuilt(t *testing.T) {
	t.Parallel()
	memory := jetstream.StreamConfig{Name: StreamName, Subjects: []string{"_pm.in.v1.>"}, Storage: jetstream.MemoryStorage}
	t.Run("external", func(t *testing.T) {
		log, b := newOutbox(5), startBus(t)
		if _, err := b.js().CreateStream(context.Background(), memory); err != nil {
			t.Fatal(err)
		}
		p, _ := run(t, Options{URL: b.url(), Source: log.source()})
		halted(t, p, ErrUnfit)
	})
	t.Run("embedded", func(t *testing.T) {
		log, s := newOutbox(5), startServer(t, ServerOptions{})
		_, js := writer(t, s)
		if _, err := js.CreateStream(context.Background(), memory); err != nil {
			t.Fatal(err)
		}
		p, _ := run(t, Options{Server: s, Source: log.source()})
		eventually(t, "published", caughtUp(p, log))
		complete(t, js, log.all())
		if p.Status().Rebuilds != 1 {
			t.Errorf("status %+v", p.Status())
		}
	})
}

func TestLimitsOfAnExternalStreamAreItsOperatorsChoice(t *testing.T) {
	t.Parallel()
	log, b := newOutbox(50), startBus(t)
	js := b.js()
	c := require(jetstream.StreamConfig{Replicas: 1, MaxMsgs: 10}, false)
	if _, err := js.CreateStream(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	p, stop := run(t, Options{URL: b.url(), Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	stop()
	log.add(5)
	p, _ = run(t, Options{URL: b.url(), Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	same(t, contents(t, js), log.all()[45:], false)
}

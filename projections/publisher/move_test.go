package publisher

import (
	"errors"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

// The positions of one log in two stores: numbers on a disk, bytes on a cluster.
func numbers(p eventstore.Position) eventstore.Position { return p }
func bytesOf(p eventstore.Position) eventstore.Position { return p*1311 + 77 }

// kept is the first n messages of a log as a store with these positions has them.
func kept(log *outbox, n int, positions func(eventstore.Position) eventstore.Position) *outbox {
	at := func(p eventstore.Position) eventstore.Position {
		if p == 0 {
			return 0
		}
		return positions(p)
	}
	o := newOutbox(0)
	for _, m := range log.all()[:n] {
		m.Position, m.Prev, m.OrgPrev = at(m.Position), at(m.Prev), at(m.OrgPrev)
		o.messages = append(o.messages, m)
	}
	return o
}

// A log is moved when not all of it is published yet, there and back again. Each
// event is in the stream once, in order, with the positions of the store that it
// was published from.
func TestAStreamGoesOnAfterTheLogHasMoved(t *testing.T) {
	t.Parallel()
	log := newOutbox(900)
	s := startServer(t, ServerOptions{})
	_, js := writer(t, s)
	var want []projections.Message
	for n, store := range []struct {
		positions func(eventstore.Position) eventstore.Position
		known     int
	}{{numbers, 300}, {bytesOf, 600}, {bytesOf, 650}, {numbers, 900}, {numbers, 900}, {bytesOf, 900}} {
		o := kept(log, store.known, store.positions)
		p, stop := run(t, Options{Server: s, Source: o.source()})
		eventually(t, "published", caughtUp(p, o))
		want = append(want, o.all()[len(want):]...)
		complete(t, js, want)
		if st := p.Status(); st.Halted != nil || st.Rebuilds != 0 || st.Position != o.last() {
			t.Errorf("start %d: %+v", n, st)
		}
		stop()
	}
}

// Publishers of several servers start on the moved log at once, while an old server
// was left running on the old one.
func TestPublishersOfAMovedLogTakeTurns(t *testing.T) {
	t.Parallel()
	log := newOutbox(1200)
	s := startServer(t, ServerOptions{})
	_, js := writer(t, s)
	old := kept(log, 400, numbers)
	left, _ := run(t, Options{Server: s, Source: old.source()})
	eventually(t, "published", caughtUp(left, old))

	moved := kept(log, 500, bytesOf)
	a, _ := run(t, Options{Server: s, Source: moved.source()})
	b, _ := run(t, Options{Server: s, Source: moved.source()})
	for n := 500; n <= 1200; n += 50 {
		more := kept(log, n, bytesOf)
		moved.mu.Lock()
		moved.messages = more.messages
		close(moved.grown)
		moved.grown = make(chan struct{})
		moved.mu.Unlock()
		time.Sleep(time.Millisecond) // so that not all goes out in one batch
	}
	eventually(t, "published", func() bool {
		return a.Status().Position == moved.last() || b.Status().Position == moved.last()
	})
	complete(t, js, append(old.all(), moved.all()[400:]...))
}

// Messages that a power cut took from the end of the stream are published again
// from the store that the log has moved to. Their sequences are missing at the very
// place where the positions change, and that is no hole.
func TestTheSeamOfAMoveIsNoHole(t *testing.T) {
	t.Parallel()
	log := newOutbox(6800)
	old := kept(log, 6700, numbers)
	dir := filled(t, old)
	cutEnd(t, blocks(t, dir)[len(blocks(t, dir))-1], 20_000)
	moved := kept(log, 6800, bytesOf)
	for start := range 3 {
		s := startServer(t, ServerOptions{Dir: dir})
		p, stop := run(t, Options{Server: s, Source: moved.source()})
		eventually(t, "published", caughtUp(p, moved))
		_, js := writer(t, s)
		all := contents(t, js)
		if len(all) != 6800 {
			t.Fatalf("start %d: %d messages", start, len(all))
		}
		again, messages := 0, moved.all()
		for i, m := range all {
			ours := messages[i]
			if m.Headers().Get("ce-id") != ours.EventID() {
				t.Fatalf("message %d is %s, want %s", i, m.Headers().Get("ce-id"), ours.EventID())
			}
			if m.Headers().Get("ce-pmposition") == ours.Position.String() {
				again++
			}
		}
		if again <= 100 || again > 1000 {
			t.Errorf("%d messages have positions of the new store: the test tears nothing, or too much", again)
		}
		if n := p.Status().Rebuilds; n != 0 {
			t.Errorf("start %d: %d rebuilds", start, n)
		}
		stop()
		s.Close()
	}
}

// A log that was begun anew, and given the same commands with the same idempotency
// keys, has the same event ids. It is another log.
func TestALogBegunAnewIsNoMovedOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		positions func(eventstore.Position) eventstore.Position
		want      error
	}{
		"behind":  {func(p eventstore.Position) eventstore.Position { return (p + 1) / 2 }, ErrAhead},
		"further": {bytesOf, ErrOtherLog},
	} {
		t.Run(name, func(t *testing.T) {
			log := newOutbox(50)
			s := startServer(t, ServerOptions{})
			p, stop := run(t, Options{Server: s, Source: log.source()})
			eventually(t, "published", caughtUp(p, log))
			stop()
			anew := kept(log, 50, c.positions)
			for i := range anew.messages {
				anew.messages[i].Time = anew.messages[i].Time.Add(time.Hour)
			}
			p, _ = run(t, Options{Server: s, Source: anew.source()})
			if err := p.Checked(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			_, js := writer(t, s)
			complete(t, js, log.all())
		})
	}
}

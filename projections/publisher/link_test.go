package publisher

import (
	"testing"
	"time"
)

// A way that swallows everything on the connection there is, and carries new ones,
// keeps nobody waiting longer than for one answer, whatever it is that does not come.
func TestADeadConnectionIsLeft(t *testing.T) {
	t.Parallel()
	const timeout = 300 * time.Millisecond
	for name, n := range map[string]int{"a message": 1, "a batch": 20, "more than the way holds": 5000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, b := newOutbox(3), startBus(t)
			w := newWire(t, b.s.Addr().String())
			p, _ := run(t, Options{URL: w.url(), Source: log.source(), AckTimeout: timeout})
			eventually(t, "published", caughtUp(p, log))
			for range 2 {
				w.stall()
				log.add(n)
				eventually(t, "published over another connection", caughtUp(p, log))
				eventually(t, "all is well", func() bool { st := p.Status(); return st.LastError == nil && st.Connected })
			}
			complete(t, b.js(), log.all())
		})
	}
}

// The same while there is nothing to publish: the stream is looked at all the same.
func TestADeadConnectionIsLeftWithoutAnEvent(t *testing.T) {
	t.Parallel()
	log, b := newOutbox(3), startBus(t)
	w := newWire(t, b.s.Addr().String())
	p, _ := run(t, Options{URL: w.url(), Source: log.source(), AckTimeout: 300 * time.Millisecond})
	eventually(t, "published", caughtUp(p, log))
	w.stall()
	eventually(t, "another connection is made", func() bool { return w.made.Load() > 1 })
	eventually(t, "all is well", func() bool { st := p.Status(); return st.LastError == nil && st.Connected })
}

// A way on which a large batch takes longer than an acknowledgement may is slow, not
// dead: smaller ones come through.
func TestASlowWayCarriesEverything(t *testing.T) {
	t.Parallel()
	log, b := newOutbox(3), startBus(t)
	w := newWire(t, b.s.Addr().String())
	p, _ := run(t, Options{URL: w.url(), Source: log.source(), AckTimeout: 300 * time.Millisecond})
	eventually(t, "published", caughtUp(p, log))
	w.rate.Store(400 << 10)
	log.add(1000)
	eventually(t, "published over a slow way", caughtUp(p, log))
	complete(t, b.js(), log.all())
}

package publisher

import (
	"testing"
	"time"
)

// away is a publisher with three messages, all published, to a server that is reached
// over a wire.
type away struct {
	*Publisher
	log  *outbox
	bus  *bus
	wire *wire
}

func startAway(t *testing.T) away {
	t.Helper()
	log, b := newOutbox(3), startBus(t)
	w := newWire(t, b.s.Addr().String())
	p, _ := run(t, Options{URL: w.url(), Source: log.source(), AckTimeout: 300 * time.Millisecond})
	a := away{Publisher: p, log: log, bus: b, wire: w}
	a.eventuallyPublished(t)
	return a
}

func (a away) eventuallyPublished(t *testing.T) {
	t.Helper()
	eventually(t, "published", caughtUp(a.Publisher, a.log))
}

func (a away) eventuallyWell(t *testing.T) {
	t.Helper()
	eventually(t, "all is well", func() bool { st := a.Status(); return st.LastError == nil && st.Connected })
}

// A way that swallows everything on the connection there is, and carries new ones,
// keeps nobody waiting longer than for one answer, whatever it is that does not come.
func TestADeadConnectionIsLeft(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"a message": 1, "a batch": 20, "more than the way holds": 5000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startAway(t)
			for range 2 {
				a.wire.stall()
				a.log.add(n)
				a.eventuallyPublished(t)
				a.eventuallyWell(t)
			}
			complete(t, a.bus.js(), a.log.all())
		})
	}
}

// The same while there is nothing to publish: the stream is looked at all the same.
func TestADeadConnectionIsLeftWithoutAnEvent(t *testing.T) {
	t.Parallel()
	a := startAway(t)
	a.wire.stall()
	eventually(t, "another connection is made", func() bool { return a.wire.made.Load() > 1 })
	a.eventuallyWell(t)
}

// A way on which a large batch takes longer than an acknowledgement may is slow, not
// dead: smaller ones come through.
func TestASlowWayCarriesEverything(t *testing.T) {
	t.Parallel()
	a := startAway(t)
	a.wire.rate.Store(400 << 10)
	a.log.add(1000)
	a.eventuallyPublished(t)
	complete(t, a.bus.js(), a.log.all())
}

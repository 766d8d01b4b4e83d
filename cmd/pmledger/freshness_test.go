package main

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore"
)

// watched is a freshness whose log, views and clock a test moves.
type watched struct {
	freshness
	log, views eventstore.Position
	away       error
	at         time.Time
}

func newWatched() *watched {
	w := &watched{at: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)}
	w.freshness = freshness{
		head:    func(context.Context) (eventstore.Position, error) { return w.log, w.away },
		reached: func() eventstore.Position { return w.views },
		most:    10 * time.Second, now: func() time.Time { return w.at },
	}
	return w
}

// pass lets the time pass, with a look at each second.
func (w *watched) pass(t *testing.T, seconds int) {
	for range seconds {
		w.at = w.at.Add(time.Second)
		w.look(t.Context())
	}
}

func (w *watched) want(t *testing.T, behind time.Duration, ready bool) {
	t.Helper()
	if got := w.state().Behind; got != behind {
		t.Errorf("behind by %s, want %s", got, behind)
	}
	if got := w.ready(); got.OK != ready || got.OK != (got.Detail == "") || got.Advisory {
		t.Errorf("ready: %+v", got)
	}
}

func TestAServerIsNotReadyBeforeItsViewsHaveCaughtUp(t *testing.T) {
	w := newWatched()
	w.log = 100
	w.want(t, math.MaxInt64, false)
	w.pass(t, 1)
	w.want(t, math.MaxInt64, false)
	w.log, w.views = 200, 100 // as it was a moment ago; more has come since
	w.want(t, 0, true)
}

func TestViewsThatAreTooFarBehindTakeTheServerAwayUntilTheyAreNot(t *testing.T) {
	w := newWatched()
	w.pass(t, 1)
	w.want(t, 0, true)
	// A log that grows by one a second, and views that stay behind by twelve.
	for range 12 {
		w.log++
		w.pass(t, 1)
	}
	w.want(t, 12*time.Second, false)
	for range 5 {
		w.log++
		w.views++
		w.pass(t, 1)
		w.want(t, 12*time.Second, false) // what is behind all the time does not come back between
	}
	w.views = w.log - 10
	w.want(t, 10*time.Second, true)
	w.views = w.log
	w.want(t, 0, true)
}

func TestALogThatDoesNotAnswerMakesTheViewsOld(t *testing.T) {
	w := newWatched()
	w.pass(t, 1)
	w.away = errors.New("away")
	w.pass(t, 10)
	w.want(t, 10*time.Second, true)
	if !w.state().CutOff {
		t.Error("it does not say that it is cut off")
	}
	w.pass(t, 1)
	w.want(t, 11*time.Second, false)
	w.away = nil
	w.pass(t, 1)
	w.want(t, 0, true)
	if w.state().CutOff {
		t.Error("it still says that it is cut off")
	}
}

// TestALongLagIsKeptInBoundedMemory is about views that have halted.
func TestALongLagIsKeptInBoundedMemory(t *testing.T) {
	w := newWatched()
	w.pass(t, 1)
	w.log = 1
	w.pass(t, 10*maxLooks)
	if len(w.pending) > maxLooks {
		t.Errorf("%d looks are kept", len(w.pending))
	}
	w.want(t, 10*maxLooks*time.Second, false)
	w.views = 1
	w.pass(t, 1)
	w.want(t, 0, true)
}

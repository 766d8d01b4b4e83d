package projections_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/projections"
)

// At every moment a method was what its history up to then folds to (I8).
func TestAMethodOfThePastIsTheFoldUpToThen(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{ledger: newLedger(t)}
		v := views(w.ledger)
		defer v.stop()
		w.live(rt, rapid.IntRange(1, 60).Draw(rt, "commands"))
		v.caughtUp(w.store)

		steps, _, err := w.replay()
		if err != nil {
			rt.Fatal(err)
		}
		for i, s := range steps {
			for _, at := range []time.Time{s.meta.Time.Add(-time.Nanosecond), s.meta.Time, s.meta.Time.Add(time.Millisecond - 1)} {
				for _, id := range domain.MethodsOf(s.event) {
					sameAt(rt, v.Views, steps, i, id, at)
				}
			}
		}
	})
}

// sameAt compares a method of the stream of steps[i] at a moment with the fold of
// all its records up to then.
func sameAt(rt *rapid.T, v *projections.Views, steps []step, i int, id domain.MethodID, at time.Time) {
	stream := steps[i].record.Stream
	_, organization, _ := domain.StreamOwner(stream)
	var want *domain.Method
	for _, s := range steps {
		if s.record.Stream == stream && !s.meta.Time.After(at) {
			want = s.after[id]
		}
	}
	got, found, err := v.MethodAt(organization, id, at)
	switch {
	case err != nil || found != (want != nil):
		rt.Fatalf("method %s at %s: found %v, %v", id, at, found, err)
	case found && (string(got.JSON) != string(projections.RenderMethod(want)) || got.Version != want.Version || got.Stream != stream):
		rt.Fatalf("method %s at %s:\n got %s\nwant %s", id, at, got.JSON, projections.RenderMethod(want))
	}
	if _, found, err := v.MethodAt("another", id, at); found || err != nil {
		rt.Fatalf("method %s is found by another organization: %v", id, err)
	}
}

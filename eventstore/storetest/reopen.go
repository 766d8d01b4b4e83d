package storetest

import (
	"testing"

	"github.com/pmledger/pmledger/eventstore"
)

// RunReopen checks that a backend which keeps its log in a folder finds
// everything again after closing and opening it. The stores that open returns
// are closed by the suite; they must implement io.Closer.
func RunReopen(t *testing.T, open func(t *testing.T, dir string) eventstore.Store) {
	t.Helper()
	t.Run("EverythingIsThereAfterReopening", func(t *testing.T) { everythingThere(t, open) })
	t.Run("PositionsGoOnAfterReopening", func(t *testing.T) { positionsGoOn(t, open) })
	t.Run("RepeatIsKnownAfterReopening", func(t *testing.T) { repeatReopened(t, open) })
	t.Run("EmptyLogReopensEmpty", func(t *testing.T) {
		dir := t.TempDir()
		for range 3 {
			s := open(t, dir)
			if h := mustHead(t, s); h != 0 {
				t.Fatalf("the head of an empty log is %s", h)
			}
			closeStore(t, s)
		}
	})
}

func everythingThere(t *testing.T, open func(*testing.T, string) eventstore.Store) {
	dir := t.TempDir()
	want := map[string][]eventstore.NewRecord{}
	names := []string{newStream(), newStream(), newStream()}
	var all []eventstore.Record
	for round := range 4 {
		s := open(t, dir)
		for i, name := range names {
			records := newRecords(1 + i + round)
			mustAppend(t, s, name, uint64(len(want[name])), records)
			want[name] = append(want[name], records...)
		}
		for _, name := range names {
			checkRecords(t, name, 1, mustStream(t, s, name, 1), want[name])
		}
		got := mustFollow(t, s, 0, mustHead(t, s))
		if err := samePlaces(got[:len(all)], all); err != nil {
			t.Fatalf("after reopening: %v", err)
		}
		all = got
		closeStore(t, s)
	}
}

func positionsGoOn(t *testing.T, open func(*testing.T, string) eventstore.Store) {
	dir, stream := t.TempDir(), newStream()
	var last eventstore.Position
	for v := range uint64(4) {
		s := open(t, dir)
		if h := mustHead(t, s); h != last {
			t.Fatalf("the head is %s after reopening, it was %s", h, last)
		}
		if _, err := follow(within(t), s, last+1, last+1); err == nil {
			t.Fatal("a position ahead of the reopened log was accepted")
		}
		p := mustAppend(t, s, stream, v, newRecords(1))
		if p <= last {
			t.Fatalf("position %s after reopening, the last was %s", p, last)
		}
		last = p
		closeStore(t, s)
	}
}

func repeatReopened(t *testing.T, open func(*testing.T, string) eventstore.Store) {
	dir, stream, records := t.TempDir(), newStream(), newRecords(2)
	s := open(t, dir)
	first := mustAppend(t, s, stream, 0, records)
	mustAppend(t, s, stream, 2, newRecords(1))
	closeStore(t, s)
	s = open(t, dir)
	repeat(t, s, stream, 0, records, first)
	_, err := s.Append(within(t), stream, 0, newRecords(2))
	checkConflict(t, err, stream, 0, 3)
	closeStore(t, s)
}

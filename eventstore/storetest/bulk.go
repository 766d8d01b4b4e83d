package storetest

import (
	"context"
	"sync"
	"testing"

	"github.com/pmledger/pmledger/eventstore"
)

// RunBulk checks that stores which take many appends at once keep the contract of
// eventstore.Bulk. Each behaviour opens its own.
func RunBulk(t *testing.T, open func(t *testing.T) eventstore.Bulk) {
	t.Helper()
	t.Run("AppendsStandInTheirOrder", func(t *testing.T) { bulkInOrder(t, open(t)) })
	t.Run("AppendsAreAllOrNone", func(t *testing.T) { bulkAllOrNone(t, open(t)) })
	t.Run("NothingOfOthersStandsBetween", func(t *testing.T) { bulkAlone(t, open(t)) })
	t.Run("FaultyAppendsAreRefused", func(t *testing.T) {
		s := open(t)
		for _, appends := range [][]eventstore.Appending{
			nil, {{Stream: newStream()}}, {{Stream: newStream(), Records: newRecords(1)}, {Records: newRecords(1)}},
		} {
			if _, err := s.AppendAll(within(t), appends); err == nil {
				t.Errorf("%v was accepted", appends)
			}
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.AppendAll(ended, []eventstore.Appending{{Stream: newStream(), Records: newRecords(1)}}); err == nil {
			t.Error("an ended context was accepted")
		}
		if h := mustHead(t, s); h != 0 {
			t.Errorf("the head is %s after refusals", h)
		}
	})
}

// bulkInOrder has a stream that is appended to twice in one call, and one that was
// there before.
func bulkInOrder(t *testing.T, s eventstore.Bulk) {
	one, two, three := newStream(), newStream(), newStream()
	first := newRecords(2)
	start := mustAppend(t, s, two, 0, first)
	a, b, c, d := newRecords(2), newRecords(1), newRecords(3), newRecords(1)
	at, err := s.AppendAll(within(t), []eventstore.Appending{appending(one, 0, a), appending(two, 2, b), appending(one, 2, c), appending(three, 0, d)})
	if err != nil {
		t.Fatal(err)
	}
	all := mustFollow(t, s, start, at)
	want := append(append(append(append([]eventstore.NewRecord{}, a...), b...), c...), d...)
	if len(all) != len(want) || mustHead(t, s) != at {
		t.Fatalf("the log has %d records up to %s, want %d up to %s", len(all), mustHead(t, s), len(want), at)
	}
	for i := range all {
		if all[i].ID != want[i].ID {
			t.Errorf("record %d of the log is %s, want %s", i, all[i].ID, want[i].ID)
		}
	}
	checkRecords(t, one, 1, mustStream(t, s, one, 1), append(a, c...))
	checkRecords(t, two, 1, mustStream(t, s, two, 1), append(first, b...))
	mustAppend(t, s, one, 5, newRecords(1))
	mustAppend(t, s, two, 3, newRecords(1))
}

// bulkAllOrNone has a conflict in the last append, in one that another of the same
// call brings about, and a repeat.
func bulkAllOrNone(t *testing.T, s eventstore.Bulk) {
	one, two := newStream(), newStream()
	head := mustAppend(t, s, two, 0, newRecords(1))
	a := newRecords(2)
	_, err := s.AppendAll(within(t), []eventstore.Appending{appending(one, 0, a), appending(two, 3, newRecords(1))})
	checkConflict(t, err, two, 3, 1)
	_, err = s.AppendAll(within(t), []eventstore.Appending{appending(one, 0, a), appending(one, 0, newRecords(1))})
	checkConflict(t, err, one, 0, 2)
	if got := mustHead(t, s); got != head || len(mustStream(t, s, one, 1)) != 0 {
		t.Fatalf("the head is %s after conflicts, want %s; %d records of the first stream", got, head, len(mustStream(t, s, one, 1)))
	}
	if _, err := s.AppendAll(within(t), []eventstore.Appending{appending(one, 0, a), appending(two, 1, newRecords(1))}); err != nil {
		t.Fatal(err)
	}
	_, err = s.AppendAll(within(t), []eventstore.Appending{appending(one, 0, a)})
	checkConflict(t, err, one, 0, 2)
	checkRecords(t, one, 1, mustStream(t, s, one, 1), a)
}

// bulkAlone has others append meanwhile.
func bulkAlone(t *testing.T, s eventstore.Bulk) {
	var working sync.WaitGroup
	for range 4 {
		working.Go(func() {
			stream := newStream()
			for version := range uint64(50) {
				if _, err := s.Append(within(t), stream, version, newRecords(1)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	streams := map[string]bool{}
	for range 20 {
		var appends []eventstore.Appending
		for range 5 {
			appends = append(appends, eventstore.Appending{Stream: newStream(), Records: newRecords(1)})
			streams[appends[len(appends)-1].Stream] = true
		}
		if _, err := s.AppendAll(within(t), appends); err != nil {
			t.Fatal(err)
		}
	}
	working.Wait()
	run := 0
	for _, r := range mustFollow(t, s, 0, mustHead(t, s)) {
		if streams[r.Stream] {
			run++
			continue
		}
		if run%5 != 0 {
			t.Fatalf("a record of another stands at position %s, after %d of an AppendAll", r.Position, run)
		}
	}
}

func appending(stream string, version uint64, records []eventstore.NewRecord) eventstore.Appending {
	return eventstore.Appending{Stream: stream, Version: version, Records: records}
}

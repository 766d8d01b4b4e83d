package storetest

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
)

var appends = []behaviour{
	{"VersionsAreDenseFromOne", versionsAreDense},
	{"EachRecordHasItsOwnGrowingPosition", positionsGrow},
	{"AppendReturnsThePositionOfItsLastRecord", appendReturnsLast},
	{"ExpectedVersionMustMatch", expectedVersionMustMatch},
	{"ConflictAppendsNothing", conflictAppendsNothing},
	{"RepeatReturnsTheFirstPosition", repeatReturnsFirst},
	{"RepeatIsKnownAfterLaterAppends", repeatAfterLater},
	{"RepeatOfOnlyTheLastRecordsConflicts", repeatOfTailConflicts},
	{"RepeatOfOnlyTheFirstRecordsIsKnown", repeatOfBeginning},
	{"RepeatWithMoreRecordsConflicts", repeatWithMoreConflicts},
	{"RepeatAtAnotherVersionConflicts", repeatElsewhereConflicts},
	{"SameVersionWithOtherIDsConflicts", otherIDsConflict},
	{"SameIDsInAnotherStreamAreNoRepeat", idsBelongToStreams},
	{"ZeroRecordsAreRefused", zeroRecords},
	{"OneAppendWinsPerVersion", oneWinsPerVersion},
	{"ConcurrentRepeatsAppendOnce", concurrentRepeats},
	{"ConcurrentStreamsKeepEverything", concurrentStreams},
	{"CallersMayReuseTheirBytes", callersReuseBytes},
}

func versionsAreDense(t *testing.T, open opener) {
	s, stream := open(t), newStream()
	var want []eventstore.NewRecord
	for _, n := range []int{1, 3, 1, 2} {
		records := newRecords(n)
		mustAppend(t, s, stream, uint64(len(want)), records)
		want = append(want, records...)
	}
	checkRecords(t, stream, 1, mustStream(t, s, stream, 0), want)
}

func positionsGrow(t *testing.T, open opener) {
	s, a, b := open(t), newStream(), newStream()
	start := mustHead(t, s)
	for v := range uint64(5) {
		mustAppend(t, s, a, 2*v, newRecords(2))
		mustAppend(t, s, b, v, newRecords(1))
	}
	all := mustFollow(t, s, start, mustHead(t, s))
	if len(all) != 15 {
		t.Fatalf("%d records, want 15", len(all))
	}
	for i, last := 0, start; i < len(all); i++ {
		if all[i].Position <= last {
			t.Fatalf("record %d is at position %s, not after %s", i, all[i].Position, last)
		}
		last = all[i].Position
	}
}

func appendReturnsLast(t *testing.T, open opener) {
	s, stream := open(t), newStream()
	p := mustAppend(t, s, stream, 0, newRecords(3))
	got := mustStream(t, s, stream, 1)
	if last := got[2].Position; p != last {
		t.Fatalf("append returned %s, its last record is at %s", p, last)
	}
	if h := mustHead(t, s); h != p {
		t.Fatalf("the head is %s after an append at %s", h, p)
	}
}

func expectedVersionMustMatch(t *testing.T, open opener) {
	s, stream := open(t), newStream()
	_, err := s.Append(within(t), stream, 1, newRecords(1))
	checkConflict(t, err, stream, 1, 0)
	mustAppend(t, s, stream, 0, newRecords(3))
	for _, wrong := range []uint64{0, 1, 2, 4, 1 << 40} {
		_, err := s.Append(within(t), stream, wrong, newRecords(1))
		checkConflict(t, err, stream, wrong, 3)
	}
}

func conflictAppendsNothing(t *testing.T, open opener) {
	s, stream, want := open(t), newStream(), newRecords(2)
	p := mustAppend(t, s, stream, 0, want)
	_, err := s.Append(within(t), stream, 1, newRecords(4))
	checkConflict(t, err, stream, 1, 2)
	if h := mustHead(t, s); h != p {
		t.Fatalf("the head moved from %s to %s", p, h)
	}
	checkRecords(t, stream, 1, mustStream(t, s, stream, 1), want)
}

// repeat appends the same again and expects the first answer and no effect.
func repeat(t *testing.T, s eventstore.Store, stream string, version uint64, records []eventstore.NewRecord, first eventstore.Position) {
	t.Helper()
	before := mustHead(t, s)
	if p := mustAppend(t, s, stream, version, records); p != first {
		t.Fatalf("the repeat returned %s, the append %s", p, first)
	}
	if h := mustHead(t, s); h != before {
		t.Fatalf("the repeat moved the head from %s to %s", before, h)
	}
}

func repeatReturnsFirst(t *testing.T, open opener) {
	s, stream, records := open(t), newStream(), newRecords(3)
	first := mustAppend(t, s, stream, 0, records)
	for range 3 {
		repeat(t, s, stream, 0, records, first)
	}
	next := newRecords(1)
	second := mustAppend(t, s, stream, 3, next)
	repeat(t, s, stream, 3, next, second)
	checkRecords(t, stream, 1, mustStream(t, s, stream, 1), append(records, next...))
}

func repeatAfterLater(t *testing.T, open opener) {
	s, stream, records := open(t), newStream(), newRecords(2)
	mustAppend(t, s, stream, 0, newRecords(1))
	first := mustAppend(t, s, stream, 1, records)
	for v := uint64(3); v < 20; v++ {
		mustAppend(t, s, stream, v, newRecords(1))
	}
	repeat(t, s, stream, 1, records, first)
}

func repeatOfTailConflicts(t *testing.T, open opener) {
	s, stream, records := open(t), newStream(), newRecords(3)
	mustAppend(t, s, stream, 0, records)
	changed := append(newRecords(1), records[1:]...)
	_, err := s.Append(within(t), stream, 0, changed)
	checkConflict(t, err, stream, 0, 3)
	checkRecords(t, stream, 1, mustStream(t, s, stream, 1), records)
}

func repeatOfBeginning(t *testing.T, open opener) {
	s, stream, records := open(t), newStream(), newRecords(3)
	mustAppend(t, s, stream, 0, records)
	repeat(t, s, stream, 0, records[:2], mustStream(t, s, stream, 1)[1].Position)
}

func repeatWithMoreConflicts(t *testing.T, open opener) {
	s, stream, records := open(t), newStream(), newRecords(2)
	mustAppend(t, s, stream, 0, records)
	_, err := s.Append(within(t), stream, 0, append(records[:2:2], newRecords(1)...))
	checkConflict(t, err, stream, 0, 2)
	checkRecords(t, stream, 1, mustStream(t, s, stream, 1), records)
}

func repeatElsewhereConflicts(t *testing.T, open opener) {
	s, stream, records := open(t), newStream(), newRecords(1)
	mustAppend(t, s, stream, 0, newRecords(1))
	mustAppend(t, s, stream, 1, records)
	mustAppend(t, s, stream, 2, newRecords(1))
	_, err := s.Append(within(t), stream, 0, records)
	checkConflict(t, err, stream, 0, 3)
	_, err = s.Append(within(t), stream, 2, records)
	checkConflict(t, err, stream, 2, 3)
}

func otherIDsConflict(t *testing.T, open opener) {
	s, stream, records := open(t), newStream(), newRecords(1)
	mustAppend(t, s, stream, 0, records)
	other := append([]eventstore.NewRecord(nil), records...)
	other[0].ID = uuid.New()
	_, err := s.Append(within(t), stream, 0, other)
	checkConflict(t, err, stream, 0, 1)
}

func idsBelongToStreams(t *testing.T, open opener) {
	s, a, b, records := open(t), newStream(), newStream(), newRecords(2)
	first := mustAppend(t, s, a, 0, records)
	if second := mustAppend(t, s, b, 0, records); second <= first {
		t.Fatalf("the append to another stream is at %s, not after %s", second, first)
	}
	checkRecords(t, b, 1, mustStream(t, s, b, 1), records)
}

func zeroRecords(t *testing.T, open opener) {
	s, stream := open(t), newStream()
	if p, err := s.Append(within(t), stream, 0, nil); err == nil {
		t.Fatalf("an append of nothing succeeded at %s", p)
	}
	mustAppend(t, s, stream, 0, newRecords(1))
}

func oneWinsPerVersion(t *testing.T, open opener) {
	const writers, versions = 8, 15
	s, stream := open(t), newStream()
	ctx := within(t)
	var won [versions]atomic.Int32
	var g sync.WaitGroup
	for range writers {
		g.Go(func() {
			for v := uint64(0); v < versions; {
				_, err := s.Append(ctx, stream, v, newRecords(1))
				var conflict *eventstore.ConflictError
				switch {
				case err == nil:
					won[v].Add(1)
					v++
				case errors.As(err, &conflict) && conflict.Actual > v:
					v = conflict.Actual
				default:
					t.Errorf("append at version %d: %v", v, err)
					return
				}
			}
		})
	}
	g.Wait()
	for v := range won {
		if n := won[v].Load(); n != 1 {
			t.Errorf("%d appends won version %d", n, v)
		}
	}
	if n := len(mustStream(t, s, stream, 1)); n != versions {
		t.Errorf("the stream has %d records, want %d", n, versions)
	}
}

func concurrentRepeats(t *testing.T, open opener) {
	s, stream, records := open(t), newStream(), newRecords(2)
	ctx := within(t)
	var got [12]eventstore.Position
	var g sync.WaitGroup
	for i := range got {
		g.Go(func() {
			var err error
			if got[i], err = s.Append(ctx, stream, 0, records); err != nil {
				t.Errorf("append: %v", err)
			}
		})
	}
	g.Wait()
	checkRecords(t, stream, 1, mustStream(t, s, stream, 1), records)
	for _, p := range got {
		if p != got[0] {
			t.Fatalf("the same append is at %s and at %s", got[0], p)
		}
	}
}

func concurrentStreams(t *testing.T, open opener) {
	const writers, each = 12, 12
	s := open(t)
	ctx, start := within(t), mustHead(t, s)
	var want [writers][]eventstore.NewRecord
	var names [writers]string
	var g sync.WaitGroup
	for w := range writers {
		names[w] = newStream()
		g.Go(func() {
			for len(want[w]) < each {
				records := newRecords(1 + w%3)
				if _, err := s.Append(ctx, names[w], uint64(len(want[w])), records); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				want[w] = append(want[w], records...)
			}
		})
	}
	g.Wait()
	byStream := map[string][]eventstore.Record{}
	for _, r := range mustFollow(t, s, start, mustHead(t, s)) {
		byStream[r.Stream] = append(byStream[r.Stream], r)
	}
	for w, name := range names {
		checkRecords(t, name, 1, mustStream(t, s, name, 1), want[w])
		checkRecords(t, name, 1, byStream[name], want[w])
	}
}

func callersReuseBytes(t *testing.T, open opener) {
	s, stream := open(t), newStream()
	start := mustHead(t, s)
	data := []byte(`{"a":"` + strings.Repeat("x", 64) + `"}`)
	records := []eventstore.NewRecord{{ID: uuid.New(), Type: "payment_method.updated", Data: data, Metadata: []byte(`{}`)}}
	want := string(data)
	p := mustAppend(t, s, stream, 0, records)
	clear(data)
	records[0] = eventstore.NewRecord{}
	if got := mustStream(t, s, stream, 1)[0]; string(got.Data) != want {
		t.Fatalf("data read back is %q", got.Data)
	}
	if got := mustFollow(t, s, start, p)[0]; string(got.Data) != want {
		t.Fatalf("data followed is %q", got.Data)
	}
}

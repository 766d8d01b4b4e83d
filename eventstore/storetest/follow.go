package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pmledger/pmledger/eventstore"
)

var follows = []behaviour{
	{"FollowYieldsHistoryThenLive", historyThenLive},
	{"FollowBeginsAfterAnyPosition", followFromAnywhere},
	{"FollowHasNoSeamUnderConcurrentWriters", noSeam},
	{"FollowYieldsNonEmptyBatches", nonEmptyBatches},
	{"FollowAheadOfTheHeadIsRefused", aheadIsRefused},
	{"SlowFollowerLosesNothingAndBlocksNobody", slowFollower},
	{"ManyFollowersSeeTheSame", manyFollowers},
	{"FollowersMayChangeTheirBatch", ownBatch},
	{"HeadIsTheLastPositionAndNeverGoesBack", headNeverGoesBack},
}

func historyThenLive(t *testing.T, open opener) {
	s, stream, want := open(t), newStream(), newRecords(6)
	start := mustHead(t, s)
	mustAppend(t, s, stream, 0, want[:3])
	var got []eventstore.Record
	for batch, err := range s.Follow(within(t), start) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, batch...)
		if n := uint64(len(got)); n >= 3 && n < 6 { // caught up: what comes now is live
			mustAppend(t, s, stream, n, want[n:n+1])
		} else if n >= 6 {
			break
		}
	}
	checkRecords(t, stream, 1, got, want)
}

func followFromAnywhere(t *testing.T, open opener) {
	s, stream := open(t), newStream()
	start := mustHead(t, s)
	for v := range uint64(10) {
		mustAppend(t, s, stream, v*3, newRecords(3))
	}
	head := mustHead(t, s)
	all := mustFollow(t, s, start, head)
	if len(all) != 30 {
		t.Fatalf("%d records, want 30", len(all))
	}
	for i, r := range all[:29] {
		rest := mustFollow(t, s, r.Position, head)
		if err := samePlaces(rest, all[i+1:]); err != nil {
			t.Fatalf("after %s: %v", r.Position, err)
		}
	}
}

// samePlaces says whether two readings of the log show the same records.
func samePlaces(got, want []eventstore.Record) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		g, w := got[i], want[i]
		if g.Position != w.Position || g.ID != w.ID || g.Stream != w.Stream || g.Version != w.Version {
			return fmt.Errorf("record %d is version %d of %s at %s, want version %d of %s at %s",
				i, g.Version, g.Stream, g.Position, w.Version, w.Stream, w.Position)
		}
	}
	return nil
}

// noSeam starts followers at random moments and places while writers run. Each
// must see every record after its place exactly once and in order.
func noSeam(t *testing.T, open opener) {
	const writers, each, followers = 8, 60, 10
	s := open(t)
	ctx, start := within(t), mustHead(t, s)
	var w, f sync.WaitGroup
	for range writers {
		w.Go(func() {
			stream := newStream()
			for v := uint64(0); v < each; v += 2 {
				if _, err := s.Append(ctx, stream, v, newRecords(2)); err != nil {
					t.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	// Every follower reads to a mark that is appended after all else; zero until then.
	var mark atomic.Uint64
	seen := make([][]eventstore.Record, followers)
	for i := range followers {
		f.Go(func() {
			var after eventstore.Position
			if after = start; i%2 == 1 {
				if h, err := s.Head(ctx); err == nil {
					after = h
				}
			}
			for batch, err := range s.Follow(ctx, after) {
				if err != nil {
					t.Errorf("follow: %v", err)
					return
				}
				seen[i] = append(seen[i], batch...)
				if rand.IntN(8) == 0 {
					time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond) // vary the pace
				}
				if m := mark.Load(); m != 0 && uint64(batch[len(batch)-1].Position) >= m {
					return
				}
			}
		})
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond) // vary the moment
	}
	w.Wait()
	end := mustAppend(t, s, newStream(), 0, newRecords(1))
	mark.Store(uint64(end))
	// The mark itself may have been read before it was announced.
	mustAppend(t, s, newStream(), 0, newRecords(1))
	f.Wait()
	all := upTo(mustFollow(t, s, start, end), end)
	if want := writers*each + 1; len(all) != want {
		t.Fatalf("the log has %d new records, want %d", len(all), want)
	}
	for i, got := range seen {
		got = upTo(got, end)
		if i%2 == 0 && len(got) != len(all) {
			t.Errorf("follower %d saw %d records of %d", i, len(got), len(all))
		} else if err := samePlaces(got, all[len(all)-len(got):]); err != nil {
			t.Errorf("follower %d: %v", i, err)
		}
	}
}

func upTo(records []eventstore.Record, last eventstore.Position) []eventstore.Record {
	i := slices.IndexFunc(records, func(r eventstore.Record) bool { return r.Position > last })
	if i < 0 {
		return records
	}
	return records[:i]
}

func nonEmptyBatches(t *testing.T, open opener) {
	s, stream := open(t), newStream()
	start := mustHead(t, s)
	p := mustAppend(t, s, stream, 0, newRecords(30))
	for batch, err := range s.Follow(within(t), start) {
		if err != nil {
			t.Fatal(err)
		}
		if len(batch) == 0 {
			t.Fatal("an empty batch")
		}
		if batch[len(batch)-1].Position == p {
			return
		}
	}
}

func aheadIsRefused(t *testing.T, open opener) {
	s := open(t)
	p := mustAppend(t, s, newStream(), 0, newRecords(2))
	for _, ahead := range []eventstore.Position{p + 1, p + 1000, p + 1<<40} {
		if all, err := follow(within(t), s, ahead, ahead); !errors.Is(err, eventstore.ErrAhead) {
			t.Fatalf("follow after %s, with the head at %s: %d records, error %v", ahead, p, len(all), err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if all, err := follow(ctx, s, p, p+1); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("follow after the head itself: %d records, error %v", len(all), err)
	}
}

// slowFollower stops in the middle of its reading until much more was appended
// than any buffer should hold for it.
func slowFollower(t *testing.T, open opener) {
	const first, later = 20, 1200
	s, stream := open(t), newStream()
	start := mustHead(t, s)
	want := newRecords(first + later)
	mustAppend(t, s, stream, 0, want[:first])
	var got []eventstore.Record
	for batch, err := range s.Follow(within(t), start) {
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			for v := first; v < len(want); v += 100 {
				mustAppend(t, s, stream, uint64(v), want[v:v+100])
			}
		}
		if got = append(got, batch...); len(got) >= len(want) {
			break
		}
	}
	checkRecords(t, stream, 1, got, want)
}

func manyFollowers(t *testing.T, open opener) {
	const followers, n = 40, 25
	s, stream := open(t), newStream()
	ctx, start := within(t), mustHead(t, s)
	want := newRecords(n)
	var g sync.WaitGroup
	seen := make([][]eventstore.Record, followers)
	for i := range followers {
		g.Go(func() {
			for batch, err := range s.Follow(ctx, start) {
				if err != nil {
					t.Errorf("follow: %v", err)
					return
				}
				if seen[i] = append(seen[i], batch...); len(seen[i]) >= n {
					return
				}
			}
		})
	}
	for v := range uint64(n) {
		mustAppend(t, s, stream, v, want[v:v+1])
	}
	g.Wait()
	for i := range seen {
		checkRecords(t, stream, 1, seen[i], want)
	}
}

// ownBatch wipes every batch it is given: the slice, not the bytes, is the
// follower's own.
func ownBatch(t *testing.T, open opener) {
	s, stream, want := open(t), newStream(), newRecords(10)
	start := mustHead(t, s)
	p := mustAppend(t, s, stream, 0, want)
	for batch, err := range s.Follow(within(t), start) {
		if err != nil {
			t.Fatal(err)
		}
		last := batch[len(batch)-1].Position
		clear(batch)
		if last == p {
			break
		}
	}
	checkRecords(t, stream, 1, mustFollow(t, s, start, p), want)
	checkRecords(t, stream, 1, mustStream(t, s, stream, 1), want)
}

func headNeverGoesBack(t *testing.T, open opener) {
	const n = 120
	s, stream := open(t), newStream()
	ctx := within(t)
	start, done := mustHead(t, s), make(chan struct{})
	go func() {
		defer close(done)
		for v := range uint64(n) {
			p, err := s.Append(ctx, stream, v, newRecords(1))
			if err != nil {
				t.Errorf("append: %v", err)
				return
			}
			if h, err := s.Head(ctx); err != nil || h < p {
				t.Errorf("the head is %s (error %v) after an append at %s", h, err, p)
				return
			}
		}
	}()
	last := start
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		h := mustHead(t, s)
		if h < last {
			t.Fatalf("the head went back from %s to %s", last, h)
		}
		last = h
	}
	all := mustStream(t, s, stream, 1)
	if len(all) != n || all[n-1].Position != last {
		t.Fatalf("the head is %s, the last of %d records at %s", last, len(all), all[len(all)-1].Position)
	}
}

package projections

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pmledger/pmledger/eventstore"
)

// listed is a list of gateway work as the views would read it.
type listed []work

func (l *listed) add(provider string, n int) {
	for range n {
		*l = append(*l, work{kind: workDetach, provider: provider, position: eventstore.Position(len(*l)/2 + 1), event: uuid.New()})
	}
}

func (l *listed) read(after eventstore.Position, most int) ([]work, error) {
	var out []work
	for _, w := range *l {
		if w.position <= after {
			continue
		}
		if len(out) >= most && w.position != out[len(out)-1].position {
			break
		}
		out = append(out, w)
	}
	return out, nil
}

func TestRequestsDoNotWaitForTheListOfWork(t *testing.T) {
	w := NewWorker(WorkerOptions{})
	reading, proceed, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	gone := errors.New("gone")
	w.list = func(eventstore.Position, int) ([]work, error) {
		close(reading)
		<-proceed
		return nil, gone
	}
	go func() { ended <- w.intake(time.Now()) }()
	<-reading
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if release, err := w.claim(t.Context(), uuid.New()); err != nil {
			t.Error(err)
		} else {
			release()
		}
		w.Backlog()
		w.take(time.Now())
	}()
	select {
	case <-answered:
	case <-time.After(30 * time.Second):
		t.Error("they wait until the list is read")
	}
	close(proceed)
	if err := <-ended; !errors.Is(err, gone) {
		t.Error(err)
	}
	<-answered
}

// A provider that was away for long has more work than memory is meant for. All of
// it is done in the end, and that of others meanwhile.
func TestALongListIsReadAsItIsDone(t *testing.T) {
	var list listed
	list.add("away", 2*laneTasks+3)
	list.add("well", 3)
	w := NewWorker(WorkerOptions{})
	w.list = func(after eventstore.Position, most int) ([]work, error) {
		if after < w.seen { // something comes while what was left is read
			list.add("away", 1)
		}
		return list.read(after, most)
	}
	now, done, came := time.Unix(1_000_000, 0), map[uuid.UUID]int{}, 0
	for {
		if err := w.intake(now); err != nil {
			t.Fatal(err)
		}
		came++
		if n := len(w.lanes["away"].tasks); n > laneTasks+1 {
			t.Fatalf("%d tasks are in memory", n)
		}
		if came == 1 {
			if b := w.Backlog(); b["away"].Items != 2*laneTasks+3 || b["well"].Items != 3 {
				t.Errorf("backlog %+v", b)
			}
		}
		before := len(done)
		for range 1000 {
			next, ok, _ := w.take(now)
			if !ok {
				break
			}
			done[next.event]++
			w.settle(next, nil, now)
		}
		if len(done) == before {
			break
		}
		now = now.Add(time.Second)
	}
	for _, item := range list {
		if done[item.event] != 1 {
			t.Fatalf("the item at %s of %s was done %d times", item.position, item.provider, done[item.event])
		}
	}
	if b := w.Backlog(); b["away"].Items != 0 || b["well"].Items != 0 {
		t.Errorf("at the end: %+v", b)
	}
}

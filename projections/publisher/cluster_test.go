package publisher

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pmledger/pmledger/eventstore/torture"
)

func newTimeout(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// The leader of a three-node cluster's stream hands over in the middle of the load,
// then servers are killed one at a time, the leader first, with two publishers that
// compete. Nothing may be missing, nothing there twice, and all in order.
func TestKilledServersOfAClusterLoseAndRepeatNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("three server processes and an election take 10 s")
	}
	t.Parallel()
	kills, handovers := torture.Size(1, 2, 20), torture.Size(1, 4, 100)
	began := time.Now()
	c := startCluster(t)
	log := newOutbox(200)
	nc, js := c.connect()
	defer nc.Close()
	first, _ := run(t, Options{URL: c.url(), Source: log.source(), AckTimeout: time.Second})
	second, _ := run(t, Options{URL: c.url(), Source: log.source(), AckTimeout: time.Second})
	within(t, "three replicas", time.Minute, func() bool { return c.whole(js) && log.last() == first.Status().Position })
	up := time.Since(began)
	for _, r := range Survey(t.Context(), c.url(), 0) {
		if r.Wrong || r.Stops || r.Check == "nats version" && r.Detail != GoodServerVersion {
			t.Errorf("the survey of the whole cluster says %+v", r)
		}
	}

	ctx, stopLoad := context.WithCancel(t.Context())
	loaded := make(chan int)
	go func() { loaded <- load(ctx, log) }()
	goesOn := func(after string) time.Duration {
		before, began := first.Status().Position, time.Now()
		within(t, "publishing goes on after "+after, 3*time.Minute, func() bool {
			return first.Status().Position > before+20 && second.Status().Position > before
		})
		return time.Since(began)
	}
	within(t, "one of the publishers stands by", time.Minute, func() bool { return first.Status().Standby || second.Status().Standby })
	var handed, gaps time.Duration
	for range handovers {
		stepDown(t, js)
		handed += goesOn("a change of the leader")
	}
	for n := range kills {
		victim := c.nodes[rand.IntN(3)]
		if n%2 == 0 {
			within(t, "a leader", time.Minute, func() bool { victim = c.leader(js); return victim != nil })
		}
		c.kill(victim)
		gaps += goesOn("the kill of " + victim.name)
		c.start(victim)
		if kills > 1 {
			within(t, victim.name+" is back", time.Minute, func() bool { return c.whole(js) })
		}
	}
	stopLoad()
	added := <-loaded
	within(t, "published", time.Minute, func() bool { return caughtUp(first, log)() })
	for _, p := range []*Publisher{first, second} {
		if st := p.Status(); st.Halted != nil || st.Rebuilds != 0 {
			t.Errorf("status %+v", st)
		}
	}
	same(t, c.contents(js), log.all(), true)
	if kills > 1 {
		alone(t, c, js)
	}
	st1, st2 := first.Status(), second.Status()
	t.Logf("cluster up and filled after %s; %s until publishing went on after a change of the leader, %s after a kill; the publishers stored %d and %d",
		up.Round(time.Millisecond), (handed / time.Duration(handovers)).Round(time.Millisecond), (gaps / time.Duration(kills)).Round(time.Millisecond), st1.Published, st2.Published)
	torture.Add(t, torture.Report{Campaign: "NATS cluster", Counts: []torture.Figure{
		torture.Count(200+added, "events"), torture.Count(handovers, "changes of the leader"), torture.Count(kills, "kills"), torture.Count(st1.Conflicts+st2.Conflicts, "conflicts"),
	}})
}

// alone gives the stream a single replica, which the survey must warn of.
func alone(t testing.TB, c *cluster, js jetstream.JetStream) {
	t.Helper()
	one := describe(js).Config
	one.Replicas = 1
	if _, err := js.UpdateStream(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	within(t, "the survey warns of one replica", time.Minute, func() bool {
		return strings.Contains(remarksAbout(Survey(t.Context(), c.url(), 0), "nats stream").Advice, raiseReplicas)
	})
}

// stepDown makes the stream's leader hand over, in the middle of whatever it does.
func stepDown(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	within(t, "the leader hands over", time.Minute, func() bool {
		m, err := js.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN."+StreamName, nil, time.Second)
		return err == nil && strings.Contains(string(m.Data), `"success":true`)
	})
}

// load makes the log grow until ctx ends, and returns by how much.
func load(ctx context.Context, log *outbox) int {
	var added atomic.Int64
	for ctx.Err() == nil {
		k := 1 + rand.IntN(40)
		log.add(k)
		added.Add(int64(k))
		pause(ctx, time.Duration(5+rand.IntN(40))*time.Millisecond)
	}
	return int(added.Load())
}

// within is eventually with another bound.
func within(t testing.TB, what string, bound time.Duration, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(bound); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("not within %s: %s", bound, what)
}

package kurrent_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"github.com/pmledger/pmledger/eventstore/kurrent/kurrenttest"
	"github.com/pmledger/pmledger/eventstore/torture"
)

// trouble is what befalls the server, or the way to it, for a while.
type trouble struct {
	name  string
	nodes int
	toxic string // of the connections, in toxiproxy's form
	begin func(*kurrenttest.Server)
	end   func(*kurrenttest.Server) error
}

// every makes each so manieth call of a kind fail.
func every(k int, rpc kurrenttest.RPC, f kurrenttest.Fault) func(*kurrenttest.Server) {
	return func(s *kurrenttest.Server) { s.FailEvery(rpc, f, k) }
}

// dropping lets subscriptions fail so, and drops those there are.
func dropping(k int, f kurrenttest.Fault) func(*kurrenttest.Server) {
	return func(s *kurrenttest.Server) {
		s.FailEvery(kurrenttest.Subscribe, f, k)
		s.DropSubscriptions()
	}
}

// troubles are the rows of the table.
func troubles() []trouble {
	all := []trouble{
		{name: "nothing"},
		{name: "way: reset", toxic: `{"type":"reset_peer","attributes":{"timeout":50}}`},
		{name: "way: timeout", toxic: `{"type":"timeout","attributes":{"timeout":200}}`},
		{name: "way: half-open", toxic: `{"type":"timeout","attributes":{"timeout":0}}`},
		{name: "way: half-open upstream", toxic: `{"type":"timeout","stream":"upstream","attributes":{"timeout":0}}`},
		{name: "way: 5 kB/s", toxic: `{"type":"bandwidth","attributes":{"rate":5}}`},
		{name: "way: latency 2 s", toxic: `{"type":"latency","attributes":{"latency":2000}}`},
		{name: "read: refused", begin: every(3, kurrenttest.ReadStream, kurrenttest.Refuse(codes.Unavailable, "Server Is Too Busy"))},
		{name: "read: ends early", begin: every(2, kurrenttest.ReadStream, kurrenttest.DropAfter(2))},
		{name: "read: connection breaks", begin: every(5, kurrenttest.ReadStream, kurrenttest.Fault{Events: 1, Break: true})},
		{name: "read: silence", begin: every(5, kurrenttest.ReadStream, kurrenttest.Hang())},
		{name: "follow: refused", begin: dropping(2, kurrenttest.Refuse(codes.Unavailable, "Server Is Not Ready"))},
		{name: "follow: drops after 5", begin: dropping(1, kurrenttest.DropAfter(5))},
		{name: "follow: connection breaks", begin: dropping(1, kurrenttest.Fault{Events: 7, Break: true})},
		{name: "follow: silence after 3", begin: dropping(2, kurrenttest.Fault{Events: 3, Hang: true})},
		{name: "follow: not the leader", begin: dropping(2, kurrenttest.NotLeader())},
		{name: "server: latency 50 ms", begin: func(s *kurrenttest.Server) {
			for _, rpc := range []kurrenttest.RPC{kurrenttest.Append, kurrenttest.ReadStream, kurrenttest.ReadAll} {
				s.FailEvery(rpc, kurrenttest.Slow(50*time.Millisecond), 1)
			}
		}},
		{name: "server: half-open", begin: func(s *kurrenttest.Server) { s.Node(0).Freeze() },
			end: func(s *kurrenttest.Server) error { s.Node(0).Thaw(); return nil }},
		{name: "server: stopped", begin: (*kurrenttest.Server).Stop, end: (*kurrenttest.Server).Restart},
		{name: "cluster: election", nodes: 3, begin: func(s *kurrenttest.Server) { s.Elect(1) }},
		{name: "cluster: leader stops", nodes: 3, begin: func(s *kurrenttest.Server) { s.Node(0).Stop(); s.Elect(2) }, end: (*kurrenttest.Server).Restart},
		{name: "cluster: leader cut off", nodes: 3, begin: func(s *kurrenttest.Server) { s.Node(0).CutOff(); s.Elect(1) },
			end: func(s *kurrenttest.Server) error { s.Node(0).Release(); return nil }},
		{name: "cluster: no leader", nodes: 3, begin: (*kurrenttest.Server).Depose, end: func(s *kurrenttest.Server) error { s.Elect(2); return nil }},
	}
	for name, fault := range losses {
		k := 3
		if strings.HasPrefix(name, "silence") {
			k = 30
		}
		all = append(all, trouble{name: "append: " + name, begin: every(k, kurrenttest.Append, fault)})
	}
	return append(all, trouble{name: "append: not the leader", begin: every(3, kurrenttest.Append, kurrenttest.NotLeader())})
}

// form is how long and how patiently the tables are made.
type form struct {
	trouble, away time.Duration
	limit         time.Duration // of a call
	grace         time.Duration // what a busy machine may add before a call counts as hung
	atOnce        int
}

// formNow is the form of the size that is asked for.
func formNow() form {
	short := form{trouble: 1500 * time.Millisecond, away: 3 * time.Second, limit: time.Second, grace: 5 * time.Second, atOnce: 8}
	if testing.Short() { // with the race detector, calls take ten times as long
		short.limit, short.atOnce = 3*time.Second, 2
	}
	return torture.Size(short,
		form{trouble: 2 * time.Second, away: 5 * time.Second, limit: time.Second, grace: 5 * time.Second, atOnce: 8},
		form{trouble: 20 * time.Second, away: time.Minute, limit: 5 * time.Second, grace: time.Second, atOnce: 4})
}

// TestNoTroubleLosesOrDoublesAnything prints the table of what happened to 32
// writers, 4 readers and 2 followers in every kind of trouble.
func TestNoTroubleLosesOrDoublesAnything(t *testing.T) {
	f := formNow()
	turns := make(chan struct{}, f.atOnce)
	var rows sync.WaitGroup
	var mu sync.Mutex
	var all figures
	table := &strings.Builder{}
	fmt.Fprintf(table, "%-32s %8s %8s %8s %8s %8s %8s %8s %9s %9s %5s %7s %5s\n", "trouble", "appended", "unavail.", "unknown", "gave up",
		"read", "unread", "followed", "slowest", "slowest", "lost", "doubled", "hung")
	for _, tr := range troubles() {
		rows.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			g, wrong, err := endure(tr, f)
			mu.Lock()
			defer mu.Unlock()
			all.add(g)
			fmt.Fprintf(table, "%-32s %8d %8d %8d %8d %8d %8d %8d %9s %9s %5d %7d %5d\n", tr.name, g.appended, g.unavailable, g.unknown, g.gaveUp,
				g.read, g.unread, g.followed, g.slowestAppend.Round(time.Millisecond), g.slowestRead.Round(time.Millisecond), g.lost, g.doubled, g.hung)
			if err != nil {
				t.Errorf("%s: %v", tr.name, err)
			}
			if g.lost+g.doubled+g.hung > 0 || len(wrong) > 0 {
				t.Errorf("%s: %d lost, %d doubled, %d hung\n%s", tr.name, g.lost, g.doubled, g.hung, strings.Join(wrong, "\n"))
			}
		})
	}
	rows.Wait()
	t.Logf("\n%s", table)
	torture.Add(t, torture.Report{Campaign: "faults of a cluster",
		Counts: []torture.Figure{
			torture.Count(len(troubles()), "kinds of trouble"), torture.Count(all.appended, "appends"), torture.Count(all.unknown, "of unknown outcome"),
			torture.Count(all.unavailable, "refused"), torture.Count(all.read, "reads"), torture.Count(all.followed, "records followed"),
		},
		Violations: []torture.Figure{torture.Count(all.lost, "lost"), torture.Count(all.doubled, "doubled"), torture.Count(all.hung, "hung")},
	})
}

// add adds what was counted elsewhere.
func (f *figures) add(g figures) {
	f.appended, f.unavailable, f.unknown = f.appended+g.appended, f.unavailable+g.unavailable, f.unknown+g.unknown
	f.read, f.followed = f.read+g.read, f.followed+g.followed
	f.lost, f.doubled, f.hung = f.lost+g.lost, f.doubled+g.doubled, f.hung+g.hung
}

// endure runs a world through a trouble.
func endure(tr trouble, f form) (g figures, wrong []string, err error) {
	server, err := kurrenttest.New(kurrenttest.Options{Nodes: tr.nodes})
	if err != nil {
		return g, nil, err
	}
	defer func() {
		if closeErr := server.Close(); err == nil {
			err = closeErr
		}
	}()
	connection := server.ConnectionString()
	var proxy *toxiproxy.Proxy
	if tr.toxic != "" {
		proxy = toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), tr.name, "127.0.0.1:0", server.Node(0).Address())
		if err := proxy.Start(); err != nil {
			return g, nil, err
		}
		defer proxy.Stop()
		connection = "esdb://" + proxy.Listen + "?tls=false"
	}
	w, err := newWorld(server, connection, f.limit, f.grace)
	if err != nil {
		return g, nil, err
	}
	if !w.progress(2) {
		w.fault("nothing goes on before there is trouble")
	}
	if err := suffer(w, tr, proxy, f.trouble); err != nil {
		w.fault("%v", err)
	}
	if !w.progress(2) {
		w.fault("not every writer goes on after the trouble")
	}
	g, wrong = w.finish()
	return g, wrong, nil
}

// suffer lets a trouble begin, last and end.
func suffer(w *world, tr trouble, proxy *toxiproxy.Proxy, d time.Duration) error {
	if proxy != nil {
		if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(tr.toxic)); err != nil {
			return err
		}
		time.Sleep(d)
		proxy.Toxics.ResetToxics(context.Background())
		return nil
	}
	if tr.begin != nil {
		tr.begin(w.server)
	}
	time.Sleep(d)
	w.server.Heal()
	if tr.end != nil {
		return tr.end(w.server)
	}
	return nil
}

// While the server is away every call comes back in time and says why. Once it is
// there again, everything goes on with as many connections and goroutines as before.
func TestTheServerGoesAwayAndComesBack(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	f := formNow()
	server, err := kurrenttest.New(kurrenttest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWorld(server, server.ConnectionString(), f.limit, f.grace)
	if err != nil {
		t.Fatal(err)
	}
	if !w.progress(5) {
		t.Fatal("nothing goes on before")
	}
	connections, goroutines := server.Connections(), runtime.NumGoroutine()
	server.Stop()
	time.Sleep(f.away)
	w.mu.Lock()
	during, most := w.figures, runtime.NumGoroutine()
	w.mu.Unlock()
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	if !w.progress(5) {
		t.Error("not every writer goes on afterwards")
	}
	recovered := time.Since(back)
	// A call's goroutine comes and goes with the call.
	const moving = writers + readers
	if !eventually(func() bool { return server.Connections() <= connections && runtime.NumGoroutine() <= goroutines+moving }) {
		t.Errorf("%d connections and %d goroutines, before it were %d and %d", server.Connections(), runtime.NumGoroutine(), connections, goroutines)
	}
	g, wrong := w.finish()
	t.Logf("away for %v: %d appends unavailable, %d unknown, %d given up, %d reads failed; slowest append %v, read %v; goroutines before %d, away %d; connections %d; all writers went on %v after it was back",
		f.away, during.unavailable, during.unknown, during.gaveUp, during.unread, g.slowestAppend, g.slowestRead, goroutines, most, connections, recovered)
	if during.unavailable+during.unknown == 0 || g.lost+g.doubled+g.hung > 0 || len(wrong) > 0 {
		t.Errorf("%+v\n%s", g, strings.Join(wrong, "\n"))
	}
	torture.Add(t, torture.Report{Campaign: "a store that goes away",
		Counts: []torture.Figure{
			torture.Count(int(f.away/time.Second), "seconds"), torture.Count(during.unavailable, "appends refused"), torture.Count(during.unknown, "of unknown outcome"), torture.Count(during.unread, "reads refused"),
		},
		Violations: []torture.Figure{torture.Count(g.lost, "lost"), torture.Count(g.doubled, "doubled"), torture.Count(g.hung, "hung")},
	})
	if !eventually(func() bool { return server.Connections() == 0 }) {
		t.Errorf("%d connections are left open by a store that is closed", server.Connections())
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, ignore)
}

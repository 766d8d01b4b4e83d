package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/eventstore/disk"
	"github.com/pmledger/pmledger/eventstore/torture"
	"github.com/pmledger/pmledger/projections"
	"github.com/pmledger/pmledger/projections/publisher"
)

const tortureClients = 64

// attempt is one attach with its idempotency key.
type attempt struct{ customer, key, body string }

// attached is an acknowledged attempt.
type attached struct {
	attempt
	location string
}

// TestTortureNothingAcknowledgedIsLost kills the server while 64 clients attach,
// again and again, and checks the log, the views and the stream each time.
func TestTortureNothingAcknowledgedIsLost(t *testing.T) {
	if testing.Short() {
		t.Skip("a torture takes its time")
	}
	rounds, length := torture.Size(3, 4, 20), torture.Size(time.Second, 2*time.Second, 10*time.Second)
	random := rand.New(rand.NewPCG(torture.Seed(t), 0))
	dir := t.TempDir()
	known := map[string]attached{} // by idempotency key
	var unsure []attempt
	unanswered := 0
	for round := range rounds {
		s := serve(t, dir)
		resolve(t, s, unsure, known)
		done, open := load64(s, round, time.Duration(float64(length)*(0.3+0.7*random.Float64())))
		for _, a := range done {
			known[a.key] = a
		}
		unsure = open
		unanswered += len(open)
		checkLog(t, dir, known)
		t.Logf("round %d: %d acknowledged, %d unsure, %d in all", round+1, len(done), len(open), len(known))
	}
	s := serve(t, dir)
	resolve(t, s, unsure, known)
	checkAnswers(t, s, known)
	public := s.published()
	if code := s.terminate(); code != exitOK {
		t.Errorf("SIGTERM ended it with %d", code)
	}
	if want := checkLog(t, dir, known); !slices.Equal(public, want) {
		t.Errorf("the stream has %d messages that are not the %d public events of the log in order", len(public), len(want))
	}
	checkViews(t, dir)
	torture.Add(t, torture.Report{Campaign: "kill -9 of the server", Counts: []torture.Figure{
		torture.Count(rounds, "kills"), torture.Count(len(known), "attaches acknowledged"), torture.Count(unanswered, "under way at a kill"), torture.Count(len(public), "messages"),
	}})
}

// load64 lets the clients attach for a while, kills the server and returns what
// was acknowledged and what was under way.
func load64(s *instance, round int, length time.Duration) (done []attached, open []attempt) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: tortureClients}}
	defer client.CloseIdleConnections()
	ctx, stop := context.WithTimeout(s.t.Context(), length)
	defer stop()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n := range tortureClients {
		wg.Go(func() {
			var mine []attached
			var last []attempt
			for i := 0; ; i++ {
				a := attempt{
					customer: fmt.Sprintf("cus_%d_%d_%d", round, n, i/3), // three methods each
					key:      fmt.Sprintf("%d-%d-%d", round, n, i),
					body:     fmt.Sprintf(`{"type":"card","token":"tok_visa_fp_%d"}`, i),
				}
				location, err := attachOnce(s, client, a)
				if err != nil {
					last = append(last, a)
					break
				}
				mine = append(mine, attached{a, location})
			}
			mu.Lock()
			defer mu.Unlock()
			done, open = append(done, mine...), append(open, last...)
		})
	}
	<-ctx.Done()
	s.kill()
	wg.Wait()
	return done, open
}

func attachOnce(s *instance, client *http.Client, a attempt) (location string, err error) {
	got, err := s.try(client, http.MethodPost, "/v1/customers/"+a.customer+"/payment-methods", a.body, "Idempotency-Key", a.key)
	if err == nil && got.status != http.StatusCreated {
		err = fmt.Errorf("%d: %s", got.status, got.body)
	}
	return got.header.Get("Location"), err
}

// resolve repeats what was under way: whether it had happened or not, it has now.
func resolve(t *testing.T, s *instance, unsure []attempt, known map[string]attached) {
	t.Helper()
	for _, a := range unsure {
		location, err := attachOnce(s, http.DefaultClient, a)
		if err != nil {
			t.Errorf("repeating %s: %v", a.key, err)
			continue
		}
		known[a.key] = attached{a, location}
	}
}

// checkLog is checkRecords for a log on a disk.
func checkLog(t *testing.T, dir string, known map[string]attached) []string {
	t.Helper()
	store, err := disk.Open(filepath.Join(dir, "log"), disk.Options{MinFree: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	return checkRecords(t, store, known)
}

// checkRecords verifies the history, finds every acknowledged attach in it exactly
// once, and returns the ids of its public events in order.
func checkRecords(t *testing.T, store eventstore.Store, known map[string]attached) []string {
	t.Helper()
	if _, err := eventstore.Verify(t.Context(), store, nil); err != nil {
		t.Errorf("the history is not in order: %v", err)
	}
	head, err := store.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var public []string
	found := map[string]string{} // location by idempotency key
	type command struct{ stream, id string }
	ended := map[command]uint64{} // version of its last record
	for batch, err := range store.Follow(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range batch {
			e, meta, err := eventstore.DecodeRecord(r)
			if err != nil {
				t.Fatal(err)
			}
			by := command{r.Stream, meta.CommandID}
			if last := ended[by]; last != 0 && last != r.Version-1 {
				t.Errorf("stream %s: what stands at version %d was done at version %d already", r.Stream, r.Version, last)
			}
			ended[by] = r.Version
			if domain.PublicName(e) != "" {
				public = append(public, domain.EventID(r.ID))
			}
			if m, ok := e.(domain.MethodAttached); ok {
				if found[meta.CommandID] != "" {
					t.Errorf("%s attached twice", meta.CommandID)
				}
				found[meta.CommandID] = "/v1/payment-methods/" + string(m.MethodID)
			}
		}
		if batch[len(batch)-1].Position >= head {
			break
		}
	}
	lost := 0
	for key, a := range known {
		if found[key] != a.location {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged attaches are not in the log", lost, len(known))
	}
	return public
}

// checkAnswers reads a sample of the acknowledged methods back over HTTP.
func checkAnswers(t *testing.T, s *instance, known map[string]attached) {
	t.Helper()
	sampled := 0
	for _, a := range known {
		if sampled++; sampled > 500 {
			break
		}
		got := s.get(a.location)
		if !strings.Contains(string(got.body), `"customer_id":"`+a.customer+`"`) {
			t.Errorf("%s is not of %s: %s", a.location, a.customer, got.body)
		}
		if then := s.get(a.location + "?as_of=" + time.Now().UTC().Add(-time.Millisecond).Format(time.RFC3339Nano)); string(then.body) != string(got.body) {
			t.Errorf("%s\nfrom the view:    %s\nfrom the history: %s", a.location, got.body, then.body)
		}
	}
}

// published reads the ids of all messages in the stream, once the publisher has
// nothing left to do.
func (s *instance) published() []string {
	s.t.Helper()
	s.await("everything is published", func() bool {
		text := fetch(s.t, s.admin)
		return strings.Contains(text, "\npmledger_publisher_lag_events 0\n") && strings.Contains(text, `pmledger_projection_lag{projection="customers"} 0`)
	})
	js, err := jetstream.New(s.connect())
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	stream, err := js.Stream(ctx, publisher.StreamName)
	if err != nil {
		s.t.Fatal(err)
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		s.t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		s.t.Fatal(err)
	}
	defer messages.Stop()
	var ids []string
	for uint64(len(ids)) < stream.CachedInfo().State.Msgs {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, m.Headers().Get("Nats-Msg-Id"))
	}
	return ids
}

// checkViews is checkRows for a log on a disk.
func checkViews(t *testing.T, dir string) {
	t.Helper()
	store, err := disk.Open(filepath.Join(dir, "log"), disk.Options{MinFree: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	checkRows(t, store, dir)
}

// checkRows compares every row of the views in a data folder with the fold of its
// stream.
func checkRows(t *testing.T, store eventstore.Store, dir string) {
	t.Helper()
	views, err := projections.Open(t.Context(), store, projections.Options{Dir: filepath.Join(dir, "views")})
	if err != nil {
		t.Fatal(err)
	}
	defer views.Close()
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- views.Run(ctx) }()
	defer func() { stop(); <-ran }()
	head, err := store.Head(ctx)
	if err == nil {
		err = views.Wait(ctx, head)
	}
	if err != nil {
		t.Fatal(err)
	}
	ledger := eventstore.NewLedger(store, eventstore.LedgerOptions{Now: time.Now, NewID: uuid.New})
	seen, rows, wrong := map[string]bool{}, 0, 0
	for batch, err := range store.Follow(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range batch {
			if seen[r.Stream] || !strings.HasPrefix(r.Stream, "customer-") {
				continue
			}
			seen[r.Stream] = true
			state, _, err := ledger.State(ctx, r.Stream)
			if err != nil {
				t.Fatal(err)
			}
			for id, m := range state.(*domain.Customer).Methods {
				rows++
				row, ok, err := views.Method("demo", id)
				if err != nil || !ok || string(row.JSON) != string(projections.RenderMethod(m)) {
					wrong++
				}
			}
		}
		if batch[len(batch)-1].Position >= head {
			break
		}
	}
	if wrong > 0 || rows == 0 {
		t.Errorf("%d of %d rows of the views differ from the fold of the log", wrong, rows)
	}
}

package publisher

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestBacklogAndLiveMessagesArriveOnceAndInOrder(t *testing.T) {
	t.Parallel()
	log := newOutbox(2500)
	s := startServer(t, ServerOptions{Listen: "127.0.0.1:0", Anonymous: true})
	live := subscribe(t, client(t, s), "pm.v1.>")
	p, _ := run(t, Options{Server: s, Source: log.source()})
	eventually(t, "the backlog is published", caughtUp(p, log))
	for i := range 40 {
		log.add(1 + i%17)
		eventually(t, "the new messages are published", caughtUp(p, log))
	}
	_, js := writer(t, s)
	complete(t, js, log.all())
	for i, want := range log.all() {
		m, err := live.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatalf("subscriber, message %d: %v", i, err)
		}
		if m.Subject != want.Subject() || m.Header.Get("ce-id") != want.EventID() || string(m.Data) != string(want.Body) {
			t.Fatalf("subscriber, message %d: %s %v", i, m.Subject, m.Header)
		}
	}
	if err := p.Checked(context.Background()); err != nil {
		t.Error(err)
	}
	if st := p.Status(); st.Published != uint64(len(log.all())) || st.LastError != nil || !st.Connected || st.LastSuccess.IsZero() {
		t.Errorf("status %+v", st)
	}
	if n, err := p.Lag(10); n != 0 || err != nil {
		t.Errorf("lag %d, %v", n, err)
	}
}

func TestOrdinaryClientsReadWithEveryKindOfConsumer(t *testing.T) {
	t.Parallel()
	log := newOutbox(100)
	s := startServer(t, ServerOptions{Listen: "127.0.0.1:0", User: "billing", Password: "p&ss \"word\""})
	p, _ := run(t, Options{Server: s, Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	if _, err := nats.Connect(s.URL()); err == nil {
		t.Fatal("a client without credentials was let in")
	}
	nc := client(t, s, nats.UserInfo("billing", "p&ss \"word\""))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("ordered consumer", func(t *testing.T) { complete(t, js, log.all()) })
	t.Run("durable pull consumer with a filter", func(t *testing.T) { pullsDurably(t, js) })
	t.Run("consume loop", func(t *testing.T) { consumes(t, js, log) })
	t.Run("push consumer of older clients", func(t *testing.T) {
		old, err := nc.JetStream()
		if err != nil {
			t.Fatal(err)
		}
		sub, err := old.SubscribeSync("pm.v1.demo.>", nats.OrderedConsumer(), nats.BindStream(StreamName))
		if err != nil {
			t.Fatal(err)
		}
		if m, err := sub.NextMsg(5 * time.Second); err != nil || m.Subject != log.all()[1].Subject() {
			t.Errorf("%v, %v", m, err)
		}
	})
	t.Run("message by sequence", func(t *testing.T) {
		stream, err := js.Stream(context.Background(), StreamName)
		if err != nil {
			t.Fatal(err)
		}
		m, err := stream.GetMsg(context.Background(), 7)
		if err != nil || m.Subject != log.all()[6].Subject() {
			t.Errorf("%v, %v", m, err)
		}
	})
}

func pullsDurably(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	c, err := js.CreateOrUpdateConsumer(context.Background(), StreamName, jetstream.ConsumerConfig{
		Durable: "dunning", FilterSubject: "pm.v1.*.payment_method.expiring", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.Fetch(50, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for m := range batch.Messages() {
		if err := m.DoubleAck(context.Background()); err != nil {
			t.Fatal(err)
		}
		n++
	}
	info, err := c.Info(context.Background())
	if err != nil || n != 50 || info.NumAckPending != 0 || info.NumPending != 0 {
		t.Errorf("%d messages, %+v, %v", n, info, err)
	}
}

// consumes reads what is there and twenty more that come while it reads.
func consumes(t *testing.T, js jetstream.JetStream, log *outbox) {
	t.Helper()
	c, err := js.OrderedConsumer(context.Background(), StreamName, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan jetstream.Msg, 200)
	run, err := c.Consume(func(m jetstream.Msg) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	defer run.Stop()
	log.add(20)
	for i := range 120 {
		select {
		case <-got:
		case <-time.After(time.Minute):
			t.Fatalf("message %d did not come", i)
		}
	}
}

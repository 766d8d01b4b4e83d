package publisher

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		victim(dir)
		return
	}
	if config := os.Getenv(nodeConfig); config != "" {
		runNode(config)
		return
	}
	// The NATS server leaves these behind when its store has failed.
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*msgBlock).flushLoop"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

// outbox is a log's public events: every third position is one that is not public.
type outbox struct {
	mu       sync.Mutex
	messages []projections.Message
	grown    chan struct{}
	orgs     map[string]projections.Message
}

func newOutbox(n int) *outbox {
	o := &outbox{grown: make(chan struct{}), orgs: map[string]projections.Message{}}
	o.add(n)
	return o
}

// message is a pure function of what stands before it.
func message(i int, prev, orgPrev projections.Message) projections.Message {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[8:], uint64(i)+1)
	m := projections.Message{
		Position: eventstore.Position(i + i/2 + 1), Prev: prev.Position, OrgPrev: orgPrev.Position, OrgSeq: orgPrev.OrgSeq + 1,
		ID: id, Organization: []string{"acme", "demo", "globex"}[i%3], Type: "customer.payment_method_attached",
		SubjectID: fmt.Sprintf("pm_%032x", i), Time: time.UnixMilli(1_700_000_000_000 + int64(i)),
	}
	if i%2 == 0 {
		m.Type, m.Traceparent = "payment_method.expiring", fmt.Sprintf("00-%032x-%016x-01", i+1, i+1)
	}
	m.Body = fmt.Appendf(nil, `{"id":%q,"object":"event","sequence":%d,"data":%q}`, m.EventID(), m.OrgSeq, strings.Repeat("x", 600))
	return m
}

func (o *outbox) add(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for range n {
		var prev projections.Message
		if len(o.messages) > 0 {
			prev = o.messages[len(o.messages)-1]
		}
		m := message(len(o.messages), prev, o.orgs[[]string{"acme", "demo", "globex"}[len(o.messages)%3]])
		o.orgs[m.Organization] = m
		o.messages = append(o.messages, m)
	}
	close(o.grown)
	o.grown = make(chan struct{})
}

func (o *outbox) all() []projections.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.messages)
}

func (o *outbox) last() eventstore.Position {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.messages) == 0 {
		return 0
	}
	return o.messages[len(o.messages)-1].Position
}

func (o *outbox) read(after eventstore.Position, max int) ([]projections.Message, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := sort.Search(len(o.messages), func(i int) bool { return o.messages[i].Position > after })
	return o.messages[i:min(i+max, len(o.messages))], nil
}

func (o *outbox) wait(ctx context.Context, after eventstore.Position) error {
	for {
		o.mu.Lock()
		grown, there := o.grown, len(o.messages) > 0 && o.messages[len(o.messages)-1].Position > after
		o.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (o *outbox) source() Source {
	return Source{
		Messages: o.read, Wait: o.wait,
		Head:    func(context.Context) (eventstore.Position, error) { return o.last() + 1, nil },
		Reached: func(context.Context, eventstore.Position) error { return nil },
		Find:    o.find,
	}
}

func (o *outbox) find(event uuid.UUID) (projections.Message, bool, error) {
	for _, m := range o.all() {
		if m.ID == event {
			return m, true, nil
		}
	}
	return projections.Message{}, false, nil
}

// quiet shows the log of a failed test only.
func quiet(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(logWriter{t, &sync.Mutex{}}, nil))
}

type logWriter struct {
	t  testing.TB
	mu *sync.Mutex
}

func (w logWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t.Log(strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}

func startServer(t testing.TB, o ServerOptions) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Logger == nil {
		o.Logger = quiet(t)
	}
	s, err := StartServer(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// run starts a publisher and returns it with a function that stops it.
func run(t testing.TB, o Options) (*Publisher, func()) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet(t)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return p, stop
}

// eventually waits for a condition and fails the test when it does not come.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("not within a minute: %s", what)
}

func caughtUp(p *Publisher, o *outbox) func() bool {
	return func() bool { return p.Status().Position == o.last() }
}

// client connects over the network as an ordinary client.
func client(t testing.TB, s *Server, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.URL(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// subscribe returns when the server knows the subscription: what is published from
// then on reaches it.
func subscribe(t testing.TB, nc *nats.Conn, subject string) *nats.Subscription {
	t.Helper()
	sub, err := nc.SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return sub
}

// writer connects in process as the publisher's own user.
func writer(t testing.TB, s *Server) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect("", append(s.publisherOptions(), nats.CustomInboxPrefix(replyPrefix))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// contents reads the whole stream.
func contents(t testing.TB, js jetstream.JetStream) []jetstream.Msg {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stream, err := js.Stream(ctx, StreamName)
	if err != nil {
		t.Fatal(err)
	}
	n := int(stream.CachedInfo().State.Msgs)
	consumer, err := js.OrderedConsumer(ctx, StreamName, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	messages := make([]jetstream.Msg, 0, n)
	for len(messages) < n {
		batch, err := consumer.Fetch(min(n-len(messages), 1000), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		before := len(messages)
		for m := range batch.Messages() {
			messages = append(messages, m)
		}
		if len(messages) == before {
			t.Fatalf("the stream gave %d of %d messages: %v", before, n, batch.Error())
		}
	}
	return messages
}

// complete checks that the stream holds exactly these messages, in order, with
// their subjects, headers and bodies, and that sequences are dense.
func complete(t testing.TB, js jetstream.JetStream, want []projections.Message) {
	t.Helper()
	same(t, contents(t, js), want, true)
}

func same(t testing.TB, got []jetstream.Msg, want []projections.Message, dense bool) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		meta, err := got[i].Metadata()
		if err != nil {
			t.Fatal(err)
		}
		if dense && meta.Sequence.Stream != uint64(i)+1 {
			t.Fatalf("message %d has sequence %d", i, meta.Sequence.Stream)
		}
		if got[i].Subject() != want[i].Subject() || string(got[i].Data()) != string(want[i].Body) {
			t.Fatalf("message %d is %s %s, want %s %s", i, got[i].Subject(), got[i].Data(), want[i].Subject(), want[i].Body)
		}
		if h := durable(got[i].Headers()); !maps.Equal(h, headers(want[i])) {
			t.Fatalf("message %d has headers %v, want %v", i, h, headers(want[i]))
		}
	}
	if len(got) != len(want) {
		t.Fatalf("the stream has %d messages, the log %d", len(got), len(want))
	}
}

// durable leaves out the headers that are the transport's own.
func durable(h nats.Header) map[string]string {
	kept := map[string]string{}
	for name, values := range h {
		if name == "Nats-Msg-Id" || !strings.HasPrefix(name, "Nats-") {
			kept[name] = strings.Join(values, "\n")
		}
	}
	return kept
}

func headers(m projections.Message) map[string]string {
	h := map[string]string{}
	for _, x := range m.Headers() {
		h[x.Name] = x.Value
	}
	return h
}

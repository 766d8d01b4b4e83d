package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections"
	"github.com/pmledger/pmledger/projections/publisher"
)

// written is a message of the contract's cases: number of its id, the sequence it
// expects (-1: none), and its place in a batch, 0 for none.
type written struct {
	id, expected int
	batch        string
	place        int
	commit       bool
}

// batchOf is a whole batch of messages with these ids.
func batchOf(name string, expected int, ids ...int) []written {
	var all []written
	for i, id := range ids {
		all = append(all, written{id, -1, name, i + 1, i == len(ids)-1})
	}
	all[0].expected = expected
	return all
}

// theCases are written one after the other to one stream.
var theCases = []struct {
	name     string
	messages []written
}{
	{"in turn", []written{{id: 1, expected: 0}, {id: 2, expected: 1}, {id: 3, expected: 2}}},
	{"late, with a known id", []written{{id: 2, expected: 1}}},
	{"late, with a new id", []written{{id: 90, expected: 1}}},
	{"too early", []written{{id: 91, expected: 7}}},
	{"known id at the right place", []written{{id: 3, expected: 3}}},
	{"no expected sequence, known id", []written{{id: 1, expected: -1}}},
	{"no expected sequence, new id", []written{{id: 4, expected: -1}}},
	{"a batch", batchOf("a", 4, 5, 6, 7)},
	{"the batch again", batchOf("b", 4, 5, 6, 7)},
	{"a late batch of new ids", batchOf("c", 4, 92, 93)},
	{"a batch with a known id at the right place", batchOf("d", 7, 8, 3)},
	{"a batch that is not complete", batchOf("e", 7, 8, 9, 10)[:2]},
	{"another one meanwhile", []written{{id: 8, expected: 7}}},
	{"a batch of one", batchOf("f", 8, 9)},
	{"some of a window, too late", []written{{id: 9, expected: 8}, {id: 10, expected: 9}, {id: 11, expected: 10}}},
}

// The model of JetStream answers as a real server does, and keeps the
// same messages.
func TestTheModelAnswersAsAServer(t *testing.T) {
	nc, js := realStream(t)
	model := newStream(time.Now)
	for _, c := range theCases {
		for i, w := range c.messages {
			m := w.message()
			want := model.receive(m)
			got := asked(t, nc, m)
			if !sameAnswer(got, want) {
				t.Errorf("%s, message %d:\nserver %s\n model %s", c.name, i+1, got, want)
			}
		}
		same(t, c.name, js, model)
	}
}

// After the window an id is forgotten: only the sequence refuses a repeat.
func TestTheModelForgetsIDsAsAServer(t *testing.T) {
	nc, js := realStream(t)
	model := newStream(time.Now)
	model.window = 200 * time.Millisecond
	s, err := js.Stream(t.Context(), publisher.StreamName)
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	config.Duplicates = model.window
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	first, second, again := written{id: 1, expected: 0}.message(), written{id: 2, expected: 1}.message(), written{id: 2, expected: -1}.message()
	for _, m := range []*nats.Msg{first, second} {
		model.receive(m)
		asked(t, nc, m)
	}
	if got, want := onceForgotten(t, func() []byte { return asked(t, nc, again) }), onceForgotten(t, func() []byte { return model.receive(again) }); !sameAnswer(got, want) {
		t.Errorf("server %s, model %s", got, want)
	}
	if got, want := asked(t, nc, first), model.receive(first); !sameAnswer(got, want) {
		t.Errorf("server %s, model %s", got, want)
	}
	same(t, "after the window", js, model)
	if len(model.messages) != 3 {
		t.Error("the id was still known: nothing was tried")
	}
}

// onceForgotten repeats a message until it is not known any more: the server forgets
// some time after the window.
func onceForgotten(t *testing.T, send func() []byte) []byte {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		reply := send()
		var a answer
		if err := json.Unmarshal(reply, &a); err != nil {
			t.Fatal(err)
		}
		if !a.Duplicate {
			return reply
		}
	}
	t.Fatal("the id is known for good")
	return nil
}

func (w written) message() *nats.Msg {
	h := nats.Header{
		nats.MsgIdHdr: {"evt_" + strconv.Itoa(w.id)}, "Nats-Expected-Stream": {publisher.StreamName},
		"ce-pmposition": {strconv.Itoa(w.id)}, "ce-pmprev": {strconv.Itoa(w.id - 1)},
	}
	if w.expected >= 0 {
		h["Nats-Expected-Last-Sequence"] = []string{strconv.Itoa(w.expected)}
	}
	if w.place > 0 {
		h["Nats-Batch-Id"], h["Nats-Batch-Sequence"] = []string{w.batch}, []string{strconv.Itoa(w.place)}
	}
	if w.commit {
		h["Nats-Batch-Commit"] = []string{"1"}
	}
	return &nats.Msg{Subject: projections.InputSubjectPrefix + "acme.x", Header: h, Data: fmt.Appendf(nil, "body %d", w.id)}
}

func asked(t *testing.T, nc *nats.Conn, m *nats.Msg) []byte {
	t.Helper()
	reply, err := nc.RequestMsg(&nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return reply.Data
}

// sameAnswer compares answers as the publisher reads them.
func sameAnswer(a, b []byte) bool {
	var x, y any
	return string(a) == string(b) || json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// same compares what a server holds with what the model holds.
func same(t *testing.T, name string, js jetstream.JetStream, model *stream) {
	t.Helper()
	s, err := js.Stream(t.Context(), publisher.StreamName)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), jetstream.WithDeletedDetails(true))
	if err != nil {
		t.Fatal(err)
	}
	want := model.info(true).State
	if got := info.State; got.Msgs != want.Msgs || got.FirstSeq != want.FirstSeq || got.LastSeq != want.LastSeq || got.NumDeleted != want.NumDeleted {
		t.Fatalf("%s: the server's state is %+v, the model's %+v", name, got, want)
	}
	for _, k := range model.messages {
		m, err := s.GetMsg(t.Context(), k.sequence)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Nats-Sequence", "Nats-Stream", "Nats-Subject", "Nats-Time-Stamp"} {
			delete(m.Header, name) // of the answer, not of the message
		}
		if m.Subject != k.subject || string(m.Data) != k.data || !reflect.DeepEqual(m.Header, k.header) {
			t.Errorf("%s: message %d of the server is %s %q %v, the model's %s %q %v", name, k.sequence, m.Subject, m.Data, m.Header, k.subject, k.data, k.header)
		}
	}
}

// realStream starts a server, and lets a publisher make its stream there.
func realStream(t *testing.T) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	url := "nats://" + s.Addr().(*net.TCPAddr).String()
	p, err := publisher.New(publisher.Options{URL: url, Source: nothing(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	if err := p.Checked(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(url)
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

// nothing is a source without messages.
func nothing() publisher.Source {
	return publisher.Source{
		Messages: func(eventstore.Position, int) ([]projections.Message, error) { return nil, nil },
		Wait:     func(ctx context.Context, _ eventstore.Position) error { <-ctx.Done(); return ctx.Err() },
		Head:     func(context.Context) (eventstore.Position, error) { return 0, nil },
		Reached:  func(context.Context, eventstore.Position) error { return nil },
		Find: func(uuid.UUID) (projections.Message, bool, error) {
			return projections.Message{}, false, errors.New("none")
		},
	}
}

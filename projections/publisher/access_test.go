package publisher

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// An ordinary client tries everything that could put a message into the stream or
// take one out. Whatever it gets for an answer, the stream must be as before.
func TestOrdinaryClientsCannotChangeTheStream(t *testing.T) {
	t.Parallel()
	log := newOutbox(30)
	s := startServer(t, ServerOptions{Listen: "127.0.0.1:0", Anonymous: true})
	p, _ := run(t, Options{Server: s, Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	_, js := writer(t, s)
	before := created(t, js)
	nc := client(t, s, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	attack(t, nc)
	log.add(1)
	eventually(t, "published after the attempts", caughtUp(p, log))
	complete(t, js, log.all())
	if now := created(t, js); !now.Equal(before) {
		t.Errorf("the stream was replaced: it was made at %s, now at %s", before, now)
	}
	names := js.StreamNames(context.Background())
	for name := range names.Name() {
		if name != StreamName {
			t.Errorf("the client made the stream %s", name)
		}
	}
	stream, err := js.Stream(context.Background(), StreamName)
	if err != nil {
		t.Fatal(err)
	}
	if c := stream.CachedInfo().Config; len(differences(c, require(c, true))) > 0 {
		t.Errorf("the client changed the stream: %+v", c)
	}
	if st := p.Status(); st.Rebuilds != 0 || st.Halted != nil {
		t.Errorf("status %+v", st)
	}
}

// attack sends every request that would change the stream, directly and through
// whatever makes the server itself send to a subject of the client's choice: the
// reply of a request, a push consumer, a pull.
func attack(t *testing.T, nc *nats.Conn) {
	t.Helper()
	forged := []string{"_pm.in.v1.demo.payment_method.expiring", "pm.v1.demo.payment_method.expiring"}
	destructive := map[string]string{
		"$JS.API.STREAM.DELETE." + StreamName:     ``,
		"$JS.API.STREAM.PURGE." + StreamName:      ``,
		"$JS.API.STREAM.MSG.DELETE." + StreamName: `{"seq":1}`,
		"$JS.API.STREAM.UPDATE." + StreamName:     `{"name":"PM_EVENTS","subjects":["pm.v1.>"],"max_msgs":1}`,
		"$JS.API.STREAM.CREATE.MINE":              `{"name":"MINE","subjects":["_pm.in.v1.>"]}`,
		"$JS.API.STREAM.SNAPSHOT." + StreamName:   `{"deliver_subject":"_pm.in.v1.demo.x"}`,
		"$JS.API.STREAM.RESTORE." + StreamName:    `{"config":{"name":"PM_EVENTS"}}`,
	}
	targets := append([]string{}, forged...)
	for subject, body := range destructive {
		request(nc, subject, body)
		targets = append(targets, subject)
	}
	for _, subject := range forged {
		request(nc, subject, `{"id":"evt_forged"}`)
	}
	requests := map[string]string{
		"$JS.API.INFO": ``, "$JS.API.STREAM.INFO." + StreamName: ``, "$JS.API.STREAM.NAMES": ``,
		"$JS.API.STREAM.MSG.GET." + StreamName: `{"seq":1}`, "$JS.API.DIRECT.GET." + StreamName: `{"seq":1}`,
	}
	for i, target := range targets {
		for subject, body := range requests {
			if err := nc.PublishRequest(subject, target, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		for _, headersOnly := range []bool{false, true} {
			name := fmt.Sprintf("c%d%t", i, headersOnly)
			request(nc, "$JS.API.CONSUMER.CREATE."+StreamName+"."+name, fmt.Sprintf(
				`{"stream_name":%q,"config":{"name":%q,"ack_policy":"none","deliver_policy":"all","deliver_subject":%q,"headers_only":%t}}`,
				StreamName, name, target, headersOnly))
		}
		pull := fmt.Sprintf("p%d", i)
		request(nc, "$JS.API.CONSUMER.CREATE."+StreamName+"."+pull, fmt.Sprintf(
			`{"stream_name":%q,"config":{"name":%q,"ack_policy":"none","headers_only":true}}`, StreamName, pull))
		if err := nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+StreamName+"."+pull, target, []byte(`{"batch":5}`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// What a client publishes on the public subjects reaches no other client.
func TestForgedEventsReachNobody(t *testing.T) {
	t.Parallel()
	log := newOutbox(3)
	s := startServer(t, ServerOptions{Listen: "127.0.0.1:0", Anonymous: true})
	sub := subscribe(t, client(t, s), ">")
	forger := client(t, s, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	for _, subject := range []string{"pm.v1.demo.payment_method.expiring", "_pm.in.v1.demo.payment_method.expiring", replyPrefix + ".x"} {
		if err := forger.Publish(subject, []byte("forged")); err != nil {
			t.Fatal(err)
		}
	}
	if err := forger.Flush(); err != nil {
		t.Fatal(err)
	}
	p, _ := run(t, Options{Server: s, Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	for _, want := range log.all() {
		if m, err := nextMessage(sub, 5*time.Second); err != nil || m.Header.Get("ce-id") != want.EventID() {
			t.Fatalf("%v, %v", m, err)
		}
	}
}

// nextMessage passes over JetStream's advisories: who hears every subject hears those
// of the publisher's own readers too, at moments that nothing promises.
func nextMessage(sub *nats.Subscription, wait time.Duration) (*nats.Msg, error) {
	for {
		m, err := sub.NextMsg(wait)
		if err != nil || !strings.HasPrefix(m.Subject, "$JS.EVENT.ADVISORY.") {
			return m, err
		}
	}
}

func created(t *testing.T, js jetstream.JetStream) time.Time {
	t.Helper()
	stream, err := js.Stream(context.Background(), StreamName)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().Created
}

func request(nc *nats.Conn, subject, body string) *nats.Msg {
	m, _ := nc.Request(subject, []byte(body), 40*time.Millisecond)
	return m
}

// A refused write must not be visible to anybody: that is why the stream listens on
// subjects of its own.
func TestPlainSubscribersNeverSeeRefusedMessages(t *testing.T) {
	t.Parallel()
	log := newOutbox(5)
	s := startServer(t, ServerOptions{Listen: "127.0.0.1:0", Anonymous: true})
	sub := subscribe(t, client(t, s), ">")
	p, _ := run(t, Options{Server: s, Source: log.source()})
	eventually(t, "published", caughtUp(p, log))
	nc, js := writer(t, s)
	for i, expected := range []string{"0", "4", "99"} {
		m := nats.NewMsg("_pm.in.v1.demo.payment_method.expiring")
		m.Header.Set(headerExpectLast, expected)
		m.Data = []byte("refused")
		reply, err := nc.RequestMsg(m, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := parseAck(reply); err != nil || a.refusal() == nil {
			t.Fatalf("write %d was not refused: %s %v", i, reply.Data, err)
		}
	}
	refusedBatch(t, nc, 20)
	log.add(1)
	for i, want := range log.all() {
		m, err := nextMessage(sub, 5*time.Second)
		if err != nil || m.Subject != want.Subject() || string(m.Data) != string(want.Body) {
			t.Fatalf("message %d: %v, %v", i, m, err)
		}
	}
	complete(t, js, log.all())
	if m, err := nextMessage(sub, 50*time.Millisecond); err == nil {
		t.Errorf("one more message: %v", m)
	}
}

// refusedBatch sends an atomic batch that names an old last sequence.
func refusedBatch(t *testing.T, nc *nats.Conn, n int) {
	t.Helper()
	for i := 1; i <= n; i++ {
		m := nats.NewMsg("_pm.in.v1.demo.payment_method.expiring")
		m.Header.Set(headerBatchID, "stale")
		m.Header.Set(headerBatchSequence, fmt.Sprint(i))
		if i == 1 {
			m.Header.Set(headerExpectLast, "2")
		}
		m.Data = []byte("refused")
		if i < n {
			if err := nc.PublishMsg(m); err != nil {
				t.Fatal(err)
			}
			continue
		}
		m.Header.Set(headerBatchCommit, "1")
		reply, err := nc.RequestMsg(m, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := parseAck(reply); err != nil || a.refusal() == nil {
			t.Fatalf("the batch was not refused: %s %v", reply.Data, err)
		}
	}
}

func TestServerRefusesToListenWithoutCredentials(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]ServerOptions{
		"no credentials": {Dir: t.TempDir(), Listen: "127.0.0.1:0"},
		"no password":    {Dir: t.TempDir(), Listen: "127.0.0.1:0", User: "billing"},
		"own user":       {Dir: t.TempDir(), Listen: "127.0.0.1:0", User: publisherUser, Password: "x"},
		"no folder":      {},
		"bad address":    {Dir: t.TempDir(), Listen: "nowhere", Anonymous: true},
	} {
		t.Run(name, func(t *testing.T) {
			o.Logger = quiet(t)
			if s, err := StartServer(o); err == nil {
				s.Close()
				t.Error("it started")
			}
		})
	}
}

// A client that takes the name of the publisher's user does not get its rights.
func TestClientsCannotBecomeThePublisher(t *testing.T) {
	t.Parallel()
	s := startServer(t, ServerOptions{Listen: "127.0.0.1:0", Anonymous: true})
	for _, password := range []string{"", "publisher"} {
		if nc, err := nats.Connect(s.URL(), nats.UserInfo(publisherUser, password)); err == nil {
			nc.Close()
			t.Errorf("password %q was accepted", password)
		}
	}
	js, err := jetstream.New(client(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(context.Background(), jetstream.StreamConfig{Name: "MINE"}); err == nil {
		t.Error("a client made a stream")
	}
}

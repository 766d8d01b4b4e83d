package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pmledger/pmledger/projections/publisher"
)

// TestTailMissesNothingWhenTheServerRestarts: what is published before the consumer
// is made again is printed, also when it had not seen a message yet.
func TestTailMissesNothingWhenTheServerRestarts(t *testing.T) {
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
	n := runNATS(t, o)
	js := inProcess(t, n)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: publisher.StreamName, Subjects: []string{"pm.v1.>"}}); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "before")

	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	p := program{stdout: in, stderr: io.Discard, environ: func() []string { return nil }}
	ended := make(chan error, 1)
	address := n.Addr().(*net.TCPAddr)
	go func() {
		ended <- p.execute(ctx, []string{"events", "tail", "--data", t.TempDir(), "--nats-url", "nats://" + address.String()})
		in.Close()
	}()
	stream, err := js.Stream(t.Context(), publisher.StreamName)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if info, err := stream.Info(t.Context()); err == nil && info.State.Consumers == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the tail made no consumer")
		}
	}

	printed := make(chan string)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			printed <- lines.Text()
		}
	}()
	next := func() string {
		select {
		case line := <-printed:
			return line
		case <-time.After(patience):
			return "nothing"
		}
	}
	// A consumer whose answer is still on its way would be lost with the server.
	publish(t, js, "the first")
	if got := next(); got != `"the first"` {
		t.Fatalf("printed %s before the restart", got)
	}

	n.Shutdown()
	n.WaitForShutdown()
	again := *o
	again.Port = address.Port
	js = inProcess(t, runNATS(t, &again))
	publish(t, js, "while it was away") // the client waits before it connects again
	if got := next(); got != `"while it was away"` {
		t.Errorf("printed %s first", got)
	}
	publish(t, js, "after")
	if got := next(); got != `"after"` {
		t.Errorf("printed %s second", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func inProcess(t *testing.T, n *server.Server) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect("", nats.InProcessServer(n))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func publish(t *testing.T, js jetstream.JetStream, body string) {
	t.Helper()
	if _, err := js.Publish(t.Context(), "pm.v1.demo.x", []byte(`"`+body+`"`)); err != nil {
		t.Fatal(err)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// calmly attaches one at a time and waits for the message of each.
type calmly struct {
	client  *client
	request func(int, int) request
	conn    *nats.Conn
	arrived chan time.Time
	sent    int
}

func openCalm(s *system) (*calmly, error) {
	conn, arrived, err := listen(s.nats, attachedSubject)
	if err != nil {
		return nil, err
	}
	return &calmly{client: dial(s.address), request: s.attaches(), conn: conn, arrived: arrived}, nil
}

func (c *calmly) close() {
	c.client.close()
	c.conn.Close()
}

// send attaches and returns how long after the answer the message arrived; it may
// have been there before.
func (c *calmly) send(ctx context.Context) (time.Duration, error) {
	r := c.request(0, c.sent)
	c.sent++
	if err := c.client.expect(ctx, r, 201); err != nil {
		return 0, err
	}
	answered := time.Now()
	at, err := next(ctx, c.arrived)
	return at.Sub(answered), err
}

// bare is a NATS server like pmledger's, that syncs every message, with a stream
// like pmledger's, and nothing else.
type bare struct {
	server          *server.Server
	inside, outside *nats.Conn
	arrived         chan time.Time
}

func openBare(ctx context.Context, dir string) (*bare, error) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(dir, "bare"), SyncAlways: true, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return nil, err
	}
	s.Start()
	b := &bare{server: s}
	if !s.ReadyForConnections(10 * time.Second) {
		b.close()
		return nil, errors.New("the bare NATS server does not start")
	}
	if err := b.connect(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bare) connect(ctx context.Context) (err error) {
	if b.inside, err = nats.Connect("", nats.InProcessServer(b.server)); err != nil {
		return err
	}
	js, err := jetstream.New(b.inside)
	if err != nil {
		return err
	}
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: "BARE", Subjects: []string{"in.>"}, Storage: jetstream.FileStorage,
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: "in.>", Destination: "out.>"},
		RePublish:        &jetstream.RePublish{Source: "out.>", Destination: "out.>"},
	})
	if err != nil {
		return err
	}
	b.outside, b.arrived, err = listen(b.server.ClientURL(), "out.>")
	return err
}

func (b *bare) close() {
	if b.inside != nil {
		b.inside.Close()
	}
	if b.outside != nil {
		b.outside.Close()
	}
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

// send publishes as many bytes as an event of ours has and returns how long it
// took to a plain subscriber.
func (b *bare) send(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	if err := b.inside.Publish("in.demo.event", make([]byte, 1500)); err != nil {
		return 0, err
	}
	at, err := next(ctx, b.arrived)
	return at.Sub(began), err
}

// listen subscribes and tells when messages arrive.
func listen(url, subject string) (*nats.Conn, chan time.Time, error) {
	conn, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	arrived := make(chan time.Time, 64)
	_, err = conn.Subscribe(subject, func(*nats.Msg) { arrived <- time.Now() })
	if err == nil {
		err = conn.Flush()
	}
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("subscribing to %s: %w", subject, err)
	}
	return conn, arrived, nil
}

func next(ctx context.Context, arrived <-chan time.Time) (time.Time, error) {
	select {
	case at := <-arrived:
		return at, nil
	case <-time.After(10 * time.Second):
		return time.Time{}, errors.New("no message arrived")
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

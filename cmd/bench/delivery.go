package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// pace is the time between two messages when nothing else is going on.
const pace = 5 * time.Millisecond

// delivered measures, one message at a time, how long after the commit a plain
// subscriber has the event. The commit is not visible from outside: it is taken
// to lie half a bare request before the answer arrives.
func delivered(ctx context.Context, p *product, count int, halfRequest time.Duration) ([]time.Duration, error) {
	conn, err := nats.Connect(p.nats)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	arrived := make(chan time.Time, 64)
	if _, err := conn.Subscribe("pm.v1.demo.customer.payment_method_attached", func(*nats.Msg) { arrived <- time.Now() }); err != nil {
		return nil, err
	}
	if err := conn.Flush(); err != nil {
		return nil, err
	}
	c := dial(p.http)
	defer c.close()
	customer := fmt.Sprintf("delivery_%d", time.Now().UnixNano())
	var all []time.Duration
	for n := range count {
		status, err := c.do(ctx, attachRequest(customer, fmt.Sprintf("tok_visa_fp_%d", n), ""))
		answered := time.Now()
		if err != nil || status != 201 {
			return nil, fmt.Errorf("attach answered %d, %v", status, err)
		}
		select {
		case at := <-arrived:
			all = append(all, at.Sub(answered)+halfRequest)
		case <-time.After(10 * time.Second):
			return nil, errors.New("no message arrived")
		}
		time.Sleep(pace)
	}
	slices.Sort(all)
	return all, nil
}

// bareDelivery measures one publish at a time to a stream like ours, on a server
// like ours that syncs every message, until a plain subscriber has it.
func bareDelivery(ctx context.Context, dir string, count int) ([]time.Duration, error) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(dir, "bare"), SyncAlways: true, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return nil, err
	}
	s.Start()
	defer func() { s.Shutdown(); s.WaitForShutdown() }()
	if !s.ReadyForConnections(10 * time.Second) {
		return nil, errors.New("the bare NATS server does not start")
	}
	inside, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return nil, err
	}
	defer inside.Close()
	outside, err := nats.Connect(s.ClientURL())
	if err != nil {
		return nil, err
	}
	defer outside.Close()
	js, err := jetstream.New(inside)
	if err != nil {
		return nil, err
	}
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: "BARE", Subjects: []string{"in.>"}, Storage: jetstream.FileStorage,
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: "in.>", Destination: "out.>"},
		RePublish:        &jetstream.RePublish{Source: "out.>", Destination: "out.>"},
	})
	if err != nil {
		return nil, err
	}
	arrived := make(chan time.Time, 64)
	if _, err := outside.Subscribe("out.>", func(*nats.Msg) { arrived <- time.Now() }); err != nil {
		return nil, err
	}
	if err := outside.Flush(); err != nil {
		return nil, err
	}
	return publishBare(inside, arrived, count)
}

func publishBare(conn *nats.Conn, arrived <-chan time.Time, count int) ([]time.Duration, error) {
	body := make([]byte, 1500) // an event of ours
	var all []time.Duration
	for range count {
		began := time.Now()
		if err := conn.Publish("in.demo.event", body); err != nil {
			return nil, err
		}
		select {
		case at := <-arrived:
			all = append(all, at.Sub(began))
		case <-time.After(10 * time.Second):
			return nil, errors.New("no bare message arrived")
		}
		time.Sleep(pace)
	}
	slices.Sort(all)
	return all, nil
}

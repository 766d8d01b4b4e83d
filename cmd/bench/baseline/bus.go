package baseline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	input  = "_b.in.v1."
	public = "pm.v1."
	// singlesMax is up to how many messages go out one by one, each with its own
	// acknowledgement. More go as one atomic batch, which costs one sync.
	singlesMax = 15
)

// bus is an embedded NATS server that syncs every message, with a stream that
// shows subscribers only what it has stored, as pmledger's.
type bus struct {
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
}

func openBus(ctx context.Context, dir string) (*bus, error) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(dir, "nats"), SyncAlways: true, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return nil, err
	}
	s.Start()
	b := &bus{server: s}
	if !s.ReadyForConnections(10 * time.Second) {
		b.close()
		return nil, errors.New("the NATS server does not start")
	}
	if b.conn, err = nats.Connect("", nats.InProcessServer(s)); err != nil {
		b.close()
		return nil, err
	}
	if b.js, err = jetstream.New(b.conn); err == nil {
		_, err = b.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: "B_EVENTS", Subjects: []string{input + ">"}, Storage: jetstream.FileStorage, Duplicates: 10 * time.Second, AllowAtomicPublish: true,
			SubjectTransform: &jetstream.SubjectTransformConfig{Source: input + ">", Destination: public + ">"},
			RePublish:        &jetstream.RePublish{Source: public + ">", Destination: public + ">"},
		})
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bus) url() string { return b.server.ClientURL() }

func (b *bus) close() {
	if b.conn != nil {
		b.conn.Close()
	}
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

// publish returns when JetStream has stored all messages.
func (b *bus) publish(ctx context.Context, messages []*nats.Msg) error {
	if len(messages) > singlesMax {
		return b.batch(ctx, messages)
	}
	var acks []jetstream.PubAckFuture
	for _, m := range messages {
		ack, err := b.js.PublishMsgAsync(m)
		if err != nil {
			return err
		}
		acks = append(acks, ack)
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// batch publishes all or nothing. The ids of its messages are not looked at for
// duplicates: after a crash a batch may be there twice.
func (b *bus) batch(ctx context.Context, messages []*nats.Msg) error {
	id := nuid.Next()
	for i, m := range messages {
		m.Header.Del(nats.MsgIdHdr)
		m.Header.Set("Nats-Batch-Id", id)
		m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		if i < len(messages)-1 {
			if err := b.conn.PublishMsg(m); err != nil {
				return err
			}
		}
	}
	last := messages[len(messages)-1]
	last.Header.Set("Nats-Batch-Commit", "1")
	answer, err := b.conn.RequestMsgWithContext(ctx, last)
	if err != nil {
		return err
	}
	var ack struct {
		Count int `json:"count"`
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return err
	}
	if ack.Error != nil || ack.Count != len(messages) {
		return fmt.Errorf("JetStream answered to a batch of %d: %s", len(messages), answer.Data)
	}
	return nil
}

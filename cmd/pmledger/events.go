package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/projections/publisher"
)

func (p *program) eventsCommand() *cobra.Command {
	return group("events", "Watch published events, export the log", p.eventsTailCommand(), p.eventsExportCommand())
}

func (p *program) eventsTailCommand() *cobra.Command {
	var subject string
	var fromStart bool
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print published events as they happen, one JSON body a line",
		Long: "Connects to NATS and prints the body of every event as it is published, until it is\n" +
			"interrupted. NATS is --nats-url, or else --nats-listen, or else 127.0.0.1:4222.\n" +
			"The log of a running server belongs to that server; this command does not need it.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.settings(cmd)
			if err != nil {
				return err
			}
			return p.tail(cmd.Context(), s.Config, subject, fromStart)
		},
	}
	cmd.Flags().StringVar(&subject, "subject", "pm.v1.>", "which events: pm.v1.<organization>.<type>, * and > as wildcards")
	cmd.Flags().BoolVar(&fromStart, "from-start", false, "print what was published before, too")
	return cmd
}

// busAddress is where a client of the configured bus connects, with the
// credentials that this machine has for it.
func busAddress(c Config) (string, []nats.Option, error) {
	options := []nats.Option{nats.Name("pmledger events tail"), nats.MaxReconnects(-1)}
	if c.NATSURL != "" {
		return c.NATSURL, options, nil
	}
	address := c.NATSListen
	if address == "" {
		address = "127.0.0.1:4222"
	}
	if exists(c.NATSPasswordPath()) {
		password, err := readOrMake(c.NATSPasswordPath(), nil)
		if err != nil {
			return "", nil, err
		}
		options = append(options, nats.UserInfo(natsUser, password))
	}
	return "nats://" + address, options, nil
}

func (p *program) tail(ctx context.Context, c Config, subject string, fromStart bool) error {
	address, options, err := busAddress(c)
	if err != nil {
		return err
	}
	conn, err := nats.Connect(address, options...)
	if err != nil {
		return fmt.Errorf("no NATS server answers at %s: start the server with --nats-listen, or name the cluster with --nats-url: %w", redactURLs(address), err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	policy := jetstream.DeliverNewPolicy
	if fromStart {
		policy = jetstream.DeliverAllPolicy
	}
	consumer, err := js.OrderedConsumer(ctx, publisher.StreamName, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, DeliverPolicy: policy,
	})
	if err != nil {
		return fmt.Errorf("the stream %s cannot be read: %w", publisher.StreamName, err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	for {
		m, err := messages.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := p.stdout.Write(append(bytes.Clone(m.Data()), '\n')); err != nil {
			return err
		}
	}
}

func (p *program) eventsExportCommand() *cobra.Command {
	var after string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write every record of the log as JSON Lines",
		Long: "Writes the log to stdout, one record a line, oldest first:\n" +
			"  {\"position\":…,\"stream\":…,\"version\":…,\"id\":…,\"type\":…,\"time\":…,\"data\":{…},\"metadata\":{…}}\n" +
			"data and metadata are the exact stored bytes, not written anew, so the hash of a\n" +
			"record can be computed from its line. It opens the log: the server must be stopped.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			position, err := eventstore.ParsePosition(after)
			if err != nil {
				return usageError{fmt.Errorf("--after: %w", err)}
			}
			return p.onLedger(cmd, openExisting, func(ctx context.Context, t *truth) error {
				n, err := export(ctx, t.store, position, p.stdout)
				p.say("exported %d records", n)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&after, "after", "0", "begin after this position")
	return cmd
}

// export writes the records after the given position, up to the head as of the
// call, as JSON Lines, and returns how many it wrote.
func export(ctx context.Context, store eventstore.Store, after eventstore.Position, to io.Writer) (int, error) {
	head, err := store.Head(ctx)
	if err != nil || head <= after {
		return 0, err
	}
	out := bufio.NewWriterSize(to, 1<<16)
	n := 0
	var line []byte
	for batch, err := range store.Follow(ctx, after) {
		if err != nil {
			return n, errors.Join(err, out.Flush())
		}
		for _, r := range batch {
			if r.Position > head {
				return n, out.Flush()
			}
			if line, err = appendExported(line[:0], r); err != nil {
				return n, errors.Join(err, out.Flush())
			}
			if _, err := out.Write(line); err != nil {
				return n, err
			}
			n++
		}
		if batch[len(batch)-1].Position == head {
			break
		}
	}
	return n, out.Flush()
}

// appendExported appends a record's line. The stored bytes go into it as they
// are; bytes that are not one line of JSON were never written by a ledger.
func appendExported(b []byte, r eventstore.Record) ([]byte, error) {
	meta, err := eventstore.DecodeMetadata(r.Metadata)
	if err != nil {
		return b, fmt.Errorf("position %d: %w", r.Position, err)
	}
	for _, part := range [][]byte{r.Data, r.Metadata} {
		if !json.Valid(part) || bytes.ContainsAny(part, "\r\n") || len(bytes.TrimSpace(part)) != len(part) {
			return b, fmt.Errorf("position %d: the stored bytes are not JSON on one line; pmledger history verify tells more", r.Position)
		}
	}
	b = append(b, `{"position":`...)
	b = strconv.AppendUint(b, uint64(r.Position), 10)
	b = append(b, `,"stream":`...)
	b = appendText(b, r.Stream)
	b = append(b, `,"version":`...)
	b = strconv.AppendUint(b, r.Version, 10)
	b = append(b, `,"id":"`+r.ID.String()+`","type":`...)
	b = appendText(b, r.Type)
	b = append(b, `,"time":"`...)
	b = meta.Time.AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, `","data":`...)
	b = append(b, r.Data...)
	b = append(b, `,"metadata":`...)
	b = append(b, r.Metadata...)
	return append(b, '}', '\n'), nil
}

func appendText(b []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // marshalling a string cannot fail
	return append(b, quoted...)
}

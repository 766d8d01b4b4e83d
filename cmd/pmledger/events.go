package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/pmledger/pmledger/projections/publisher"
)

func (p *program) eventsCommand() *cobra.Command {
	return group("events", "Watch published events, export the log, import it into another store",
		p.eventsTailCommand(), p.eventsExportCommand(), p.eventsImportCommand())
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
			return p.tail(cmd.Context(), s, subject, fromStart)
		},
	}
	cmd.Flags().StringVar(&subject, "subject", "pm.v1.>", "which events: pm.v1.<organization>.<type>, * and > as wildcards")
	cmd.Flags().BoolVar(&fromStart, "from-start", false, "print what was published before, too")
	return cmd
}

func (p *program) tail(ctx context.Context, s Settings, subject string, fromStart bool) error {
	conn, js, err := p.dialBus(s, "pmledger events tail")
	if err != nil {
		return err
	}
	defer conn.Close()
	consumer, err := tailConsumer(ctx, js, subject, fromStart)
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

// tailConsumer begins at a message of the stream, not at whatever is new: the
// consumer is made again when the server restarts, and what was published meanwhile
// must not be missed.
func tailConsumer(ctx context.Context, js jetstream.JetStream, subject string, fromStart bool) (jetstream.Consumer, error) {
	stream, err := js.Stream(ctx, publisher.StreamName)
	if err != nil {
		return nil, err
	}
	first := uint64(1)
	if !fromStart {
		first = stream.CachedInfo().State.LastSeq + 1
	}
	return stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: first,
	})
}

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

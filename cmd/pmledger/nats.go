package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/pmledger/pmledger/projections/publisher"
)

// adminTimeout bounds one command that changes or lists consumers.
const adminTimeout = 10 * time.Second

func (p *program) natsCommand() *cobra.Command {
	return group("nats", "Consumers and permissions on NATS",
		group("consumer", "The durable consumers of organizations",
			p.consumerAddCommand(), p.consumerListCommand(), p.consumerRemoveCommand(), p.consumerPermissionsCommand()),
		p.natsPermissionsCommand(), p.natsAccountsCommand())
}

// onNATS runs fn with a connection to the configured bus.
func (p *program) onNATS(cmd *cobra.Command, fn func(ctx context.Context, js jetstream.JetStream) error) error {
	s, err := p.settings(cmd)
	if err != nil {
		return err
	}
	conn, js, err := p.dialBus(s, "pmledger nats")
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), adminTimeout)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	// A request that is not permitted gets no answer, only this.
	conn.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { end(err) })
	err = fn(ctx, js)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

const consumerNameUsage = "tells several consumers of one organization apart; empty: its first one"

func (p *program) consumerAddCommand() *cobra.Command {
	var c publisher.Consumer
	var change bool
	cmd := &cobra.Command{
		Use:   "add <organization> [--name <name>] [--filter <type>]…",
		Short: "Make a durable pull consumer of an organization's events",
		Long: "Makes a durable pull consumer on the stream PM_EVENTS: explicit acknowledgements,\n" +
			"from the organization's first event on, delivered again after 30 s, 1, 2, 5 and then\n" +
			"every 10 minutes until it is acknowledged. Its name is <organization>, or\n" +
			"<organization>+<name>. Made again with the same settings it stays as it is.\n\n" +
			"It needs a user that may administer the stream: on a server of --nats-url one with\n" +
			"$JS.API.CONSUMER.>, not the publisher's. The readers need no such right: see\n" +
			"pmledger nats consumer permissions.",
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.Organization = args[0]
			if err := checkConsumer(c); err != nil {
				return err
			}
			return p.onNATS(cmd, func(ctx context.Context, js jetstream.JetStream) error {
				info, err := publisher.AddConsumer(ctx, js, c, change)
				if errors.Is(err, publisher.ErrConsumerDiffers) {
					return fmt.Errorf("%w; --change gives it these and keeps its place", err)
				}
				if err != nil {
					return err
				}
				if p.json {
					return p.printJSON(showConsumer(info))
				}
				p.say("consumer %s of the stream %s delivers %s", info.Name, publisher.StreamName, strings.Join(filters(info), ", "))
				if info.NumPending == 0 && info.Delivered.Stream == 0 {
					p.say("the stream has no such event yet; if it should, check the organization and the types")
				}
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Name, "name", "", consumerNameUsage)
	f.StringArrayVar(&c.Types, "filter", nil, "only this event type, such as payment_method.expiring or payment_method.*; may be given again")
	f.IntVar(&c.MaxAckPending, "max-ack-pending", 1, "messages that may be unacknowledged at a time; with more than 1 one that is delivered again comes out of order")
	f.BoolVar(&change, "change", false, "give a consumer that is there these settings; it keeps its place")
	return cmd
}

// checkConsumer makes a fault in a consumer's description a usageError.
func checkConsumer(c publisher.Consumer) error {
	if err := c.Validate(); err != nil {
		return usageError{err}
	}
	return nil
}

// shownConsumer is a consumer as the nats consumer commands print it with --json.
type shownConsumer struct {
	Name          string   `json:"name"`
	Organization  string   `json:"organization_id"` // "" when it was made by other means
	Filters       []string `json:"filter_subjects"`
	MaxAckPending int      `json:"max_ack_pending"`
	Pending       uint64   `json:"pending"`      // messages not delivered yet
	Unacked       int      `json:"ack_pending"`  // delivered, not acknowledged
	Redelivered   int      `json:"redelivered"`  // of those, delivered more than once
	Acknowledged  uint64   `json:"ack_sequence"` // everything up to this sequence is acknowledged
	Paused        bool     `json:"paused"`
}

func showConsumer(info *jetstream.ConsumerInfo) shownConsumer {
	return shownConsumer{
		Name: info.Name, Organization: publisher.OrganizationOf(info), Filters: filters(info), MaxAckPending: info.Config.MaxAckPending,
		Pending: info.NumPending, Unacked: info.NumAckPending, Redelivered: info.NumRedelivered, Acknowledged: info.AckFloor.Stream, Paused: info.Paused,
	}
}

func filters(info *jetstream.ConsumerInfo) []string {
	switch {
	case len(info.Config.FilterSubjects) > 0:
		return info.Config.FilterSubjects
	case info.Config.FilterSubject != "":
		return []string{info.Config.FilterSubject}
	}
	return []string{">"}
}

func (p *program) consumerListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the durable consumers and how far they are", Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.onNATS(cmd, func(ctx context.Context, js jetstream.JetStream) error {
				all, err := publisher.ListConsumers(ctx, js)
				if err != nil {
					return err
				}
				shown := []shownConsumer{}
				for _, info := range all {
					shown = append(shown, showConsumer(info))
				}
				if p.json {
					return p.printJSON(shown)
				}
				table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "NAME\tORGANIZATION\tPENDING\tUNACKED\tREDELIVERED\tFILTERS")
				for _, c := range shown {
					organization := c.Organization
					if organization == "" {
						organization = "-"
					}
					fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%s\n", c.Name, organization, c.Pending, c.Unacked, c.Redelivered, strings.Join(c.Filters, ","))
				}
				return table.Flush()
			})
		},
	}
}

func (p *program) consumerRemoveCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "rm <organization> [--name <name>]", Short: "Delete a durable consumer, and with it its place", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkConsumer(publisher.Consumer{Organization: args[0], Name: name}); err != nil {
				return err
			}
			return p.onNATS(cmd, func(ctx context.Context, js jetstream.JetStream) error {
				if err := publisher.RemoveConsumer(ctx, js, args[0], name); err != nil {
					return err
				}
				p.say("consumer %s is deleted", publisher.ConsumerName(args[0], name))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", consumerNameUsage)
	return cmd
}

// shownPermissions are a user's permissions as printed with --json.
type shownPermissions struct {
	Stream      string                `json:"stream"`
	Consumer    string                `json:"consumer,omitempty"`
	InboxPrefix string                `json:"inbox_prefix,omitempty"`
	Permissions publisher.Permissions `json:"permissions"`
}

func (p *program) consumerPermissionsCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "permissions <organization> [--name <name>]",
		Short: "Print what a reader of an organization's events must be permitted",
		Long: "Prints a user for the configuration of nats-server that can read one organization's\n" +
			"events with its durable consumer, start it over, and listen to them live; and nothing\n" +
			"else. Its client must take the inbox prefix that is printed with it. The user belongs\n" +
			"into an account without the stream: see pmledger nats accounts. It connects to nothing.",
		Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkConsumer(publisher.Consumer{Organization: args[0], Name: name}); err != nil {
				return err
			}
			shown := shownPermissions{
				Stream: publisher.StreamName, Consumer: publisher.ConsumerName(args[0], name),
				InboxPrefix: publisher.InboxPrefix(args[0]), Permissions: publisher.ConsumerPermissions(args[0], name),
			}
			if p.json {
				return p.printJSON(shown)
			}
			_, err := fmt.Fprintf(p.stdout, "# stream %s, consumer %s; clients: custom inbox prefix %s\n%s\n",
				shown.Stream, shown.Consumer, shown.InboxPrefix, shown.Permissions.User(shown.Consumer))
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", consumerNameUsage)
	return cmd
}

func (p *program) natsPermissionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "permissions",
		Short: "Print what the user of --nats-url must be permitted",
		Long: "Prints the least that pmledger serve needs at --nats-url: to make the stream, fill it\n" +
			"and read its end. It connects to nothing.",
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			permissions := publisher.PublisherPermissions()
			if p.json {
				return p.printJSON(shownPermissions{Stream: publisher.StreamName, Permissions: permissions})
			}
			_, err := fmt.Fprintln(p.stdout, permissions.User("publisher"))
			return err
		},
	}
}

// shownAccounts hold the block as text: it is in nats-server's own language.
type shownAccounts struct {
	Accounts string `json:"accounts"`
}

func (p *program) natsAccountsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "accounts",
		Short: "Print the accounts that an external NATS should have",
		Long: "Prints the accounts block for the configuration of nats-server: one account with the\n" +
			"stream, its publisher and an administrator, and one for readers, who see the stream\n" +
			"through it. It connects to nothing.",
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			if p.json {
				return p.printJSON(shownAccounts{publisher.AccountsConfig()})
			}
			_, err := fmt.Fprintln(p.stdout, publisher.AccountsConfig())
			return err
		},
	}
}

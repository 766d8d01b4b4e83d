package publisher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/projections"
)

// consumerOrganization is where a consumer's metadata names its organization.
const consumerOrganization = "pmledger.organization"

// ErrConsumerDiffers: there is a consumer of that name with other settings.
var ErrConsumerDiffers = errors.New("the consumer is there with other settings")

// ErrNoConsumer: there is no consumer of that name.
var ErrNoConsumer = errors.New("there is no such consumer")

// Consumer is a durable pull consumer of one organization's events. It lives on the
// NATS server: it keeps the place of its reader and delivers again what was not
// acknowledged.
type Consumer struct {
	// Organization whose events it delivers: [A-Za-z0-9_-]{1,64}.
	Organization string
	// Name tells several consumers of one organization apart, in the same alphabet;
	// "" is the organization's first one.
	Name string
	// Types are the public event types to deliver, or patterns such as
	// payment_method.*; none is all of them.
	Types []string
	// MaxAckPending is how many messages may be unacknowledged at a time; 0 is 1,
	// the only number with which a message that is delivered again cannot come
	// after a later one.
	MaxAckPending int
}

// ConsumerName is the name of an organization's consumer on the server. The + is in
// no organization's name, so no two organizations can have consumers of one name.
func ConsumerName(organization, name string) string {
	if name == "" {
		return organization
	}
	return organization + "+" + name
}

func organizationSubjects(organization string) string {
	return projections.SubjectPrefix + organization + ".>"
}

// Validate names everything that is wrong with a consumer's description, one fault
// a line. Nothing of it may go into a subject before.
func (c Consumer) Validate() error {
	var faults []error
	if !domain.ValidOrganization(c.Organization) {
		faults = append(faults, fmt.Errorf("organization %q: 1 to 64 letters, digits, _ or -", c.Organization))
	}
	if c.Name != "" && !domain.ValidOrganization(c.Name) {
		faults = append(faults, fmt.Errorf("name %q: 1 to 64 letters, digits, _ or -", c.Name))
	}
	for i, t := range c.Types {
		if !validTypePattern(t) {
			faults = append(faults, fmt.Errorf("filter %q: a public event type such as payment_method.expiring, or a pattern such as payment_method.*", t))
		} else if slices.ContainsFunc(c.Types[:i], func(other string) bool { return overlap(other, t) }) {
			faults = append(faults, fmt.Errorf("filter %q: an earlier one covers some of it already", t))
		}
	}
	if c.MaxAckPending < 0 || c.MaxAckPending > maxAckPendingMost {
		faults = append(faults, fmt.Errorf("max-ack-pending %d: 1 to %d", c.MaxAckPending, maxAckPendingMost))
	}
	return errors.Join(faults...)
}

// maxAckPendingMost is what a server allows a consumer without being told more.
const maxAckPendingMost = 1000

// validTypePattern accepts two names in lower case with a point between them, of
// which the second may be *.
func validTypePattern(t string) bool {
	resource, what, ok := strings.Cut(t, ".")
	return ok && typeToken(resource) && (what == "*" || typeToken(what))
}

func typeToken(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// overlap reports whether two valid patterns have an event type in common; the
// server refuses such a pair.
func overlap(a, b string) bool {
	resourceA, whatA, _ := strings.Cut(a, ".")
	resourceB, whatB, _ := strings.Cut(b, ".")
	return resourceA == resourceB && (whatA == whatB || whatA == "*" || whatB == "*")
}

// redelivery is how long the server waits for an acknowledgement, the first time
// and each time after; the last goes on for good.
func redelivery() []time.Duration {
	return []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute}
}

func (c Consumer) config() jetstream.ConsumerConfig {
	config := jetstream.ConsumerConfig{
		Name: ConsumerName(c.Organization, c.Name), Durable: ConsumerName(c.Organization, c.Name),
		Description:   "events of " + c.Organization,
		AckPolicy:     jetstream.AckExplicitPolicy,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		MaxAckPending: max(c.MaxAckPending, 1), MaxDeliver: -1, BackOff: redelivery(),
		Metadata: map[string]string{consumerOrganization: c.Organization},
	}
	for _, t := range c.Types {
		config.FilterSubjects = append(config.FilterSubjects, projections.SubjectPrefix+c.Organization+"."+t)
	}
	if len(c.Types) < 2 {
		config.FilterSubject = strings.Join(append(config.FilterSubjects, organizationSubjects(c.Organization))[:1], "")
		config.FilterSubjects = nil
	}
	return config
}

// AddConsumer makes the consumer, which begins with the organization's first event.
// One that is there with the same settings is left alone; with others the error is
// ErrConsumerDiffers, unless change is set: then it gets the new settings and keeps
// its place. The description must be valid.
func AddConsumer(ctx context.Context, js jetstream.JetStream, c Consumer, change bool) (*jetstream.ConsumerInfo, error) {
	name := ConsumerName(c.Organization, c.Name)
	var consumer jetstream.Consumer
	var err error
	if change {
		consumer, err = js.CreateOrUpdateConsumer(ctx, StreamName, c.config())
	} else {
		consumer, err = js.CreateConsumer(ctx, StreamName, c.config())
	}
	switch {
	case errors.Is(err, jetstream.ErrConsumerExists):
		return nil, fmt.Errorf("%w: %s", ErrConsumerDiffers, name)
	case err != nil:
		return nil, fmt.Errorf("the consumer %s cannot be made: %w", name, noStream(err))
	}
	return consumer.CachedInfo(), nil
}

// RemoveConsumer deletes the consumer and its place. The error is ErrNoConsumer
// when there is none.
func RemoveConsumer(ctx context.Context, js jetstream.JetStream, organization, name string) error {
	err := js.DeleteConsumer(ctx, StreamName, ConsumerName(organization, name))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("%w: %s", ErrNoConsumer, ConsumerName(organization, name))
	}
	return noStream(err)
}

// ListConsumers returns the durable consumers of the stream by name, whoever made
// them.
func ListConsumers(ctx context.Context, js jetstream.JetStream) ([]*jetstream.ConsumerInfo, error) {
	stream, err := js.Stream(ctx, StreamName)
	if err != nil {
		return nil, noStream(err)
	}
	var all []*jetstream.ConsumerInfo
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		if info.Config.Durable != "" {
			all = append(all, info)
		}
	}
	slices.SortFunc(all, func(a, b *jetstream.ConsumerInfo) int { return strings.Compare(a.Name, b.Name) })
	return all, list.Err()
}

// OrganizationOf is the organization that a consumer was made for, "" when it was
// not made by AddConsumer.
func OrganizationOf(info *jetstream.ConsumerInfo) string {
	return info.Config.Metadata[consumerOrganization]
}

func noStream(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("the stream %s is not there yet; a running pmledger serve makes it: %w", StreamName, err)
	}
	return unavailable(err)
}

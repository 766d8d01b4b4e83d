package domain

import (
	"maps"
	"time"
)

// State is what a stream's events fold into: a Customer, an Organization or the
// Claim of a subscription.
type State interface {
	// Evolve folds the next event of the stream, which happened at the given
	// time. Facts cannot fail.
	Evolve(e Event, at time.Time)
	// Decide answers a command, given all that happened before, with the events
	// that follow or with a refusal (*Error). No events and no error: the
	// command is accepted and changes nothing.
	Decide(cmd Command, now time.Time) ([]Event, error)
	// Clone returns a copy that can evolve without touching the original.
	Clone() State
}

// NewState returns the state of a stream without events.
func NewState(stream string) State {
	category, organization, customer := StreamOwner(stream)
	if category == "organization" {
		return &Organization{ID: organization, Settings: DefaultSettings()}
	}
	if category == "subscription" {
		return &Claim{Organization: organization, ID: customer}
	}
	return &Customer{
		Organization: organization, ID: customer, Methods: map[MethodID]*Method{},
		SetupIntents: map[SetupIntentID]*SetupIntent{}, Subscriptions: map[string]Subscription{},
	}
}

// Customer is the state of one customer's stream: every method that was ever
// attached, and which of them is the default.
type Customer struct {
	Organization  string
	ID            string // "" in the stream of a method without a customer
	Version       uint64 // count of events folded
	Methods       map[MethodID]*Method
	Default       MethodID // "" for none
	SetupIntents  map[SetupIntentID]*SetupIntent
	Subscriptions map[string]Subscription
}

// Evolve folds an event into the customer. It takes any event; what it makes of
// one that Contradiction names means nothing, but is no panic either.
func (c *Customer) Evolve(e Event, at time.Time) {
	c.Version++
	first, second := methodsOf(e)
	c.evolveMethod(first, e, at)
	c.evolveMethod(second, e, at)
	c.evolveSetupIntent(e, at)
	if changed, ok := e.(DefaultChanged); ok {
		c.Default = changed.To
	}
	c.evolveSubscription(e)
}

func (c *Customer) evolveMethod(id MethodID, e Event, at time.Time) {
	if id == "" {
		return
	}
	if next := c.Methods[id].Evolve(id, e, at, c.Version); next != nil {
		c.Methods[id] = next
	}
}

func (c *Customer) evolveSetupIntent(e Event, at time.Time) {
	id := SetupIntentOf(e)
	if id == "" {
		return
	}
	if next := c.SetupIntents[id].Evolve(e, at, c.Version); next != nil {
		c.SetupIntents[id] = next
	}
}

// Clone returns a copy that can evolve alone. Methods and setup intents are
// shared: they never change.
func (c *Customer) Clone() State {
	next := *c
	next.Methods, next.SetupIntents = maps.Clone(c.Methods), maps.Clone(c.SetupIntents)
	next.Subscriptions = maps.Clone(c.Subscriptions)
	return &next
}

// with returns the map with one entry set; the map that was shown stays as it is.
func with[K comparable, V any](m map[K]V, key K, value V) map[K]V {
	next := make(map[K]V, len(m)+1)
	maps.Copy(next, m)
	next[key] = value
	return next
}

// Attached counts the methods that belong to the customer now.
func (c *Customer) Attached() int {
	n := 0
	for _, m := range c.Methods {
		if m.Attached() {
			n++
		}
	}
	return n
}

// attached finds a method that a command may change.
func (c *Customer) attached(id MethodID) (*Method, error) {
	m, ok := c.Methods[id]
	if !ok {
		return nil, Refuse(CodeMethodNotFound, "there is no payment method %s", id)
	}
	if !m.Attached() {
		return nil, Refuse(CodeMethodDetached, "payment method %s is detached; a detached method cannot be changed", id)
	}
	return m, nil
}

// duplicateOf finds the attached method with the same fingerprint, other than the
// one named. If policy allowed several, the oldest one is the answer. A method
// that failed was never usable, and keeps nobody from trying again.
func (c *Customer) duplicateOf(fingerprint string, other MethodID) *Method {
	var found *Method
	for _, m := range c.Methods {
		if fingerprint == "" || m.Fingerprint != fingerprint || m.ID == other || !m.Attached() || m.Status == StatusFailed {
			continue
		}
		if found == nil || m.CreatedAt.Before(found.CreatedAt) || m.CreatedAt.Equal(found.CreatedAt) && m.ID < found.ID {
			found = m
		}
	}
	return found
}

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
	return &Customer{Organization: organization, ID: customer, Methods: map[MethodID]*Method{}}
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
	for _, id := range MethodsOf(e) {
		if next := c.Methods[id].Evolve(id, e, at, c.Version); next != nil {
			c.Methods[id] = next
		}
	}
	if id := SetupIntentOf(e); id != "" {
		c.SetupIntents = with(c.SetupIntents, id, c.SetupIntents[id].Evolve(e, at, c.Version))
	}
	if changed, ok := e.(DefaultChanged); ok {
		c.Default = changed.To
	}
	c.evolveSubscription(e)
}

// Clone returns a copy that can evolve alone. Methods are shared: they never change.
func (c *Customer) Clone() State {
	next := *c
	next.Methods = maps.Clone(c.Methods)
	return &next
}

// with returns the map with one entry set; the map that was shown stays as it is.
func with[K comparable, V any](m map[K]V, key K, value V) map[K]V {
	next := make(map[K]V, len(m)+1)
	maps.Copy(next, m)
	next[key] = value
	return next
}

// without returns the map with one entry taken out.
func without[K comparable, V any](m map[K]V, key K) map[K]V {
	next := maps.Clone(m)
	delete(next, key)
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

// duplicateOf finds the attached method with the same fingerprint. If policy
// allowed several, the oldest one is the answer.
func (c *Customer) duplicateOf(fingerprint string) *Method {
	var found *Method
	for _, m := range c.Methods {
		if fingerprint == "" || m.Fingerprint != fingerprint || !m.Attached() {
			continue
		}
		if found == nil || m.CreatedAt.Before(found.CreatedAt) || m.CreatedAt.Equal(found.CreatedAt) && m.ID < found.ID {
			found = m
		}
	}
	return found
}

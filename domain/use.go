package domain

import (
	"slices"
	"strings"
	"time"
)

// Subscription is somebody else's object. The ledger knows its status and which
// payment method it names.
type Subscription struct {
	ID      string
	Status  string
	Method  MethodID // default_payment_method_id; "" when it uses the customer's default
	Version uint64   // of the customer's stream at its last change
}

// activeStatuses are those in which a subscription uses the method it names.
var activeStatuses = []string{"active", "trialing", "past_due"}

// Uses is the method that the subscription keeps from being detached, or "".
func (s Subscription) Uses() MethodID {
	if slices.Contains(activeStatuses, s.Status) {
		return s.Method
	}
	return ""
}

// SubscriptionUpdated: a subscription's status or its payment method changed.
// Taken and Released are the methods whose uses change with it. Never published.
type SubscriptionUpdated struct {
	Subscription string   `json:"subscription_id"`
	Status       string   `json:"status"`
	MethodID     MethodID `json:"default_payment_method_id,omitempty"`
	Taken        MethodID `json:"taken,omitempty"`
	Released     MethodID `json:"released,omitempty"`
}

// SubscriptionDeleted: the ledger need not know the subscription any more. Never published.
type SubscriptionDeleted struct {
	Subscription string   `json:"subscription_id"`
	Released     MethodID `json:"released,omitempty"`
}

// SubscriptionClaimed: a subscription belongs to a customer, for good. Never published.
type SubscriptionClaimed struct {
	Subscription string `json:"subscription_id"`
	Customer     string `json:"customer_id"`
}

// The names in the log.
func (SubscriptionUpdated) StoredName() string { return "subscription.updated" }
func (SubscriptionDeleted) StoredName() string { return "subscription.deleted" }
func (SubscriptionClaimed) StoredName() string { return "subscription.claimed" }

func (SubscriptionUpdated) event() {}
func (SubscriptionDeleted) event() {}
func (SubscriptionClaimed) event() {}

// SetSubscription says what a subscription uses now.
type SetSubscription struct {
	Subscription string
	Status       string
	MethodID     MethodID // "" for the customer's default
}

// DeleteSubscription forgets a subscription.
type DeleteSubscription struct{ Subscription string }

// ClaimSubscription fixes a subscription's customer.
type ClaimSubscription struct{ Customer string }

// CommandName is the command's name in records and logs.
func (SetSubscription) CommandName() string    { return "set_subscription" }
func (DeleteSubscription) CommandName() string { return "delete_subscription" }
func (ClaimSubscription) CommandName() string  { return "claim_subscription" }

// setSubscription refuses with payment_method.detached and validation.failed
// (a method of another customer). A subscription that no longer uses its detached
// method may go on naming it.
func (c *Customer) setSubscription(cmd SetSubscription) ([]Event, error) {
	s, known := c.Subscriptions[cmd.Subscription]
	s.ID = cmd.Subscription
	if known && s.Status == cmd.Status && s.Method == cmd.MethodID {
		return nil, nil
	}
	if cmd.MethodID != "" {
		m, ok := c.Methods[cmd.MethodID]
		if !ok {
			return nil, invalid("default_payment_method_id", "must name a payment method of this customer")
		}
		if !m.Attached() && (s.Method != m.ID || slices.Contains(activeStatuses, cmd.Status)) {
			return nil, Refuse(CodeMethodDetached, "payment method %s is detached; a subscription cannot use it", m.ID)
		}
	}
	return []Event{s.changed(cmd.Status, cmd.MethodID)}, nil
}

// changed is the event of a subscription going over to another status and method.
func (s Subscription) changed(status string, method MethodID) SubscriptionUpdated {
	e := SubscriptionUpdated{Subscription: s.ID, Status: status, MethodID: method}
	before, after := s.Uses(), Subscription{Status: status, Method: method}.Uses()
	if before != after {
		e.Taken, e.Released = after, before
	}
	return e
}

// deleteSubscription refuses with subscription.not_found.
func (c *Customer) deleteSubscription(cmd DeleteSubscription) ([]Event, error) {
	s, ok := c.Subscriptions[cmd.Subscription]
	if !ok {
		return nil, Refuse(CodeSubscriptionNotFound, "there is no subscription %s", cmd.Subscription)
	}
	return []Event{SubscriptionDeleted{Subscription: s.ID, Released: s.Uses()}}, nil
}

// subscriptionsOn are those that name the method, active or not, by id.
func (c *Customer) subscriptionsOn(id MethodID) []Subscription {
	var found []Subscription
	for _, s := range c.Subscriptions {
		if s.Method == id {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b Subscription) int { return strings.Compare(a.ID, b.ID) })
	return found
}

func (c *Customer) evolveSubscription(e Event) {
	switch e := e.(type) {
	case SubscriptionUpdated:
		c.Subscriptions[e.Subscription] = Subscription{ID: e.Subscription, Status: e.Status, Method: e.MethodID, Version: c.Version}
	case SubscriptionDeleted:
		delete(c.Subscriptions, e.Subscription)
	}
}

// evolveUse folds a change of use into a method. It tells whether e was one.
func (m *Method) evolveUse(e Event) bool {
	switch e := e.(type) {
	case SubscriptionUpdated:
		m.use(e.Subscription, e.Taken == m.ID)
	case SubscriptionDeleted:
		m.use(e.Subscription, false)
	default:
		return false
	}
	return true
}

func (m *Method) use(subscription string, on bool) {
	users := slices.Clone(m.InUseBy)
	i, found := slices.BinarySearch(users, subscription)
	switch {
	case on && !found:
		users = slices.Insert(users, i, subscription)
	case !on && found:
		users = slices.Delete(users, i, i+1)
	}
	if len(users) == 0 {
		users = nil
	}
	m.InUseBy = users
}

// Claim is the state of a subscription's stream: whose it is.
type Claim struct {
	Organization string
	ID           string
	Customer     string // "" until claimed
	Version      uint64
}

// Evolve folds an event into the claim.
func (s *Claim) Evolve(e Event, _ time.Time) {
	s.Version++
	if claimed, ok := e.(SubscriptionClaimed); ok {
		s.Customer = claimed.Customer
	}
}

// Clone returns a copy that can evolve alone.
func (s *Claim) Clone() State {
	next := *s
	return &next
}

// Decide refuses with subscription.customer_mismatch.
func (s *Claim) Decide(cmd Command, _ time.Time) ([]Event, error) {
	claim, ok := cmd.(ClaimSubscription)
	switch {
	case !ok:
		return nil, Refuse(CodeInternal, "a subscription does not know the command %s", cmd.CommandName())
	case s.Customer == "":
		return []Event{SubscriptionClaimed{Subscription: s.ID, Customer: claim.Customer}}, nil
	case s.Customer != claim.Customer:
		return nil, Refuse(CodeSubscriptionMismatch, "subscription %s belongs to another customer", s.ID)
	default:
		return nil, nil
	}
}

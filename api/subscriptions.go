package api

import (
	"context"
	"net/http"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
)

// SubscriptionRequest says what a subscription uses.
type SubscriptionRequest struct {
	CustomerID string                  `json:"customer_id" pattern:"^[A-Za-z0-9_.:@-]{1,128}$" patternDescription:"1 to 128 characters of A-Z a-z 0-9 _ . : @ -" example:"cus_1" doc:"Not . or .. Fixed by the first call"`
	Status     string                  `json:"status" pattern:"^[a-z][a-z_]{0,39}$" patternDescription:"a lower-case name such as active" example:"active" doc:"active, trialing and past_due keep the payment method from being detached"`
	MethodID   orNull[domain.MethodID] `json:"default_payment_method_id,omitzero" pattern:"^pm_[0-9a-f]{32}$" patternDescription:"the id of a payment method" doc:"null or left out: the customer's default"`
}

// Subscription is somebody else's object: what is known of it here.
type Subscription struct {
	ID         string           `json:"id" example:"sub_1"`
	Object     string           `json:"object" enum:"subscription" example:"subscription"`
	CustomerID string           `json:"customer_id" example:"cus_1"`
	Status     string           `json:"status" example:"active"`
	MethodID   *domain.MethodID `json:"default_payment_method_id"`
	Version    uint64           `json:"version" doc:"Of the customer's stream at the subscription's last change"`
}

func shownSubscription(s domain.Subscription, customer string) Subscription {
	shown := Subscription{ID: s.ID, Object: "subscription", CustomerID: customer, Status: s.Status, Version: s.Version}
	if s.Method != "" {
		shown.MethodID = &s.Method
	}
	return shown
}

func subscriptionNotFound() error {
	return domain.Refuse(domain.CodeSubscriptionNotFound, "there is no such subscription")
}

// subscriptionID is the id in the path. What may be a customer's name may be a
// subscription's.
func (c *call) subscriptionID() string {
	if !domain.ValidCustomer(c.params[0]) {
		c.add("path.id", "must be 1 to 128 characters of A-Z a-z 0-9 _ . : @ -")
	}
	return c.params[0]
}

// claimed is whose a subscription is, "" when it is nobody's yet.
func (c *call) claimed(id string) (string, error) {
	state, _, err := c.Ledger.State(c.request.Context(), domain.SubscriptionStream(c.who.organization, id))
	if err != nil {
		return "", err
	}
	return state.(*domain.Claim).Customer, nil
}

// putSubscription answers PUT /v1/subscriptions/{id}.
func putSubscription(c *call) error {
	id := c.subscriptionID()
	if err := c.checked(); err != nil {
		return err
	}
	body, err := bind[SubscriptionRequest](c)
	if err != nil {
		return err
	}
	if body.CustomerID == "." || body.CustomerID == ".." {
		c.add("body.customer_id", "must not be . or ..")
		return c.checked()
	}
	cmd := domain.SetSubscription{Subscription: id, Status: body.Status, MethodID: body.MethodID.or("")}
	stream := domain.CustomerStream(c.who.organization, body.CustomerID, "")
	if err := c.claim(id, body.CustomerID, stream, cmd); err != nil {
		return err
	}
	result, err := c.command(stream, cmd)
	if err != nil {
		return err
	}
	s := result.State.(*domain.Customer).Subscriptions[id]
	c.answer.Header()["Etag"] = []string{etagOf(s.Version)}
	return c.reply(http.StatusOK, shownSubscription(s, body.CustomerID))
}

// claim makes the subscription the customer's, for good. A request that would be
// refused claims nothing.
func (c *call) claim(id, customer, stream string, cmd domain.SetSubscription) error {
	owner, err := c.claimed(id)
	if err != nil {
		return err
	}
	if owner == "" {
		state, err := c.customerNow(stream)
		if err != nil {
			return err
		}
		now, err := c.present()
		if err != nil {
			return err
		}
		if _, err := state.Decide(cmd, now); err != nil {
			return err
		}
	}
	if owner == customer {
		return nil
	}
	now, err := c.testClock()
	if err != nil {
		return err
	}
	// Without the idempotency key: its record stands in the customer's stream.
	_, err = c.Ledger.Execute(c.request.Context(), eventstore.Request{
		Stream: domain.SubscriptionStream(c.who.organization, id), Actor: c.actor, Reason: c.reason, Correlation: c.id, Traceparent: c.trace, Now: now,
		Prepare: func(context.Context) (domain.Command, error) {
			return domain.ClaimSubscription{Customer: customer}, nil
		},
	})
	return err
}

// subscriptionNow finds a subscription and its customer's stream.
func (c *call) subscriptionNow(id string) (s domain.Subscription, customer, stream string, err error) {
	if customer, err = c.claimed(id); err != nil {
		return s, "", "", err
	}
	if customer == "" {
		return s, "", "", subscriptionNotFound()
	}
	stream = domain.CustomerStream(c.who.organization, customer, "")
	state, err := c.customerNow(stream)
	if err != nil {
		return s, "", "", err
	}
	return state.Subscriptions[id], customer, stream, nil
}

// getSubscription answers GET /v1/subscriptions/{id}, folded from the log.
func getSubscription(c *call) error {
	id := c.subscriptionID()
	if err := c.checked(); err != nil {
		return err
	}
	if err := c.awaitLog(); err != nil {
		return err
	}
	s, customer, _, err := c.subscriptionNow(id)
	if err != nil {
		return err
	}
	if s.ID == "" {
		return subscriptionNotFound()
	}
	h := c.answer.Header()
	h["Etag"], h["Cache-Control"] = []string{etagOf(s.Version)}, headerPrivate
	return c.reply(http.StatusOK, shownSubscription(s, customer))
}

// deleteSubscription answers DELETE /v1/subscriptions/{id}. Its customer stays
// fixed: the id is not free for another.
func deleteSubscription(c *call) error {
	id := c.subscriptionID()
	if err := c.checked(); err != nil {
		return err
	}
	_, _, stream, err := c.subscriptionNow(id)
	if err != nil {
		return err
	}
	if _, err := c.command(stream, domain.DeleteSubscription{Subscription: id}); err != nil {
		if domain.CodeOf(err) == domain.CodeSubscriptionNotFound {
			return subscriptionNotFound()
		}
		return err
	}
	c.answer.WriteHeader(http.StatusNoContent)
	return nil
}

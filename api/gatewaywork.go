package api

import (
	"context"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/gateway"
)

// gatewayTimeout bounds a question to a gateway: other commands on the customer
// wait for it.
const gatewayTimeout = 10 * time.Second

// gatewayOf names the gateway of a request, and notes a fault for one that this
// server does not have. A gateway for test organizations is forbidden to live
// ones.
func (c *call) gatewayOf(named *string) (name string, g gateway.Gateway, err error) {
	name = c.DefaultGateway
	if named != nil {
		name = *named
	}
	g, known := c.Gateways[name]
	switch {
	case !known:
		c.add("body.provider", "is not the name of a gateway of this server")
	case c.testOnly[name] && c.who.mode != domain.ModeTest:
		err = domain.Refuse(domain.CodeForbidden, "the gateway %s is for test organizations only", name)
	}
	return name, g, err
}

// gatewayKey is the idempotency key of what a command asks of a gateway: the same
// for each repeat of the command, and another for another customer's.
func (c *call) gatewayKey(stream string) string {
	return domain.EventID(eventstore.EventID(stream, c.commandID, 0))
}

// asking is a request to a gateway on behalf of the command that runs. token is ""
// for a card that has none yet.
func (c *call) asking(stream, customer, token string) (gateway.Request, error) {
	now, err := c.present()
	return gateway.Request{
		Organization: c.who.organization, Customer: customer, Token: token, IdempotencyKey: c.gatewayKey(stream), Now: now,
	}, err
}

// unreachable tells whether a gateway's error says nothing about the instrument:
// a later question may be answered.
func unreachable(err error) bool {
	kind := gateway.KindOf(err)
	return err != nil && (kind == gateway.Unavailable || kind == gateway.UnknownOutcome)
}

// gatewayRefusal logs what the provider said, and gives the client its kind.
func (c *call) gatewayRefusal(provider string, err error) error {
	if gone := c.request.Context().Err(); gone != nil {
		return gone
	}
	refusal := gateway.Refusal(err)
	if domain.CodeOf(refusal) == domain.CodeGatewayUnavailable {
		c.unanswered(provider, err)
	}
	return refusal
}

func (c *call) unanswered(provider string, err error) {
	c.Logger.Warn("a gateway did not answer", "request_id", c.id, "gateway", provider, "error", err)
}

// work does at once what a command's own events ask of a gateway, and returns
// what the stream holds then: for a repeat, what it held then. What cannot be
// done in time stays on the worker's list, and the result is the command's own.
// The error is the refusal that the gateway's answer led to.
func (c *call) work(stream string, r eventstore.Result) (eventstore.Result, error) {
	if c.Worker == nil {
		return r, nil
	}
	ctx, cancel := context.WithTimeout(c.request.Context(), gatewayTimeout)
	defer cancel()
	after, err := c.Worker.Do(ctx, stream, r)
	if after.State == nil {
		after = r
	}
	if after.Position > c.seen {
		c.seen = after.Position
	}
	if refused := domain.RefusalIn(after.Events); refused != nil {
		return after, refused
	}
	if err != nil {
		c.Logger.Warn("what a gateway was to be asked is left to the worker", "request_id", c.id, "error", err)
	}
	return after, nil
}

// customerNow is the state of a customer's stream as it is now.
func (c *call) customerNow(stream string) (*domain.Customer, error) {
	state, _, err := c.Ledger.State(c.request.Context(), stream)
	if err != nil {
		return nil, err
	}
	return state.(*domain.Customer), nil
}

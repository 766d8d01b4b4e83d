// Package sandbox is a gateway without a provider: its answers follow from the
// token alone. The same token gives the same answer today, tomorrow, on every
// machine, without a network. It is for test organizations.
//
// A token is a base (tok_visa, ba_us, sepa_de, …) and suffixes in any order,
// each at most once:
//
//	_debit _prepaid      funding of a card, credit otherwise
//	_exp_2026_12         expiry of a card (year, month), December 2034 otherwise
//	_fp_<x>              another instrument of the same look; x is letters and digits
//	_3ds                 the buyer must approve; they do so by coming back
//	_declined            the provider refuses
//	_unavailable         the provider cannot be reached
//	_verify_fails        verifying it fails, and so does the buyer's approval
//	_updates             the account updater has news of it
//	_lost                what changes something happens, and its first answer gets lost
//	_recovers            the provider cannot be reached by a customer's first lookup
//
// Cards are verified by an authorization of nothing, or of one unit of their
// currency where an authorization of nothing is not customary. ba_us is verified
// by micro-deposits: the amounts 32 and 45, or the code SM11AA; ba_us_instant by
// signing in at the bank. Micro-deposits arrive two days after they were asked for,
// by the organization's clock.
//
// With a Key the sandbox also takes raw cards; it keeps no number, only a keyed
// fingerprint and what may be shown. Numbers that are treated in their own way:
//
//	4000 0000 0000 0002  declined              4000 0000 0000 0119  unavailable
//	4000 0000 0000 0341  verifying it fails    4000 0025 0000 3155  the buyer must approve
//	4000 0000 0000 0069  news of the updater   4000 0027 6000 3184  the buyer will not approve
//	4000 0000 0000 9995  the answer gets lost  4000 0007 6000 0002  from Brazil
//	4000 0566 5566 5556  debit                 4000 0039 2000 0003  from Japan
//	5105 1051 0510 5100  prepaid               5200 8282 8282 8210  debit
//
// What it remembers (such cards, and the answers to idempotency keys) outlives the
// process when it was opened with a directory, as a provider's memory would. Servers
// with one Key know each other's cards by their tokens. Otherwise each remembers for
// itself: what is done at two of them under one idempotency key has the same answer
// at both, because answers follow from the request, and counts at each as an effect.
package sandbox

import (
	"context"
	"time"

	"github.com/pmledger/pmledger/gateway"
)

// Gateway answers from the token alone. The zero value is ready, remembers in
// memory only, and takes no raw cards. It must not be copied after its first call.
type Gateway struct {
	// Key makes the fingerprints of raw cards; 32 random bytes, and the same ones
	// at every start. Without it Tokenize is Unsupported.
	Key []byte
	// Now is the time that webhook signatures are measured by, and the arrival of
	// what a request without a time asks for; nil is the machine's clock.
	Now func() time.Time

	state state
}

var _ gateway.Webhooks = (*Gateway)(nil)

// Lookup answers as the token says. An unknown token is told which ones exist.
func (g *Gateway) Lookup(ctx context.Context, req gateway.Request) (gateway.Instrument, error) {
	if ctx.Err() != nil {
		return gateway.Instrument{}, gateway.Stopped(ctx)
	}
	g.state.lookups.Add(1)
	t, err := g.usable(req.Token)
	if err != nil {
		return gateway.Instrument{}, err
	}
	if t.recovers && g.state.first(digest(req.Organization, req.Customer, req.Token)) {
		return gateway.Instrument{}, outOfReach()
	}
	return t.instrument(), nil
}

// Detach makes the sandbox forget a tokenized card. The other tokens stand for
// instruments that exist for everybody; they can be attached again.
func (g *Gateway) Detach(ctx context.Context, req gateway.Request) error {
	if ctx.Err() != nil {
		return gateway.Stopped(ctx)
	}
	t, err := g.read(req.Token)
	if err != nil {
		return nil // what is not known is gone
	}
	_, err = perform(&g.state, g.call(opDetach, req, t, ""), func() (bool, error) {
		return true, t.outOfReach()
	})
	return err
}

// usable reads a token, and refuses it as the token itself demands.
func (g *Gateway) usable(text string) (token, error) {
	t, err := g.read(text)
	if err != nil {
		return token{}, err
	}
	if err := t.outOfReach(); err != nil {
		return token{}, err
	}
	if t.declined {
		return token{}, &gateway.Error{Kind: gateway.Declined, Message: "the payment provider declined this payment method"}
	}
	return t, nil
}

// read reads a token of the documentation, or one that Tokenize gave.
func (g *Gateway) read(text string) (token, error) {
	if isCardToken(text) {
		stored, gone := g.state.card(text)
		if stored == nil && !gone {
			stored, _ = g.unsealed(text) // another server took it
		}
		if stored == nil {
			return token{}, unknown("the sandbox does not know this card; its token was detached, or comes from elsewhere")
		}
		return stored.token(), nil
	}
	return parse(text)
}

func (t token) outOfReach() error {
	if t.unavailable {
		return outOfReach()
	}
	return nil
}

func outOfReach() error {
	return &gateway.Error{Kind: gateway.Unavailable, Message: "the payment provider cannot be reached; try again later"}
}

func (g *Gateway) now() time.Time {
	if g.Now == nil {
		return time.Now()
	}
	return g.Now()
}

// call names a call that changes something. request tells calls with one key
// apart that ask for different things, beyond the token and the customer.
func (g *Gateway) call(op string, req gateway.Request, t token, request string) *call {
	return &call{
		Effect:  Effect{Op: op, Organization: req.Organization, Customer: req.Customer, Token: req.Token, Key: req.IdempotencyKey},
		request: digest(req.Customer, req.Token, request), lost: t.lost,
	}
}

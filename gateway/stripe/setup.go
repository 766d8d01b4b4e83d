package stripe

import (
	"context"
	"net/http"
	"strconv"

	stripego "github.com/stripe/stripe-go/v82"

	"github.com/pmledger/pmledger/gateway"
)

// Setup makes a SetupIntent and confirms it; after the buyer's approval it asks
// what became of it.
func (g *Gateway) Setup(ctx context.Context, req gateway.Request, s gateway.Setup) (gateway.SetupAnswer, error) {
	if ctx.Err() != nil {
		return gateway.SetupAnswer{}, gateway.Stopped(ctx)
	}
	if s.Usage == "" {
		s.Usage = "off_session"
	}
	intent, err := g.setup(ctx, req, s)
	if err != nil {
		return gateway.SetupAnswer{}, err
	}
	answer := gateway.SetupAnswer{Reference: intent.ID}
	switch intent.Status {
	case stripego.SetupIntentStatusSucceeded:
		answer.Instrument, err = g.ready(ctx, req, intent)
	case stripego.SetupIntentStatusRequiresAction:
		answer.NextAction = actionOf(intent)
	default:
		err = notReady(intent)
	}
	if err != nil {
		return gateway.SetupAnswer{}, err
	}
	return answer, nil
}

func (g *Gateway) setup(ctx context.Context, req gateway.Request, s gateway.Setup) (*stripego.SetupIntent, error) {
	if !s.Approved {
		pm, err := g.method(ctx, req)
		if err != nil {
			return nil, err
		}
		return g.intent(ctx, req, "setup", purposeSetup, pm, s)
	}
	intent, err := g.reread(ctx, req, s.Reference)
	if err != nil {
		return nil, err
	}
	if intent.Status == stripego.SetupIntentStatusRequiresConfirmation {
		params := &stripego.SetupIntentConfirmParams{}
		if s.ReturnURL != "" {
			params.ReturnURL = stripego.String(s.ReturnURL)
		}
		confirmed := &stripego.SetupIntent{}
		if err := g.ask(ctx, question{
			req: req, op: "setup-confirm", method: http.MethodPost, path: "/v1/setup_intents/" + intent.ID + "/confirm", params: params,
		}, confirmed); err != nil {
			return nil, asIntent(err)
		}
		if intent, err = g.reread(ctx, req, intent.ID); err != nil {
			return nil, err
		}
	}
	return g.settled(ctx, req, intent)
}

// ready is the instrument that an intent made ready, with its mandate.
func (g *Gateway) ready(ctx context.Context, req gateway.Request, intent *stripego.SetupIntent) (gateway.Instrument, error) {
	pm := intent.PaymentMethod
	if pm == nil || pm.Type == "" { // not expanded
		var err error
		if pm, err = g.method(ctx, req); err != nil {
			return gateway.Instrument{}, err
		}
	}
	i, err := instrumentOf(pm)
	if err == nil {
		i.Mandate = mandateOf(intent.Mandate)
	}
	return i, err
}

// Tokenize sends a card's number to Stripe, which allows it to some accounts; to
// the others it is Unsupported. The one copy of the number that this package makes
// is wiped as soon as it is sent, or was in vain.
func (g *Gateway) Tokenize(ctx context.Context, req gateway.Request, card gateway.RawCard) (string, gateway.Instrument, error) {
	if ctx.Err() != nil {
		return "", gateway.Instrument{}, gateway.Stopped(ctx)
	}
	if err := card.Check(); err != nil {
		return "", gateway.Instrument{}, err
	}
	body := make([]byte, 0, 256) // never grows, so nothing of it is left behind
	body = append(body, "type=card&card[number]="...)
	body = append(body, card.Number...)
	body = append(body, "&card[exp_month]="...)
	body = strconv.AppendInt(body, int64(card.ExpMonth), 10)
	body = append(body, "&card[exp_year]="...)
	body = strconv.AppendInt(body, int64(card.ExpYear), 10)
	if len(card.SecurityCode) > 0 {
		body = append(body, "&card[cvc]="...)
		body = append(body, card.SecurityCode...)
	}
	secret := &secretBody{text: body}
	defer secret.release()
	pm := &stripego.PaymentMethod{}
	err := g.ask(context.WithValue(ctx, secretKey{}, secret), question{
		req: req, op: "tokenize", method: http.MethodPost, path: "/v1/payment_methods", body: body,
	}, pm)
	if refused(err) {
		return "", gateway.Instrument{}, &gateway.Error{
			Kind: gateway.Unsupported, Message: "the payment provider takes no card numbers from this account", Err: err,
		}
	}
	if err != nil {
		return "", gateway.Instrument{}, err
	}
	i, err := instrumentOf(pm)
	if err != nil {
		return "", gateway.Instrument{}, err
	}
	return pm.ID, i, nil
}

// refused: Stripe's word for "not from this account" is an invalid request
// without a code.
func refused(err error) bool {
	e := answerOf(err)
	return e != nil && e.Type == stripego.ErrorTypeInvalidRequest && e.Code == "" &&
		(e.Status == http.StatusBadRequest || e.Status == http.StatusPaymentRequired)
}

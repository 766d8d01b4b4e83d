package api

import (
	"context"

	"github.com/pmledger/pmledger/domain"
)

// ReplaceRequest puts another instrument in the payment method's place, or another
// payment method of the customer.
type ReplaceRequest struct {
	Token    *string          `json:"token,omitempty" minLength:"1" maxLength:"255" pattern:"^[!-~]+$" patternDescription:"printable ASCII without spaces" example:"tok_mastercard" doc:"The gateway's token of the new instrument, of the same type. Id, default and uses stay"`
	Provider *string          `json:"provider,omitempty" minLength:"1" maxLength:"64" doc:"Name of the token's gateway; that of the payment method when left out"`
	With     *domain.MethodID `json:"with,omitempty" pattern:"^pm_[0-9a-f]{32}$" patternDescription:"the id of a payment method" doc:"Instead of token: the payment method that takes over uses and default; this one is detached, in the same commit"`
}

// DeclineRequest reports a declined transaction.
type DeclineRequest struct {
	Code string `json:"code" pattern:"^[a-z][a-z0-9_]{0,63}$" patternDescription:"a lower-case name such as expired_payment_method" example:"expired_payment_method" doc:"canceled_payment_method, expired_payment_method, unavailable_payment_method and unknown_payment_method apply what the account updater announced; account_closed, lost_card, pickup_card, restricted_card and stolen_card block the payment method"`
}

// replaceMethod answers POST /v1/payment-methods/{id}/replace.
func replaceMethod(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	body, err := bind[ReplaceRequest](c)
	if err != nil {
		return err
	}
	switch {
	case (body.Token == nil) == (body.With == nil):
		c.add("body", "must have either token or with")
	case body.With != nil && body.Provider != nil:
		c.add("body.provider", "goes with token only")
	}
	if body.Provider != nil {
		if _, _, err = c.gatewayOf(body.Provider); err != nil {
			return err
		}
	}
	if err := c.checked(); err != nil {
		return err
	}
	id := domain.MethodID(c.params[0])
	row, err := c.methodRow(id)
	if err != nil {
		return err
	}
	if body.With != nil {
		result, err := c.command(row.Stream, domain.ReplaceWith{MethodID: id, With: *body.With})
		return c.answered(result, err, id)
	}
	customer, err := c.customerNow(row.Stream)
	if err != nil {
		return err
	}
	result, err := c.execute(row.Stream, func(ctx context.Context) (domain.Command, error) {
		return c.replacement(ctx, row.Stream, customer.Methods[id], body)
	})
	return c.answered(result, err, id)
}

// replacement looks up what the new token stands for. A token without an answer
// is refused: the payment method that is there works.
func (c *call) replacement(ctx context.Context, stream string, m *domain.Method, body ReplaceRequest) (domain.Command, error) {
	if m == nil {
		return nil, methodNotFound()
	}
	provider := m.Provider
	if body.Provider != nil {
		provider = *body.Provider
	}
	g, known := c.Gateways[provider]
	if !known {
		return nil, domain.Refuse(domain.CodeGatewayUnavailable, "the gateway of this payment method is not configured on this server")
	}
	policy, err := c.policy(ctx)
	if err != nil {
		return nil, err
	}
	request, err := c.asking(stream, m.Customer, *body.Token)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, gatewayTimeout)
	defer cancel()
	i, err := g.Lookup(ctx, request)
	if err != nil {
		return nil, c.gatewayRefusal(provider, err)
	}
	if i.NeedsApproval {
		c.add("body.token", "needs the buyer's approval: attach it, or use a setup intent")
		return nil, c.checked()
	}
	return domain.ReplaceInstrument{
		MethodID: m.ID, Provider: provider, ProviderID: *body.Token, Facts: i.Facts,
		Personal: domain.Personal{Holder: i.Holder, Email: i.Email}, News: i.News, Policy: policy,
	}, nil
}

// reportDecline answers POST /v1/payment-methods/{id}/declines.
func reportDecline(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	body, err := bind[DeclineRequest](c)
	if err != nil {
		return err
	}
	id := domain.MethodID(c.params[0])
	row, err := c.methodRow(id)
	if err != nil {
		return err
	}
	result, err := c.execute(row.Stream, func(ctx context.Context) (domain.Command, error) {
		policy, err := c.policy(ctx)
		return domain.ReportDecline{MethodID: id, Code: body.Code, Policy: policy}, err
	})
	return c.answered(result, err, id)
}

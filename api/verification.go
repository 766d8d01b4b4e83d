package api

import (
	"context"
	"net/http"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/eventstore"
	"github.com/pmledger/pmledger/gateway"
)

// ConfirmRequest says what arrived on the account: both amounts, or the code.
type ConfirmRequest struct {
	Amounts        []int   `json:"amounts,omitempty" nullable:"false" minItems:"2" maxItems:"2" minimum:"1" maximum:"99" example:"[32,45]" doc:"Both amounts in cents, in any order"`
	DescriptorCode *string `json:"descriptor_code,omitempty" pattern:"^SM[0-9A-Za-z]{4}$" patternDescription:"SM and four letters or digits" doc:"The code on the statement"`
}

// verifyMethod answers POST /v1/payment-methods/{id}/verify: 200 when it is
// verified or needs no verification, 202 while that is under way.
func verifyMethod(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	id := domain.MethodID(c.params[0])
	row, err := c.methodRow(id)
	if err != nil {
		return err
	}
	result, err := c.command(row.Stream, domain.VerifyMethod{MethodID: id})
	if err != nil {
		return err
	}
	if result, err = c.work(row.Stream, result); err != nil {
		return err
	}
	m, err := methodIn(result, id)
	if err != nil {
		return err
	}
	if m.Verification.Status == domain.VerificationPending {
		return c.written(http.StatusAccepted, result, id)
	}
	return c.written(http.StatusOK, result, id)
}

// deposits is a method that waits for its holder to name deposits.
type deposits struct {
	id       domain.MethodID
	stream   string
	customer *domain.Customer
	now      time.Time
}

// depositsOf finds the method in the path, as it is now.
func (c *call) depositsOf() (deposits, error) {
	d := deposits{id: domain.MethodID(c.params[0])}
	row, err := c.methodRow(d.id)
	if err != nil {
		return d, err
	}
	d.stream = row.Stream
	if d.customer, err = c.customerNow(row.Stream); err != nil {
		return d, err
	}
	d.now, err = c.present()
	return d, err
}

// ask puts a question about the deposits to the method's gateway, when the
// method waits for them.
func (d deposits) ask(ctx context.Context, c *call, question func(context.Context, gateway.Gateway, gateway.Request, string) error) error {
	m, err := d.customer.AwaitsDeposits(d.id, d.now)
	if err != nil {
		return err
	}
	g, known := c.Gateways[m.Provider]
	if !known {
		return domain.Refuse(domain.CodeGatewayUnavailable, "the gateway of this payment method is not configured on this server")
	}
	ctx, cancel := context.WithTimeout(ctx, gatewayTimeout)
	defer cancel()
	request, err := c.asking(d.stream, m.Customer, m.ProviderID)
	if err != nil {
		return err
	}
	if err := question(ctx, g, request, m.Verification.Reference); err != nil {
		return c.gatewayRefusal(m.Provider, err)
	}
	return nil
}

// confirmVerification answers POST /v1/payment-methods/{id}/verify/confirm. A
// wrong answer is a fact, and the refusal of it too.
func confirmVerification(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	body, err := bind[ConfirmRequest](c)
	if err != nil {
		return err
	}
	cmd := domain.ConfirmVerification{MethodID: domain.MethodID(c.params[0]), Named: domain.NamedAmounts}
	named := gateway.Deposits{Amounts: body.Amounts, DescriptorCode: textOf(body.DescriptorCode)}
	if (len(named.Amounts) > 0) == (named.DescriptorCode != "") {
		c.add("body", "must have either amounts or descriptor_code")
		return c.checked()
	}
	if named.DescriptorCode != "" {
		cmd.Named = domain.NamedDescriptor
	}
	d, err := c.depositsOf()
	if err != nil {
		return err
	}
	result, err := c.execute(d.stream, func(ctx context.Context) (domain.Command, error) {
		err := d.ask(ctx, c, func(ctx context.Context, g gateway.Gateway, r gateway.Request, reference string) (err error) {
			cmd.Reference = reference
			cmd.Matches, err = g.Confirm(ctx, r, reference, named)
			return err
		})
		return cmd, err
	})
	return c.answered(result, err, d.id)
}

// resendDeposits answers POST /v1/payment-methods/{id}/verify/resend.
func resendDeposits(c *call) error {
	if err := c.checked(); err != nil {
		return err
	}
	cmd := domain.ResendDeposits{MethodID: domain.MethodID(c.params[0])}
	d, err := c.depositsOf()
	if err != nil {
		return err
	}
	result, err := c.execute(d.stream, func(ctx context.Context) (domain.Command, error) {
		if _, err := d.customer.MayResend(d.id, d.now); err != nil {
			return nil, err
		}
		err := d.ask(ctx, c, func(ctx context.Context, g gateway.Gateway, r gateway.Request, reference string) error {
			sent, err := g.Resend(ctx, r, reference)
			cmd.Resent, cmd.Named, cmd.ArrivalDate, cmd.Reference = reference, sent.Named, sent.ArrivalDate, sent.Reference
			return err
		})
		return cmd, err
	})
	return c.answered(result, err, d.id)
}

// answered answers 200 with the payment method, or the refusal.
func (c *call) answered(result eventstore.Result, err error, id domain.MethodID) error {
	if err != nil {
		return err
	}
	return c.written(http.StatusOK, result, id)
}

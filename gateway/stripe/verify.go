package stripe

import (
	"context"
	"net/http"

	stripego "github.com/stripe/stripe-go/v82"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

// Verify verifies a card by an authorization of nothing, and a bank account by its
// holder's login or by micro-deposits. A card whose issuer asks for its buyer's
// approval is Declined: only a setup can ask the buyer.
func (g *Gateway) Verify(ctx context.Context, req gateway.Request, _ gateway.Instrument) (gateway.Verification, error) {
	return g.verify(ctx, req, "verify")
}

func (g *Gateway) verify(ctx context.Context, req gateway.Request, op string) (gateway.Verification, error) {
	pm, err := g.method(ctx, req)
	if err != nil {
		return gateway.Verification{}, err
	}
	if pm.Card == nil && pm.USBankAccount == nil {
		return gateway.Verification{}, &gateway.Error{
			Kind: gateway.Unsupported, Message: "the payment provider cannot verify a payment method of this type",
		}
	}
	intent, err := g.intent(ctx, req, op, purposeVerify, pm, gateway.Setup{Usage: "off_session"})
	if err != nil {
		return gateway.Verification{}, err
	}
	v := gateway.Verification{Reference: intent.ID, Kind: domain.EvidenceCardAuth}
	if pm.Card == nil {
		v.Kind = evidenceOf(pm.USBankAccount)
	}
	todo := intent.NextAction
	switch {
	case intent.Status == stripego.SetupIntentStatusSucceeded:
		v.Done = true
		return v, nil
	case intent.Status == stripego.SetupIntentStatusRequiresAction && todo != nil && todo.VerifyWithMicrodeposits != nil:
		v.Kind, v.Named = domain.EvidenceMicroDeposits, namedOf(todo.VerifyWithMicrodeposits)
		v.ArrivalDate = dateOf(todo.VerifyWithMicrodeposits.ArrivalDate)
		return v, nil
	case intent.Status == stripego.SetupIntentStatusRequiresAction:
		if err := g.makeRoom(ctx, req, intent.ID, "verify-cancel"); err != nil {
			return gateway.Verification{}, err
		}
		return gateway.Verification{}, &gateway.Error{
			Kind: gateway.Declined, Message: "the payment method cannot be verified without its buyer's approval; collect it with a setup intent",
		}
	}
	return gateway.Verification{}, notReady(intent)
}

// evidenceOf is what a bank account rests on that needs no micro-deposits (any
// more): a login, or earlier ones.
func evidenceOf(b *stripego.PaymentMethodUSBankAccount) domain.Evidence {
	if b.FinancialConnectionsAccount != "" {
		return domain.EvidenceBankLogin
	}
	return domain.EvidenceMicroDeposits
}

// Confirm names micro-deposits to Stripe. What cannot be right is not sent.
func (g *Gateway) Confirm(ctx context.Context, req gateway.Request, reference string, named gateway.Deposits) (bool, error) {
	if ctx.Err() != nil {
		return false, gateway.Stopped(ctx)
	}
	if !intentForm.MatchString(reference) {
		return false, unknownIntent()
	}
	params := &stripego.SetupIntentVerifyMicrodepositsParams{}
	switch {
	case named.DescriptorCode != "":
		params.DescriptorCode = stripego.String(named.DescriptorCode)
	case len(named.Amounts) != 2:
		return false, nil
	default:
		params.Amounts = []*int64{stripego.Int64(int64(named.Amounts[0])), stripego.Int64(int64(named.Amounts[1]))}
	}
	intent := &stripego.SetupIntent{}
	err := asIntent(g.ask(ctx, question{
		req: req, op: "confirm", method: http.MethodPost, path: "/v1/setup_intents/" + reference + "/verify_microdeposits", params: params,
	}, intent))
	switch codeOf(err) {
	case stripego.ErrorCodePaymentMethodMicrodepositVerificationAmountsMismatch,
		stripego.ErrorCodePaymentMethodMicrodepositVerificationAmountsInvalid,
		stripego.ErrorCodePaymentMethodMicrodepositVerificationDescriptorCodeMismatch:
		return false, nil
	case stripego.ErrorCodeSetupIntentUnexpectedState:
		// Confirmed before, at Stripe's own page or by a call that nobody knows of any more.
		now, reread := g.reread(ctx, req, reference)
		if reread != nil {
			return false, reread
		}
		if now.Status == stripego.SetupIntentStatusSucceeded {
			return true, nil
		}
	}
	if err != nil {
		return false, err
	}
	intent, err = g.settled(ctx, req, intent)
	if err != nil {
		return false, err
	}
	return intent.Status == stripego.SetupIntentStatusSucceeded, nil
}

// Resend gives the earlier attempt up and begins another, with a reference of its
// own: Stripe does not send the same micro-deposits twice.
func (g *Gateway) Resend(ctx context.Context, req gateway.Request, reference string) (gateway.Verification, error) {
	if ctx.Err() != nil {
		return gateway.Verification{}, gateway.Stopped(ctx)
	}
	before, err := g.reread(ctx, req, reference)
	if err != nil {
		return gateway.Verification{}, err
	}
	if before.Status == stripego.SetupIntentStatusSucceeded {
		return gateway.Verification{Kind: domain.EvidenceMicroDeposits, Done: true, Reference: before.ID}, nil
	}
	if err := g.makeRoom(ctx, req, reference, "resend-cancel"); err != nil {
		return gateway.Verification{}, err
	}
	return g.verify(ctx, req, "resend")
}

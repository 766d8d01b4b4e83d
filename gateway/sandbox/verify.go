package sandbox

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/currency"
	"golang.org/x/text/language"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

// What the holder of ba_us finds on the statement.
var (
	depositAmounts = []int{32, 45}
	depositCode    = "SM11AA"
)

// zeroAmountCountries are those whose cards the sandbox authorizes for nothing:
// North America, the European Economic Area, the United Kingdom, Switzerland.
const zeroAmountCountries = "US CA GB CH AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK"

// depositDays is how many days micro-deposits are on their way.
const depositDays = 2

// Verify authorizes a card and reverses that at once, or begins or ends the
// verification of a bank account. Other instruments have nothing to verify.
func (g *Gateway) Verify(ctx context.Context, req gateway.Request, i gateway.Instrument) (gateway.Verification, error) {
	if ctx.Err() != nil {
		return gateway.Verification{}, gateway.Stopped(ctx)
	}
	t, err := g.usable(req.Token)
	if err != nil {
		return gateway.Verification{}, err
	}
	c := g.call(opVerify, req, t, "")
	return perform(&g.state, c, func() (gateway.Verification, error) {
		behind := t.instrument()
		if behind.Type != domain.TypeCard && behind.Type != domain.TypeBankAccount {
			return gateway.Verification{}, &gateway.Error{
				Kind: gateway.Unsupported, Message: "the sandbox cannot verify a payment method of this type",
			}
		}
		if t.verifyFails {
			return gateway.Verification{}, &gateway.Error{Kind: gateway.Declined, Message: "the payment provider could not verify this payment method"}
		}
		v := gateway.Verification{Reference: reference("verification", req)}
		switch {
		case behind.Type == domain.TypeCard:
			v.Kind, v.Done = domain.EvidenceCardAuth, true
			v.Amount, v.Currency = authorization(countryOf(i, behind))
		case bases[t.base].token == instantBank:
			v.Kind, v.Done = domain.EvidenceBankLogin, true
		default:
			g.sendDeposits(&v, req)
		}
		if v.Done {
			c.ends = v.Reference
		}
		return v, nil
	})
}

func (g *Gateway) sendDeposits(v *gateway.Verification, req gateway.Request) {
	sent := req.Now
	if sent.IsZero() {
		sent = g.now()
	}
	v.Kind, v.Named = domain.EvidenceMicroDeposits, domain.NamedAmounts
	v.ArrivalDate = sent.UTC().AddDate(0, 0, depositDays).Format(time.DateOnly)
}

// countryOf is where the card was issued: what the ledger holds of it counts
// before what the sandbox knows.
func countryOf(held, behind gateway.Instrument) string {
	if held.Card != nil && held.Card.Country != "" {
		return held.Card.Country
	}
	return behind.Card.Country
}

// authorization is what a card of that country is authorized for.
func authorization(country string) (amount int64, code string) {
	unit := currency.USD
	if region, err := language.ParseRegion(country); err == nil {
		if of, ok := currency.FromRegion(region); ok {
			unit = of
		}
	}
	if !slices.Contains(strings.Fields(zeroAmountCountries), country) {
		digits, _ := currency.Standard.Rounding(unit)
		amount = int64(math.Pow10(digits))
	}
	return amount, strings.ToLower(unit.String())
}

// Confirm compares what the holder named with what ba_us was sent. The two
// amounts count in either order.
func (g *Gateway) Confirm(ctx context.Context, req gateway.Request, ref string, named gateway.Deposits) (bool, error) {
	if ctx.Err() != nil {
		return false, gateway.Stopped(ctx)
	}
	t, err := g.deposits(req, ref)
	if err != nil {
		return false, err
	}
	c := g.call(opConfirm, req, t, fmt.Sprintf("%q %v %q", ref, named.Amounts, named.DescriptorCode))
	return perform(&g.state, c, func() (bool, error) {
		if g.state.canceled(ref) {
			return false, wasCanceled()
		}
		if !arrived(named) {
			return false, nil
		}
		c.ends = ref
		return true, nil
	})
}

// arrived tells whether the deposits that are named are those that were sent.
func arrived(named gateway.Deposits) bool {
	if named.DescriptorCode != "" {
		return strings.EqualFold(named.DescriptorCode, depositCode)
	}
	amounts := slices.Clone(named.Amounts)
	slices.Sort(amounts)
	return slices.Equal(amounts, depositAmounts)
}

// Resend sends the same micro-deposits once more.
func (g *Gateway) Resend(ctx context.Context, req gateway.Request, ref string) (gateway.Verification, error) {
	if ctx.Err() != nil {
		return gateway.Verification{}, gateway.Stopped(ctx)
	}
	t, err := g.deposits(req, ref)
	if err != nil {
		return gateway.Verification{}, err
	}
	return perform(&g.state, g.call(opResend, req, t, ref), func() (gateway.Verification, error) {
		if g.state.canceled(ref) {
			return gateway.Verification{}, wasCanceled()
		}
		v := gateway.Verification{Reference: ref}
		g.sendDeposits(&v, req)
		return v, nil
	})
}

// deposits reads the token of a verification by micro-deposits.
func (g *Gateway) deposits(req gateway.Request, ref string) (token, error) {
	t, err := g.usable(req.Token)
	if err != nil {
		return token{}, err
	}
	if t.stored != nil || bases[t.base].token != "ba_us" {
		return token{}, &gateway.Error{Kind: gateway.Unsupported, Message: "the sandbox sends micro-deposits to ba_us only"}
	}
	if !begunFor(ref, "verification", req) {
		return token{}, unknown("the sandbox knows no such verification of this payment method")
	}
	return t, nil
}

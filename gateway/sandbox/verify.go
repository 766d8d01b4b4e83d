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
	return perform(&g.state, g.call(opVerify, req, t, ""), func() (gateway.Verification, error) {
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
			g.sendDeposits(&v)
		}
		return v, nil
	})
}

func (g *Gateway) sendDeposits(v *gateway.Verification) {
	v.Kind, v.Named = domain.EvidenceMicroDeposits, domain.NamedAmounts
	v.ArrivalDate = g.now().UTC().AddDate(0, 0, depositDays).Format(time.DateOnly)
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
	return perform(&g.state, g.call(opConfirm, req, t, fmt.Sprintf("%q %v %q", ref, named.Amounts, named.DescriptorCode)), func() (bool, error) {
		if named.DescriptorCode != "" {
			return strings.EqualFold(named.DescriptorCode, depositCode), nil
		}
		amounts := slices.Clone(named.Amounts)
		slices.Sort(amounts)
		return slices.Equal(amounts, depositAmounts), nil
	})
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
		v := gateway.Verification{Reference: ref}
		g.sendDeposits(&v)
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
	if ref != reference("verification", req) {
		return token{}, unknown("the sandbox knows no such verification of this payment method")
	}
	return t, nil
}

// reference names what was begun for a token. It follows from the request alone,
// so that the sandbox knows it again after a restart without a directory.
func reference(of string, req gateway.Request) string {
	return "sandbox_" + of + "_" + digest(req.Organization, req.Customer, req.Token)
}

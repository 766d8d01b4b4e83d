package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

// bases are the tokens without suffixes, in the order of the documentation, each
// with what is behind it.
var bases = [...]struct {
	token      string
	instrument func() gateway.Instrument
}{
	{"tok_visa", func() gateway.Instrument { return card("visa", "4242") }},
	{"tok_mastercard", func() gateway.Instrument { return card("mastercard", "4444") }},
	{"tok_amex", func() gateway.Instrument { return card("amex", "0005") }},
	{"tok_discover", func() gateway.Instrument { return card("discover", "1117") }},
	{"tok_twint", twint},
	{"ba_us", bankAccount},
	{"ba_us_instant", bankAccount},
	{"sepa_de", directDebit},
	{"paypal_demo", paypal},
	{"wallet_apple_pay", func() gateway.Instrument { return wallet("apple_pay") }},
	{"wallet_google_pay", func() gateway.Instrument { return wallet("google_pay") }},
}

// instantBank is the bank account whose holder signs in at the bank.
const instantBank = "ba_us_instant"

// instrument makes the answer anew, so that no caller can change another's.
func (t token) instrument() gateway.Instrument {
	var i gateway.Instrument
	if t.stored != nil {
		i = t.stored.instrument()
	} else {
		i = bases[t.base].instrument()
		i.Fingerprint = t.fingerprint()
	}
	i.NeedsApproval = t.approval
	if i.Card != nil && t.stored == nil {
		i.Card.Funding, i.Card.ExpYear, i.Card.ExpMonth = t.funding, t.expYear, t.expMonth
	}
	if i.Mandate != nil {
		i.Mandate.Reference = "SANDBOX-" + strings.ToUpper(i.Fingerprint[:8])
	}
	if t.updates && i.Card != nil {
		i.News = newsOf(i)
	}
	return i
}

// newsOf is the card that the account updater has for the one at hand: of the
// same brand, with another number, three years longer. The token stays.
func newsOf(i gateway.Instrument) *domain.Replacement {
	news := domain.Replacement{Card: *i.Card}
	last4, _ := strconv.Atoi(i.Card.Last4)
	news.Card.Last4 = fmt.Sprintf("%04d", (last4+1111)%10000)
	news.Card.ExpYear += 3
	sum := sha256.Sum256([]byte("pmledger sandbox replacement\n" + i.Fingerprint))
	news.Fingerprint = hex.EncodeToString(sum[:16])
	return &news
}

// fingerprint names the instrument: base, funding, expiry and _fp_ in one order,
// however the token was spelt. What only steers the sandbox's behaviour is left
// out: a card that will be declined tomorrow is the same card. Funding and expiry
// are part of it so that tok_visa and tok_visa_debit are two cards.
func (t token) fingerprint() string {
	sum := sha256.Sum256([]byte("pmledger sandbox instrument\n" + t.canonical()))
	return hex.EncodeToString(sum[:16])
}

func card(brand, last4 string) gateway.Instrument {
	return gateway.Instrument{Facts: domain.Facts{
		Type: domain.TypeCard, Method: "card", Country: "US",
		Card: &domain.Card{Brand: brand, Last4: last4, Country: "US"},
	}}
}

func twint() gateway.Instrument {
	return gateway.Instrument{Facts: domain.Facts{Type: domain.TypeTwint, Method: "twint", Country: "CH", Currency: "chf"}}
}

func bankAccount() gateway.Instrument {
	return gateway.Instrument{
		Holder: "Sandbox Holder",
		Facts: domain.Facts{
			Type: domain.TypeBankAccount, Method: "ach", Country: "US", Currency: "usd",
			BankAccount: &domain.BankAccount{
				BankName: "Sandbox Bank", Last4: "6789", Routing: "110000000", HolderType: "individual",
				AccountType: "checking", Country: "US", Currency: "usd", Status: "active",
			},
		},
	}
}

func directDebit() gateway.Instrument {
	return gateway.Instrument{
		Holder: "Sandbox Holder",
		Facts: domain.Facts{
			Type: domain.TypeDirectDebit, Method: "sepa", Country: "DE", Currency: "eur",
			BankAccount: &domain.BankAccount{
				BankName: "Sandbox Bank", Last4: "3000", HolderType: "individual", Country: "DE", Currency: "eur", Status: "active",
			},
			Mandate: &domain.Mandate{Scheme: "sepa", Status: "active"},
		},
	}
}

func paypal() gateway.Instrument {
	return gateway.Instrument{
		Email: "buyer@sandbox.example",
		Facts: domain.Facts{Type: domain.TypePaypal, Method: "paypal", Country: "US", Wallet: &domain.Wallet{Kind: "paypal"}},
	}
}

func wallet(kind string) gateway.Instrument {
	return gateway.Instrument{Facts: domain.Facts{Type: domain.TypeWallet, Method: kind, Country: "US", Wallet: &domain.Wallet{Kind: kind}}}
}

package sandbox_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/gatewaytest"
	"github.com/pmledger/pmledger/gateway/sandbox"
)

var tokens = gatewaytest.Tokens{
	Card: "tok_visa", OtherCard: "tok_visa_fp_other", Declined: "tok_visa_declined", Unavailable: "tok_visa_unavailable",
	Unknown: "tok_nobody", VerifyFails: "tok_visa_verify_fails", NoVerify: "sepa_de", Bank: "ba_us", InstantBank: "ba_us_instant",
	Approval: "tok_visa_3ds", News: "tok_visa_updates", Lost: "tok_visa_lost", LostBank: "ba_us_lost",
	Amounts: []int{32, 45}, Code: "SM11AA",
	Number: "4242424242424242", OtherNumber: "5555555555554444", DeclinedNumber: "4000000000000002",
}

func TestContract(t *testing.T) {
	gatewaytest.Run(t, func(*testing.T) gatewaytest.Provider {
		return provider(&sandbox.Gateway{Key: []byte("a key of the test")})
	}, tokens)
}

func TestContractOnDisk(t *testing.T) {
	gatewaytest.Run(t, func(t *testing.T) gatewaytest.Provider { return provider(open(t, t.TempDir())) }, tokens)
}

func provider(g *sandbox.Gateway) gatewaytest.Provider {
	return gatewaytest.Provider{Gateway: g, Effects: func(token string) int {
		n := 0
		for _, e := range g.Effects() {
			if e.Token == token {
				n++
			}
		}
		return n
	}}
}

func open(t *testing.T, dir string) *sandbox.Gateway {
	t.Helper()
	g, err := sandbox.Open(dir, []byte("a key of the test"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

func lookup(t *testing.T, token string) gateway.Instrument {
	t.Helper()
	i, err := new(sandbox.Gateway).Lookup(t.Context(), gateway.Request{Token: token})
	if err != nil {
		t.Fatalf("%s: %v", token, err)
	}
	return i
}

// shown writes an instrument on one line, without its fingerprint.
func shown(i gateway.Instrument) string {
	s := fmt.Sprintf("%s %s %s", i.Type, i.Method, i.Country)
	if c := i.Card; c != nil {
		s += fmt.Sprintf(" %s %s %d/%d %s", c.Brand, c.Last4, c.ExpMonth, c.ExpYear, c.Funding)
	}
	if b := i.BankAccount; b != nil {
		s += fmt.Sprintf(" bank %s %q %s by %s", b.Last4, b.Routing, b.Currency, i.Holder)
	}
	if w := i.Wallet; w != nil {
		s += strings.TrimRight(" wallet "+w.Kind+" "+i.Email, " ")
	}
	if m := i.Mandate; m != nil {
		s += fmt.Sprintf(" mandate %s %s", m.Scheme, m.Status)
	}
	if n := i.News; n != nil {
		s += fmt.Sprintf(" news %s %d/%d", n.Card.Last4, n.Card.ExpMonth, n.Card.ExpYear)
	}
	if i.NeedsApproval {
		s += " needs approval"
	}
	return s
}

func TestEveryTokenOfTheDocumentationIsKnown(t *testing.T) {
	for token, want := range map[string]string{
		"tok_visa":                              "card card US visa 4242 12/2034 credit",
		"tok_mastercard":                        "card card US mastercard 4444 12/2034 credit",
		"tok_amex":                              "card card US amex 0005 12/2034 credit",
		"tok_discover":                          "card card US discover 1117 12/2034 credit",
		"tok_twint":                             "twint twint CH",
		"ba_us":                                 `bank_account ach US bank 6789 "110000000" usd by Sandbox Holder`,
		"ba_us_instant":                         `bank_account ach US bank 6789 "110000000" usd by Sandbox Holder`,
		"sepa_de":                               `direct_debit sepa DE bank 3000 "" eur by Sandbox Holder mandate sepa active`,
		"paypal_demo":                           "paypal paypal US wallet paypal buyer@sandbox.example",
		"wallet_apple_pay":                      "wallet apple_pay US wallet apple_pay",
		"wallet_google_pay":                     "wallet google_pay US wallet google_pay",
		"tok_visa_debit":                        "card card US visa 4242 12/2034 debit",
		"tok_amex_prepaid":                      "card card US amex 0005 12/2034 prepaid",
		"tok_visa_exp_2026_12":                  "card card US visa 4242 12/2026 credit",
		"tok_visa_3ds":                          "card card US visa 4242 12/2034 credit needs approval",
		"tok_visa_updates":                      "card card US visa 4242 12/2034 credit news 5353 12/2037",
		"ba_us_verify_fails":                    `bank_account ach US bank 6789 "110000000" usd by Sandbox Holder`,
		"tok_visa_debit_exp_2026_01_fp_x":       "card card US visa 4242 1/2026 debit",
		"tok_visa_fp_declined_3ds_exp_2027_02":  "card card US visa 4242 2/2027 credit needs approval",
		"tok_visa_verify_fails_updates_prepaid": "card card US visa 4242 12/2034 prepaid news 5353 12/2037",
		"tok_discover_lost_debit":               "card card US discover 1117 12/2034 debit",
	} {
		if got := shown(lookup(t, token)); got != want {
			t.Errorf("%s: %s, want %s", token, got, want)
		}
	}
}

func TestATokenThatRecoversIsUnavailableOncePerCustomer(t *testing.T) {
	g := new(sandbox.Gateway)
	for _, customer := range []string{"cus_1", "cus_2"} {
		for n := range 3 {
			i, err := g.Lookup(t.Context(), gateway.Request{Organization: "acme", Customer: customer, Token: "tok_visa_recovers"})
			if n == 0 && (gateway.KindOf(err) != gateway.Unavailable || i.Type != "") || n > 0 && err != nil {
				t.Errorf("%s, lookup %d: %v", customer, n+1, err)
			}
			if n > 0 && i.Fingerprint != lookup(t, "tok_visa").Fingerprint {
				t.Errorf("%s: fingerprint %q, want that of tok_visa", customer, i.Fingerprint)
			}
		}
	}
}

func TestTheFingerprintNamesTheInstrumentNotTheBehaviour(t *testing.T) {
	same := [][]string{
		{"tok_visa", "tok_visa_3ds", "tok_visa_updates", "tok_visa_verify_fails", "tok_visa_3ds_updates"},
		{"tok_visa_debit_fp_x", "tok_visa_fp_x_debit", "tok_visa_fp_x_3ds_debit"},
		{"tok_visa_exp_2026_12"}, {"tok_visa_fp_x"}, {"tok_visa_fp_y"}, {"tok_visa_debit"}, {"tok_visa_prepaid"},
		{"tok_mastercard"}, {"ba_us"}, {"ba_us_instant"}, {"sepa_de"}, {"wallet_apple_pay"},
	}
	owner := map[string]string{}
	for _, tokens := range same {
		want := lookup(t, tokens[0]).Fingerprint
		if other, taken := owner[want]; taken {
			t.Errorf("%s and %s have the same fingerprint", other, tokens[0])
		}
		owner[want] = tokens[0]
		for _, token := range tokens {
			if got := lookup(t, token).Fingerprint; got != want {
				t.Errorf("%s: fingerprint %s, but %s has %s", token, got, tokens[0], want)
			}
		}
	}
}

func TestFingerprintsStayTheSameFromReleaseToRelease(t *testing.T) {
	const want = "b2fb8627ac72382f33588fe0424360a9"
	if got := lookup(t, "tok_visa").Fingerprint; got != want {
		t.Errorf("fingerprint of tok_visa is %s, was %s", got, want)
	}
}

func TestAMistakenTokenIsToldWhatExists(t *testing.T) {
	for token, want := range map[string]string{
		"":                       "tok_visa, tok_mastercard, tok_amex",
		"tok_visit":              "wallet_google_pay",
		"TOK_VISA":               "tok_visa",
		"tok_visa_":              "_debit",
		"tok_visa_gold":          "_debit",
		"tok_visa_verify":        "_verify_fails",
		"tok_visa__debit":        "_debit",
		"tok_visa_exp":           "_exp_2026_12",
		"tok_visa_exp_26_12":     "_exp_2026_12",
		"tok_visa_exp_2026_1":    "_exp_2026_12",
		"tok_visa_exp_2026_13":   "months from 01 to 12",
		"tok_visa_exp_2026_00":   "months from 01 to 12",
		"tok_visa_exp_1999_01":   "years from 2000",
		"tok_visa_fp_":           "letters and digits",
		"tok_visa_fp":            "letters and digits",
		"tok_visa_fp_é":          "letters and digits",
		"tok_visa_debit_debit":   "twice",
		"tok_visa_debit_prepaid": "twice",
		"ba_us_debit":            "for cards",
		"sepa_de_exp_2026_12":    "for cards",
	} {
		_, err := new(sandbox.Gateway).Lookup(t.Context(), gateway.Request{Token: token})
		var typed *gateway.Error
		if !errors.As(err, &typed) || typed.Kind != gateway.UnknownToken || !strings.Contains(typed.Message, want) {
			t.Errorf("%q: error %v, want an unknown token and %q", token, err, want)
		}
		if domain.CodeOf(gateway.Refusal(err)) != domain.CodeValidationFailed {
			t.Errorf("%q: refusal %v", token, gateway.Refusal(err))
		}
	}
}

func FuzzLookup(f *testing.F) {
	for _, seed := range []string{"tok_visa_debit_exp_2026_12_fp_x", "ba_us_instant_verify_fails", "tok_visa_exp_2026", "sepa_de__"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		i, err := new(sandbox.Gateway).Lookup(t.Context(), gateway.Request{Token: token})
		if (err == nil) != (i.Fingerprint != "") {
			t.Fatalf("%q: fingerprint %q, error %v", token, i.Fingerprint, err)
		}
	})
}

// A test organization's clock may stand months ahead of the machine's.
func TestDepositsArriveByTheClockOfWhoAsks(t *testing.T) {
	g := &sandbox.Gateway{Now: func() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }}
	asked := func(key string, now time.Time) gateway.Request {
		return gateway.Request{Organization: "acme", Customer: "cus_1", Token: "ba_us", IdempotencyKey: key, Now: now}
	}
	later := time.Date(2026, 12, 5, 23, 59, 0, 0, time.UTC)
	for _, row := range []struct {
		key  string
		now  time.Time
		want string
	}{{"k", later, "2026-12-07"}, {"k", later.AddDate(0, 0, 9), "2026-12-07"}, {"without a time", time.Time{}, "2026-06-03"}} {
		begun, err := g.Verify(t.Context(), asked(row.key, row.now), gateway.Instrument{})
		if err != nil || begun.ArrivalDate != row.want {
			t.Errorf("%s at %s: arrival %q, error %v; want %s", row.key, row.now, begun.ArrivalDate, err, row.want)
		}
		again, err := g.Resend(t.Context(), asked(row.key, row.now), begun.Reference)
		if err != nil || again.ArrivalDate != row.want {
			t.Errorf("%s at %s, again: arrival %q, error %v; want %s", row.key, row.now, again.ArrivalDate, err, row.want)
		}
	}
}

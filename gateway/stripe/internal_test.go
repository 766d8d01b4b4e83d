package stripe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"testing"
	"time"

	stripego "github.com/stripe/stripe-go/v82"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

func TestEveryKindOfPaymentMethodHasItsFacts(t *testing.T) {
	for body, want := range map[string]gateway.Instrument{
		`{"type":"card","card":{"brand":"visa","last4":"4242","exp_month":1,"exp_year":2030,"country":"FR","funding":"debit","fingerprint":"f",
			"networks":{"available":["visa","cartes_bancaires"]},"wallet":{"type":"apple_pay","dynamic_last4":"1111"}}}`: {Facts: domain.Facts{
			Type: domain.TypeWallet, Method: "apple_pay", Fingerprint: "f", Country: "FR", Wallet: &domain.Wallet{Kind: "apple_pay"},
			Card: &domain.Card{Brand: "visa", AdditionalBrands: []string{"cartes_bancaires"}, Last4: "4242", ExpMonth: 1, ExpYear: 2030, Country: "FR", Funding: "debit"}}},
		`{"type":"us_bank_account","us_bank_account":{"bank_name":"B","last4":"6789","routing_number":"1","account_type":"savings","account_holder_type":"company",
			"fingerprint":"f","status_details":{"blocked":{"reason":"bank_account_closed"}}}}`: {Facts: domain.Facts{
			Type: domain.TypeBankAccount, Method: "ach", Fingerprint: "f", Country: "US", Currency: "usd", BankAccount: &domain.BankAccount{
				BankName: "B", Last4: "6789", Routing: "1", AccountType: "savings", HolderType: "company", Country: "US", Currency: "usd", Status: "blocked"}}},
		`{"type":"bacs_debit","bacs_debit":{"fingerprint":"f","last4":"2345","sort_code":"108800"}}`: {Facts: domain.Facts{
			Type: domain.TypeDirectDebit, Method: "bacs", Fingerprint: "f", Country: "GB", Currency: "gbp",
			BankAccount: &domain.BankAccount{Last4: "2345", Routing: "108800", Country: "GB", Currency: "gbp", Status: "active"}}},
		`{"type":"au_becs_debit","au_becs_debit":{"fingerprint":"f","last4":"3456","bsb_number":"000000"}}`: {Facts: domain.Facts{
			Type: domain.TypeDirectDebit, Method: "becs", Fingerprint: "f", Country: "AU", Currency: "aud",
			BankAccount: &domain.BankAccount{Last4: "3456", Routing: "000000", Country: "AU", Currency: "aud", Status: "active"}}},
		`{"type":"acss_debit","acss_debit":{"fingerprint":"f","last4":"6789","transit_number":"11000","bank_name":"B"}}`: {Facts: domain.Facts{
			Type: domain.TypeDirectDebit, Method: "acss", Fingerprint: "f", Country: "CA", Currency: "cad",
			BankAccount: &domain.BankAccount{BankName: "B", Last4: "6789", Routing: "11000", Country: "CA", Currency: "cad", Status: "active"}}},
		`{"type":"paypal","billing_details":{"email":"other@example.com"},"paypal":{"payer_email":"j@example.com","country":"GB"}}`: {Email: "j@example.com", Facts: domain.Facts{
			Type: domain.TypePaypal, Method: "paypal", Country: "GB", Wallet: &domain.Wallet{Kind: "paypal"}}},
		`{"type":"link","link":{"email":"j@example.com"},"billing_details":{"name":"J","address":{"country":"SE"}}}`: {Email: "j@example.com", Holder: "J", Facts: domain.Facts{
			Type: domain.TypeWallet, Method: "link", Country: "SE", Wallet: &domain.Wallet{Kind: "link"}}},
		`{"type":"twint","twint":{}}`:   {Facts: domain.Facts{Type: domain.TypeTwint, Method: "twint", Country: "CH", Currency: "chf"}},
		`{"type":"klarna","klarna":{}}`: {Facts: domain.Facts{Type: domain.TypeOther, Method: "klarna"}},
	} {
		pm := &stripego.PaymentMethod{}
		if err := json.Unmarshal([]byte(body), pm); err != nil {
			t.Fatal(err)
		}
		if got, err := instrumentOf(pm); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", body, got, err, want)
		}
	}
	for _, kind := range []stripego.PaymentMethodType{"card_present", "interac_present", ""} {
		if _, err := instrumentOf(&stripego.PaymentMethod{Type: kind}); gateway.KindOf(err) != gateway.Unsupported {
			t.Errorf("%q: %v, want unsupported", kind, err)
		}
	}
}

// stalled is a transport that reads what it is to send, at its own time, and
// never answers.
type stalled struct{ requests chan *http.Request }

func (s stalled) RoundTrip(req *http.Request) (*http.Response, error) {
	s.requests <- req
	<-req.Context().Done()
	return nil, req.Context().Err()
}

func TestANumberIsWipedOnceATransportIsDoneWithIt(t *testing.T) {
	transport := stalled{make(chan *http.Request, 1)}
	g, err := New(Config{Key: func(string) string { return "sk" }, URL: "http://127.0.0.1:1", Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, _, err := g.Tokenize(ctx, gateway.Request{}, gateway.RawCard{Number: []byte("4242424242424242"), SecurityCode: []byte("137"), ExpMonth: 1, ExpYear: 2030})
		failed <- err
	}()
	req := <-transport.requests
	body := req.Body
	if req.GetBody != nil {
		t.Error("a transport could send the body again after it was wiped")
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("the call that was given up: %v", err)
	}
	text := body.(*secretBody).text
	read, err := io.ReadAll(body) // after the call, as a transport may
	if err != nil || !bytes.Contains(read, []byte("card[number]=4242424242424242&card[exp_month]=1&card[exp_year]=2030&card[cvc]=137")) {
		t.Errorf("the transport read %q, %v", read, err)
	}
	body.Close()
	if len(text) == 0 || len(bytes.Trim(text[:cap(text)], "\x00")) != 0 {
		t.Errorf("after the transport closed it the body holds %q", text)
	}
	if _, err := body.Read(make([]byte, 1)); err == nil {
		t.Error("a wiped body can be read")
	}
}

func TestANumberThatIsNeverSentIsWiped(t *testing.T) {
	secret := &secretBody{text: []byte("4242"), body: io.NopCloser(bytes.NewReader([]byte("4242")))}
	secret.release()
	if string(secret.text) != "\x00\x00\x00\x00" {
		t.Errorf("the body holds %q", secret.text)
	}
	if n, err := secret.Read(make([]byte, 4)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("a wiped body gave %d bytes, %v", n, err)
	}
}

func TestDatesOfDeposits(t *testing.T) {
	if got := dateOf(time.Date(2026, 1, 1, 23, 59, 0, 0, time.UTC).Unix()); got != "2026-01-01" || dateOf(0) != "" {
		t.Errorf("%q and %q", got, dateOf(0))
	}
}

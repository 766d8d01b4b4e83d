package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

func opened(t *testing.T, dir string, kept int) *Gateway {
	t.Helper()
	g := &Gateway{Key: []byte("k")}
	g.state.kept = kept
	if err := g.state.open(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

func req(token, key string) gateway.Request {
	return gateway.Request{Organization: "acme", Customer: "cus_1", Token: token, IdempotencyKey: key}
}

func TestWhatHappenedOutlivesTheProcess(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	g := opened(t, dir, 0)
	raw := gateway.RawCard{Number: []byte("4000002500003155"), ExpMonth: 3, ExpYear: 2031}
	token, made, err := g.Tokenize(ctx, req("", "raw"), raw)
	if err != nil {
		t.Fatal(err)
	}
	verified, err := g.Verify(ctx, req("ba_us", "v"), gateway.Instrument{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Verify(ctx, req("ba_us", "v"), gateway.Instrument{}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Setup(ctx, req("tok_visa_lost", "s"), gateway.Setup{}); gateway.KindOf(err) != gateway.UnknownOutcome {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Detach(ctx, req("tok_visa", "closed")); gateway.KindOf(err) != gateway.Unavailable {
		t.Errorf("a closed sandbox: %v, want unavailable", err)
	}

	h := opened(t, dir, 0)
	if !reflect.DeepEqual(h.Effects(), g.Effects()) || len(h.Effects()) != 3 {
		t.Errorf("after the restart %v, before %v", h.Effects(), g.Effects())
	}
	if n := h.Calls("v"); n != 2 {
		t.Errorf("%d calls with the key v, want 2", n)
	}
	if i, err := h.Lookup(ctx, req(token, "")); err != nil || !reflect.DeepEqual(i, made) || !i.NeedsApproval {
		t.Errorf("the raw card: %+v, %v; want %+v", i, err, made)
	}
	if again, _, err := h.Tokenize(ctx, req("", "raw"), raw); err != nil || again != token {
		t.Errorf("tokenized again: %v, another token %v", err, again != token)
	}
	if v, err := h.Verify(ctx, req("ba_us", "v"), gateway.Instrument{}); err != nil || v != verified {
		t.Errorf("verified again: %+v, %v; want %+v", v, err, verified)
	}
	if a, err := h.Setup(ctx, req("tok_visa_lost", "s"), gateway.Setup{}); err != nil || a.Instrument.Card == nil {
		t.Errorf("the lost answer: %+v, %v", a, err)
	}
	if len(h.Effects()) != 3 {
		t.Errorf("the repeats had effects: %v", h.Effects())
	}
	if err := h.Detach(ctx, req(token, "d")); err != nil {
		t.Fatal(err)
	}
	h.Close()
	if _, err := opened(t, dir, 0).Lookup(ctx, req(token, "")); gateway.KindOf(err) != gateway.UnknownToken {
		t.Errorf("the detached card after a restart: %v", err)
	}
}

func TestALastLineCutOffAnywhereIsDroppedAndNothingElse(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	g := opened(t, dir, 0)
	for n := range 3 {
		if err := g.Detach(ctx, req("tok_visa", fmt.Sprint("key", n))); err != nil {
			t.Fatal(err)
		}
	}
	g.Close()
	body, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndexByte(body[:len(body)-1], '\n') + 1
	for end := last; end < len(body); end++ {
		for _, garbage := range []string{"", "\x00\x00\x00", "\x00\n"} {
			if garbage == "" && end == last {
				continue
			}
			cut := t.TempDir()
			if err := os.WriteFile(filepath.Join(cut, FileName), append(body[:end:end], garbage...), 0o600); err != nil {
				t.Fatal(err)
			}
			h := opened(t, cut, 0)
			if info, err := os.Stat(filepath.Join(cut, FileName)); err != nil || info.Size() != int64(last) {
				t.Fatalf("cut at %d: %v, %d bytes are left, want %d", end, err, info.Size(), last)
			}
			if len(h.Effects()) != 2 {
				t.Fatalf("cut at %d: %d effects, want 2", end, len(h.Effects()))
			}
			if err := h.Detach(ctx, req("tok_visa", "after")); err != nil {
				t.Fatal(err)
			}
			h.Close()
			if n := len(opened(t, cut, 0).Effects()); n != 3 {
				t.Fatalf("cut at %d, then one more: %d effects, want 3", end, n)
			}
		}
	}
}

func TestADamagedLineIsNamedAndNothingIsLost(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	whole := []byte(`{"op":"detach","key":"1"}` + "\n" + `{"op":"det` + "\n" + `{"op":"detach","key":"3"}` + "\n")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, nil); err == nil || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names the file and line 2", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(after, whole) {
		t.Error("the damaged file was changed")
	}
}

func TestOldAnswersAreForgottenAndCardsAreNot(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	g := opened(t, dir, 10)
	token, _, err := g.Tokenize(ctx, req("", "raw"), gateway.RawCard{Number: []byte("4242424242424242"), ExpMonth: 3, ExpYear: 2031})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 95 {
		if err := g.Detach(ctx, req("tok_visa", fmt.Sprint("key", n))); err != nil {
			t.Fatal(err)
		}
		if len(g.state.entries) >= 20 || len(g.state.answers) >= 20 {
			t.Fatalf("%d entries and %d answers are kept", len(g.state.entries), len(g.state.answers))
		}
	}
	if err := g.Detach(ctx, req("tok_visa", "key94")); err != nil || g.Calls("key94") != 2 {
		t.Errorf("a young key: %v, %d calls, want 2", err, g.Calls("key94"))
	}
	g.Close()
	before, _ := os.Stat(filepath.Join(dir, FileName))
	h := opened(t, dir, 10)
	after, _ := os.Stat(filepath.Join(dir, FileName))
	if after.Size() >= before.Size()/2 {
		t.Errorf("the file had %d bytes and has %d", before.Size(), after.Size())
	}
	for range 2 {
		if _, err := h.Lookup(ctx, req(token, "")); err != nil {
			t.Errorf("the card: %v", err)
		}
		if n := h.Calls("key94"); n != 2 {
			t.Errorf("%d calls with a young key, want 2", n)
		}
		h.Close()
		h = opened(t, dir, 10)
	}
}

func TestAFileThatCannotBeWrittenRefusesAndRemembersNothing(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	g := opened(t, dir, 0)
	whole := g.state.file.f
	broken, err := os.Open(filepath.Join(dir, FileName)) // for reading
	if err != nil {
		t.Fatal(err)
	}
	g.state.file.f = broken
	defer whole.Close()
	for range 2 {
		if err := g.Detach(ctx, req("tok_visa", "k")); gateway.KindOf(err) != gateway.Unavailable {
			t.Errorf("error %v, want unavailable", err)
		}
	}
	if len(g.Effects()) != 0 {
		t.Errorf("effects %v", g.Effects())
	}
	if _, err := g.Lookup(ctx, req("tok_visa", "")); err != nil {
		t.Errorf("a lookup: %v", err)
	}
}

func TestNoNumberAndNoCodeReachTheFile(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	g := opened(t, dir, 0)
	for _, number := range []string{"4242424242424242", "378282246310005", "6011000990139424", "30569309025904"} {
		if _, _, err := g.Tokenize(ctx, req("", number[:6]), gateway.RawCard{
			Number: []byte(number), SecurityCode: []byte("8642"), ExpMonth: 3, ExpYear: 2031,
		}); err != nil {
			t.Fatal(err)
		}
		body, err := os.ReadFile(filepath.Join(dir, FileName))
		if err != nil || len(body) == 0 {
			t.Fatal(err)
		}
		for _, secret := range []string{number, number[4:], "8642"} {
			if bytes.Contains(body, []byte(secret)) {
				t.Errorf("the file holds %q", secret)
			}
		}
		if domain.ContainsPAN(string(body)) {
			t.Error("the file holds a card number")
		}
		if bytes.Contains(body, []byte(g.mac("fingerprint", nil, []byte(number))[:32])) == false {
			t.Error("the file holds no fingerprint")
		}
	}
}

func TestSpecialNumbersAreValidAndBrandsFollowFromThePrefix(t *testing.T) {
	for number := range special {
		if err := (gateway.RawCard{Number: []byte(number), ExpMonth: 1, ExpYear: 2030}).Check(); err != nil {
			t.Errorf("%s: %v", number, err)
		}
	}
	for number, brand := range map[string]string{
		"4242424242424242": "visa", "4000000000006": "visa", "5555555555554444": "mastercard", "2223003122003222": "mastercard",
		"378282246310005": "amex", "6011111111111117": "discover", "6221260000000000": "discover", "6445644564456445": "discover",
		"30569309025904": "diners", "36227206271667": "diners", "3566002020360505": "jcb", "6200000000000005": "unionpay",
		"9999999999999995": "unknown",
	} {
		if got := brandOf([]byte(number)); got != brand {
			t.Errorf("%s…: %s, want %s", number[:6], got, brand)
		}
	}
}

func TestRawCardsWithoutAKeyAreCardsOfTheirOwn(t *testing.T) {
	g, ctx := &Gateway{Key: []byte("k")}, t.Context()
	raw := gateway.RawCard{Number: []byte("4242424242424242"), ExpMonth: 3, ExpYear: 2031}
	tokens := map[string]bool{}
	for range 3 {
		token, _, err := g.Tokenize(ctx, req("", ""), raw)
		if err != nil || tokens[token] {
			t.Fatalf("%v, or a token that another card has", err)
		}
		tokens[token] = true
	}
	if _, _, err := g.Tokenize(ctx, req("", "k"), raw); err != nil {
		t.Fatal(err)
	}
	raw.ExpYear++
	if _, _, err := g.Tokenize(ctx, req("", "k"), raw); gateway.KindOf(err) != gateway.Declined {
		t.Errorf("another expiry under the same key: %v, want declined", err)
	}
}

func TestWhatTheLedgerHoldsDecidesWhatACardIsAuthorizedFor(t *testing.T) {
	held := gateway.Instrument{Facts: domain.Facts{Card: &domain.Card{Country: "BR"}}}
	v, err := new(Gateway).Verify(t.Context(), req("tok_visa", "k"), held)
	if err != nil || v.Amount != 100 || v.Currency != "brl" {
		t.Errorf("%+v, %v; want 100 brl", v, err)
	}
}

func TestABuyerWhoWillNotApproveIsDeclined(t *testing.T) {
	g, ctx := new(Gateway), t.Context()
	first, err := g.Setup(ctx, req("tok_visa_3ds_verify_fails", "k"), gateway.Setup{})
	if err != nil || first.NextAction == nil || first.NextAction.Type != domain.ActionProviderSDK {
		t.Fatalf("%+v, %v; want something for the client's SDK, without a place to come back to", first, err)
	}
	_, err = g.Setup(ctx, req("tok_visa_3ds_verify_fails", "k"), gateway.Setup{Approved: true, Reference: first.Reference})
	if gateway.KindOf(err) != gateway.Declined {
		t.Errorf("%v, want declined", err)
	}
}

func TestDepositsMatchInEitherOrderAndByCode(t *testing.T) {
	g, ctx := new(Gateway), t.Context()
	v, err := g.Verify(ctx, req("ba_us", "v"), gateway.Instrument{})
	if err != nil {
		t.Fatal(err)
	}
	for key, named := range map[string]gateway.Deposits{
		"1": {Amounts: []int{45, 32}}, "2": {DescriptorCode: "SM11AA"}, "3": {DescriptorCode: "sm11aa"},
	} {
		if ok, err := g.Confirm(ctx, req("ba_us", key), v.Reference, named); !ok || err != nil {
			t.Errorf("%+v: %v, %v", named, ok, err)
		}
	}
}

func TestCardsOfSomeCountriesAreAuthorizedForOneUnit(t *testing.T) {
	for country, want := range map[string]string{
		"US": "0 usd", "DE": "0 eur", "GB": "0 gbp", "CH": "0 chf", "BR": "100 brl", "JP": "1 jpy", "KW": "1000 kwd", "": "100 usd", "ZZ": "100 usd",
	} {
		amount, code := authorization(country)
		if got := fmt.Sprint(amount, " ", code); got != want {
			t.Errorf("%q: %s, want %s", country, got, want)
		}
	}
}

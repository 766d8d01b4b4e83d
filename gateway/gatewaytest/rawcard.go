package gatewaytest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

func rawCard(number string) gateway.RawCard {
	return gateway.RawCard{Number: []byte(number), SecurityCode: []byte("137"), ExpMonth: 11, ExpYear: 2033}
}

func tokenize(t *testing.T, p Provider, key, number string) (string, gateway.Instrument) {
	t.Helper()
	token, i, err := p.Gateway.Tokenize(t.Context(), keyed("", key), rawCard(number))
	if err != nil {
		t.Fatalf("tokenize: %v", err)
	}
	return token, i
}

func rawCardsAreTokenized(t *testing.T, p Provider, tokens Tokens) {
	if tokens.Number == "" {
		_, _, err := p.Gateway.Tokenize(t.Context(), keyed("", "raw"), rawCard("4242424242424242"))
		wantKind(t, "tokenize", err, gateway.Unsupported)
		return
	}
	token, i := tokenize(t, p, "one", tokens.Number)
	checkCard(t, i)
	if i.Card.Last4 != tokens.Number[len(tokens.Number)-4:] || i.Card.ExpMonth != 11 || i.Card.ExpYear != 2033 {
		t.Errorf("the card became %+v", *i.Card)
	}
	if token == "" || len(token) > 255 || domain.ContainsPAN(token) || i.Fingerprint == "" {
		t.Fatalf("token %q, fingerprint %q", token, i.Fingerprint)
	}
	if known := lookup(t, p.Gateway, token); !reflect.DeepEqual(known, i) {
		t.Errorf("looked up %+v, tokenized %+v", known, i)
	}
	if again, _ := tokenize(t, p, "one", tokens.Number); again != token {
		t.Error("a repeat with the same key made another token")
	}
	wantEffects(t, p, token, 1)
	fresh, j := tokenize(t, p, "two", tokens.Number)
	if fresh == token || j.Fingerprint != i.Fingerprint {
		t.Errorf("the same card once more: token again %v, fingerprint %q, want another token and %q", fresh == token, j.Fingerprint, i.Fingerprint)
	}
	if _, other := tokenize(t, p, "three", tokens.OtherNumber); other.Fingerprint == i.Fingerprint {
		t.Error("two cards have one fingerprint")
	}
	if err := p.Gateway.Detach(t.Context(), keyed(token, "gone")); err != nil {
		t.Errorf("detach: %v", err)
	}
	if after := lookup(t, p.Gateway, fresh); !reflect.DeepEqual(after, j) {
		t.Errorf("after the other token was detached: %+v, want %+v", after, j)
	}
}

func rawCardsAreRefused(t *testing.T, p Provider, tokens Tokens) {
	need(t, tokens.Number)
	broken := []byte(tokens.Number)
	broken[len(broken)-1] = '0' + (broken[len(broken)-1]-'0'+1)%10
	for name, number := range map[string]string{
		"declined": tokens.DeclinedNumber, "mistyped": string(broken), "short": "4242", "empty": "", "letters": "4242x24242424242",
	} {
		token, i, err := p.Gateway.Tokenize(t.Context(), keyed("", name), rawCard(number))
		wantKind(t, name, err, gateway.Declined)
		if token != "" || !reflect.DeepEqual(i, gateway.Instrument{}) {
			t.Errorf("%s: token %q and instrument %+v came with the error", name, token, i)
		}
		if err != nil && number != "" && strings.Contains(fmt.Sprintf("%+v", err), number) {
			t.Errorf("%s: the error repeats the number", name)
		}
	}
}

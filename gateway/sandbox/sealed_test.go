package sandbox_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
	"github.com/pmledger/pmledger/gateway/sandbox"
)

// TestServersWithOneKeyKnowEachOthersCards tokenizes at one sandbox and asks another.
func TestServersWithOneKeyKnowEachOthersCards(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	here, there := &sandbox.Gateway{Key: key}, &sandbox.Gateway{Key: key}
	stranger := &sandbox.Gateway{Key: []byte("another key of 32 bytes, or nearly")}
	for number, expiry := range map[string][2]int{
		"4242424242424242": {12, 2034}, "5105105105105100": {1, 2027}, "378282246310005": {6, 2050}, "4000000000000341": {7, 2031},
		"4000002760003184": {8, 2032}, "4000000000000069": {9, 2033}, "6011111111111117": {10, 2029}, "4000003920000003": {2, 2030},
	} {
		request := gateway.Request{Organization: "acme", Customer: "cus_1", IdempotencyKey: "evt_1" + number}
		raw := gateway.RawCard{Number: []byte(number), ExpMonth: expiry[0], ExpYear: expiry[1]}
		token, want, err := here.Tokenize(t.Context(), request, raw)
		if err != nil {
			t.Fatal(err)
		}
		if len(token) > 255 || domain.ContainsPANInNumberField(token) {
			t.Errorf("the token %s cannot be stored", token)
		}
		request.Token, request.IdempotencyKey = token, ""
		got, err := there.Lookup(t.Context(), request)
		if known, _ := here.Lookup(t.Context(), request); err != nil || !reflect.DeepEqual(got, known) || !reflect.DeepEqual(got.Facts, want.Facts) {
			t.Errorf("there %+v, %v\nhere  %+v", got, err, known)
		}
		_, verifiedHere := here.Verify(t.Context(), request, got)
		_, verifiedThere := there.Verify(t.Context(), request, got)
		if gateway.KindOf(verifiedHere) != gateway.KindOf(verifiedThere) {
			t.Errorf("verified here: %v, there: %v", verifiedHere, verifiedThere)
		}
		if again, _, err := there.Tokenize(t.Context(), gateway.Request{Organization: "acme", Customer: "cus_1", IdempotencyKey: "evt_1" + number}, raw); err != nil || again != token {
			t.Errorf("under the same key the other gave %s, %v", again, err)
		}
		unknownTo(t, stranger, request)
		forged := []byte(token)
		if i := len(forged) - 40; forged[i] == 'a' {
			forged[i] = 'b'
		} else {
			forged[i] = 'a'
		}
		request.Token = string(forged)
		unknownTo(t, there, request)
		request.Token = token
		if err := there.Detach(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		unknownTo(t, there, request)
	}
}

func unknownTo(t *testing.T, g *sandbox.Gateway, request gateway.Request) {
	t.Helper()
	_, err := g.Lookup(t.Context(), request)
	if refused := (*gateway.Error)(nil); !errors.As(err, &refused) || refused.Kind != gateway.UnknownToken {
		t.Errorf("%s: %v", request.Token, err)
	}
}

// Package gatewaytest is the contract of gateway.Gateway as tests. A new gateway's
// test is one call of Run with tokens that its provider, or a stand-in for it,
// answers in known ways.
package gatewaytest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pmledger/pmledger/domain"
	"github.com/pmledger/pmledger/gateway"
)

// Tokens are what the behaviours are tried with. Each is a token of the provider.
type Tokens struct {
	Card        string // of a card that can be used
	OtherCard   string // of another card
	Declined    string // of a card that the provider refuses
	Unavailable string // that finds the provider out of reach
	Unknown     string // that the provider does not know
}

// Run tries every behaviour of the contract. open returns a gateway that is ready;
// it is called once for each behaviour.
func Run(t *testing.T, open func(t *testing.T) gateway.Gateway, tokens Tokens) {
	for _, behaviour := range []struct {
		name string
		try  func(t *testing.T, g gateway.Gateway, tokens Tokens)
	}{
		{"a lookup tells what may be shown of a card", lookupTellsFacts},
		{"a repeated lookup gives the same answer", lookupRepeats},
		{"an answer belongs to its caller alone", answersAreNotShared},
		{"a fingerprint tells cards apart", fingerprintsDiffer},
		{"errors say what they mean", errorsAreTyped},
		{"no error repeats a token", errorsHideTokens},
		{"a call whose time is over returns at once", deadlinesHold},
		{"many goroutines can ask at once", concurrentLookups},
	} {
		t.Run(behaviour.name, func(t *testing.T) { behaviour.try(t, open(t), tokens) })
	}
}

func request(token string) gateway.LookupRequest {
	return gateway.LookupRequest{Organization: "acme", Customer: "cus_1", Token: token, IdempotencyKey: "command-1"}
}

func lookup(t *testing.T, g gateway.Gateway, token string) gateway.Instrument {
	t.Helper()
	i, err := g.Lookup(t.Context(), request(token))
	if err != nil {
		t.Fatalf("lookup: %v", err)
	}
	return i
}

func lookupTellsFacts(t *testing.T, g gateway.Gateway, tokens Tokens) {
	i := lookup(t, g, tokens.Card)
	if i.Type != domain.TypeCard || i.Card == nil || i.Method == "" {
		t.Fatalf("type %q, method %q, card %v; want a card", i.Type, i.Method, i.Card)
	}
	c := i.Card
	if c.Brand == "" || c.Brand != strings.ToLower(c.Brand) {
		t.Errorf("brand %q, want lower case", c.Brand)
	}
	if len(c.Last4) != 4 || strings.Trim(c.Last4, "0123456789") != "" {
		t.Errorf("last4 %q, want four digits", c.Last4)
	}
	if c.ExpMonth < 1 || c.ExpMonth > 12 || c.ExpYear < 2000 || c.ExpYear > 9999 {
		t.Errorf("expiry %d/%d, want a month of 1..12 and a year of four digits", c.ExpMonth, c.ExpYear)
	}
	if domain.ContainsPAN(fmt.Sprintf("%+v %+v", i, *c)) {
		t.Error("a card number is among the facts")
	}
}

func lookupRepeats(t *testing.T, g gateway.Gateway, tokens Tokens) {
	first := lookup(t, g, tokens.Card)
	if again := lookup(t, g, tokens.Card); !reflect.DeepEqual(first, again) {
		t.Errorf("first %+v, then %+v", first, again)
	}
}

func answersAreNotShared(t *testing.T, g gateway.Gateway, tokens Tokens) {
	first := lookup(t, g, tokens.Card)
	want := *first.Card
	first.Card.Last4, first.Card.ExpYear = "0000", 1999
	if got := *lookup(t, g, tokens.Card).Card; !reflect.DeepEqual(got, want) {
		t.Errorf("after the caller changed its copy: %+v, want %+v", got, want)
	}
}

func fingerprintsDiffer(t *testing.T, g gateway.Gateway, tokens Tokens) {
	one, other := lookup(t, g, tokens.Card).Fingerprint, lookup(t, g, tokens.OtherCard).Fingerprint
	if one == "" || one == other {
		t.Errorf("fingerprints %q and %q, want two", one, other)
	}
}

// failing are the tokens that end in an error, by its kind.
func failing(tokens Tokens) map[gateway.Kind]string {
	return map[gateway.Kind]string{
		gateway.Declined: tokens.Declined, gateway.Unavailable: tokens.Unavailable, gateway.UnknownToken: tokens.Unknown,
	}
}

func errorsAreTyped(t *testing.T, g gateway.Gateway, tokens Tokens) {
	for kind, token := range failing(tokens) {
		i, err := g.Lookup(t.Context(), request(token))
		var typed *gateway.Error
		if !errors.As(err, &typed) {
			t.Errorf("%s: error %v, want a *gateway.Error", kind, err)
			continue
		}
		if typed.Kind != kind || typed.Message == "" {
			t.Errorf("kind %q with message %q, want %q with one", typed.Kind, typed.Message, kind)
		}
		if !reflect.DeepEqual(i, gateway.Instrument{}) {
			t.Errorf("%s: an instrument came with the error: %+v", kind, i)
		}
	}
}

func errorsHideTokens(t *testing.T, g gateway.Gateway, tokens Tokens) {
	for kind, token := range failing(tokens) {
		if _, err := g.Lookup(t.Context(), request(token)); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: the error repeats the token, or there is none: %v", kind, err)
		}
	}
	const secret = "zq7secretxk"
	for _, token := range []string{secret, tokens.Card + "_" + secret, "4242424242424242"} {
		_, err := g.Lookup(t.Context(), request(token))
		if err != nil && (strings.Contains(err.Error(), secret) || domain.ContainsPAN(err.Error())) {
			t.Errorf("the error repeats what was sent as a token: %v", err)
		}
	}
}

func deadlinesHold(t *testing.T, g gateway.Gateway, tokens Tokens) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	_, err := g.Lookup(ctx, request(tokens.Card))
	if took := time.Since(start); took > time.Second {
		t.Errorf("the call returned after %v", took)
	}
	var typed *gateway.Error
	if !errors.As(err, &typed) || typed.Kind != gateway.Unavailable && typed.Kind != gateway.UnknownOutcome {
		t.Errorf("error %v, want one that is unavailable or of unknown outcome", err)
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v does not wrap its cause, context.Canceled", err)
	}
}

func concurrentLookups(t *testing.T, g gateway.Gateway, tokens Tokens) {
	want := map[string]gateway.Instrument{tokens.Card: lookup(t, g, tokens.Card), tokens.OtherCard: lookup(t, g, tokens.OtherCard)}
	var wg sync.WaitGroup
	for range 16 {
		for token, instrument := range want {
			wg.Go(func() {
				got, err := g.Lookup(t.Context(), request(token))
				if err != nil || !reflect.DeepEqual(got, instrument) {
					t.Errorf("got %+v, %v; want %+v", got, err, instrument)
				}
			})
		}
	}
	wg.Wait()
}

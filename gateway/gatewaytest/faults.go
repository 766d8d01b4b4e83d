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

// action is a call that changes something, on a token that is ready for it. It
// returns the answer in a form that can be compared.
type action struct {
	name  string
	begin func(t *testing.T, p Provider, token string) string // "" or a reference
	do    func(ctx context.Context, g gateway.Gateway, req gateway.Request, ref string) (any, error)
}

func none(*testing.T, Provider, string) string { return "" }

var onCards = []action{
	{"verify", none, func(ctx context.Context, g gateway.Gateway, req gateway.Request, _ string) (any, error) {
		return g.Verify(ctx, req, gateway.Instrument{Facts: domain.Facts{Type: domain.TypeCard, Card: &domain.Card{}}})
	}},
	{"setup", none, func(ctx context.Context, g gateway.Gateway, req gateway.Request, _ string) (any, error) {
		return g.Setup(ctx, req, gateway.Setup{Usage: "off_session", ReturnURL: returnURL})
	}},
	{"detach", none, func(ctx context.Context, g gateway.Gateway, req gateway.Request, _ string) (any, error) {
		return nil, g.Detach(ctx, req)
	}},
}

// onBanks are tried with a verification of their own, where they need one.
func onBanks(tokens Tokens) []action {
	begun := func(key string) func(t *testing.T, p Provider, token string) string {
		return func(t *testing.T, p Provider, token string) string { return begin(t, p, token, key).Reference }
	}
	return []action{
		{"verify a bank account", none, func(ctx context.Context, g gateway.Gateway, req gateway.Request, _ string) (any, error) {
			return g.Verify(ctx, req, gateway.Instrument{Facts: domain.Facts{Type: domain.TypeBankAccount, BankAccount: &domain.BankAccount{}}})
		}},
		{"confirm", begun("before confirm"), func(ctx context.Context, g gateway.Gateway, req gateway.Request, ref string) (any, error) {
			return g.Confirm(ctx, req, ref, gateway.Deposits{Amounts: tokens.Amounts})
		}},
		{"confirm wrongly", begun("before confirm wrongly"), func(ctx context.Context, g gateway.Gateway, req gateway.Request, ref string) (any, error) {
			return g.Confirm(ctx, req, ref, gateway.Deposits{Amounts: []int{98, 99}})
		}},
		{"resend", begun("before resend"), func(ctx context.Context, g gateway.Gateway, req gateway.Request, ref string) (any, error) {
			return g.Resend(ctx, req, ref)
		}},
		{"cancel", begun("before cancel"), func(ctx context.Context, g gateway.Gateway, req gateway.Request, ref string) (any, error) {
			return nil, g.Cancel(ctx, req, ref)
		}},
		{"cancel what was not answered", begun("unanswered"), func(ctx context.Context, g gateway.Gateway, req gateway.Request, _ string) (any, error) {
			req.IdempotencyKey = "unanswered"
			return nil, g.Cancel(ctx, req, "")
		}},
	}
}

// begin verifies a bank account, twice if the first answer gets lost.
func begin(t *testing.T, p Provider, token, key string) gateway.Verification {
	t.Helper()
	v, err := verify(t, p, keyed(token, key))
	if err != nil && gateway.KindOf(err) == gateway.UnknownOutcome {
		v, err = verify(t, p, keyed(token, key))
	}
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	checkDeposits(t, v)
	return v
}

// each runs a behaviour for every action.
func each(t *testing.T, tokens Tokens, card, bank string, try func(t *testing.T, a action, token string)) {
	t.Helper()
	for _, a := range onCards {
		t.Run(a.name, func(t *testing.T) { try(t, a, card) })
	}
	for _, a := range onBanks(tokens) {
		t.Run(a.name, func(t *testing.T) { try(t, a, bank) })
	}
}

func repeatsHaveOneEffect(t *testing.T, p Provider, tokens Tokens) {
	each(t, tokens, tokens.Card, tokens.Bank, func(t *testing.T, a action, token string) {
		req := keyed(token, "repeated "+a.name)
		ref := a.begin(t, p, token)
		before := p.Effects(token)
		first, err := a.do(t.Context(), p.Gateway, req, ref)
		if err != nil {
			t.Fatal(err)
		}
		happened := p.Effects(token) - before
		for range 3 {
			if again, err := a.do(t.Context(), p.Gateway, req, ref); err != nil || !reflect.DeepEqual(again, first) {
				t.Errorf("the repeat: %+v, %v; want %+v", again, err, first)
			}
		}
		if got := p.Effects(token) - before; got != happened || happened == 0 {
			t.Errorf("the first call had %d effects, with its repeats %d", happened, got)
		}
	})
}

func lostAnswersAreFound(t *testing.T, p Provider, tokens Tokens) {
	need(t, tokens.Lost)
	each(t, tokens, tokens.Lost, tokens.LostBank, func(t *testing.T, a action, token string) {
		req := keyed(token, "lost "+a.name)
		ref := a.begin(t, p, token)
		before := p.Effects(token)
		_, err := a.do(t.Context(), p.Gateway, req, ref)
		wantKind(t, "the first call", err, gateway.UnknownOutcome)
		happened := p.Effects(token) - before
		if happened == 0 {
			t.Error("the answer got lost, and nothing had happened")
		}
		found, err := a.do(t.Context(), p.Gateway, req, ref)
		if err != nil {
			t.Fatalf("the repeat: %v", err)
		}
		if again, err := a.do(t.Context(), p.Gateway, req, ref); err != nil || !reflect.DeepEqual(again, found) {
			t.Errorf("the second repeat: %+v, %v; want %+v", again, err, found)
		}
		if want, ok := found.(bool); ok && want != (a.name == "confirm") {
			t.Errorf("the repeat says that it matches: %v", want)
		}
		// A resend may take two steps at a provider, each of which can be lost.
		if got := p.Effects(token) - before; got > happened && a.name != "resend" || got > happened+1 {
			t.Errorf("the first call had %d effects, with its repeats %d", happened, got)
		}
	})
}

func keysServeOneRequest(t *testing.T, p Provider, tokens Tokens) {
	for _, a := range onCards {
		if _, err := a.do(t.Context(), p.Gateway, keyed(tokens.Card, "shared"), ""); err != nil {
			t.Fatalf("%s: %v", a.name, err)
		}
		before := p.Effects(tokens.OtherCard)
		if a.name == "detach" {
			continue // the token is all that a detach says
		}
		_, err := a.do(t.Context(), p.Gateway, keyed(tokens.OtherCard, "shared"), "")
		wantKind(t, a.name, err, gateway.Declined)
		wantEffects(t, p, tokens.OtherCard, before)
	}
}

func endedCallsReturn(t *testing.T, p Provider, tokens Tokens) {
	check := func(t *testing.T, call func(ctx context.Context) error) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		err := call(ctx)
		if took := time.Since(start); took > time.Second {
			t.Errorf("the call returned after %v", took)
		}
		wantKind(t, "a call that never began", err, gateway.Unavailable)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v does not wrap its cause, context.Canceled", err)
		}
	}
	check(t, func(ctx context.Context) error {
		_, err := p.Gateway.Lookup(ctx, request(tokens.Card))
		return err
	})
	check(t, func(ctx context.Context) error {
		if tokens.Number == "" {
			return gateway.Stopped(ctx)
		}
		_, _, err := p.Gateway.Tokenize(ctx, request(""), rawCard(tokens.Number))
		return err
	})
	each(t, tokens, tokens.Card, tokens.Bank, func(t *testing.T, a action, token string) {
		ref := a.begin(t, p, token)
		before := p.Effects(token)
		check(t, func(ctx context.Context) error {
			_, err := a.do(ctx, p.Gateway, keyed(token, "ended "+a.name), ref)
			return err
		})
		wantEffects(t, p, token, before)
	})
}

// silentProviders: a read promises that nothing happened; of the rest nobody knows.
func silentProviders(t *testing.T, p Provider, tokens Tokens) {
	need(t, tokens.Slow)
	check := func(name string, want gateway.Kind, call func(ctx context.Context) error) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := call(ctx)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s returned after %v", name, took)
		}
		wantKind(t, name, err, want)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: error %v does not wrap context.DeadlineExceeded", name, err)
		}
	}
	check("lookup", gateway.Unavailable, func(ctx context.Context) error {
		_, err := p.Gateway.Lookup(ctx, request(tokens.Slow))
		return err
	})
	check("detach", gateway.UnknownOutcome, func(ctx context.Context) error {
		return p.Gateway.Detach(ctx, request(tokens.Slow))
	})
}

func concurrentLookups(t *testing.T, p Provider, tokens Tokens) {
	want := map[string]gateway.Instrument{tokens.Card: lookup(t, p.Gateway, tokens.Card), tokens.OtherCard: lookup(t, p.Gateway, tokens.OtherCard)}
	var wg sync.WaitGroup
	for range 16 {
		for token, instrument := range want {
			wg.Go(func() {
				got, err := p.Gateway.Lookup(t.Context(), request(token))
				if err != nil || !reflect.DeepEqual(got, instrument) {
					t.Errorf("got %+v, %v; want %+v", got, err, instrument)
				}
			})
		}
	}
	wg.Wait()
}

// concurrentRepeats: a provider may answer that it is still at work on a key; then
// the repeat finds the answer.
func concurrentRepeats(t *testing.T, p Provider, tokens Tokens) {
	each(t, tokens, tokens.Card, tokens.Bank, func(t *testing.T, a action, token string) {
		req := keyed(token, "at once "+a.name)
		ref := a.begin(t, p, token)
		before := p.Effects(token)
		answers := make([]any, 16)
		var wg sync.WaitGroup
		for n := range answers {
			wg.Go(func() {
				answer, err := a.do(t.Context(), p.Gateway, req, ref)
				for attempt := 0; err != nil && gateway.KindOf(err) == gateway.UnknownOutcome && attempt < 50; attempt++ {
					answer, err = a.do(t.Context(), p.Gateway, req, ref)
				}
				if err != nil {
					t.Error(err)
				}
				answers[n] = answer
			})
		}
		wg.Wait()
		for _, answer := range answers {
			if !reflect.DeepEqual(answer, answers[0]) {
				t.Errorf("one call got %+v, another %+v", answer, answers[0])
			}
		}
		concurrent := p.Effects(token) - before
		alone := p.Effects(token)
		if _, err := a.do(t.Context(), p.Gateway, req, ref); err != nil || p.Effects(token) != alone {
			t.Errorf("a late repeat: %v, and %d more effects", err, p.Effects(token)-alone)
		}
		if limit := map[bool]int{true: 2, false: 1}[a.name == "resend"]; concurrent < 1 || concurrent > limit {
			t.Errorf("%d effects, want at most %d", concurrent, limit)
		}
	})
}

func errorsAreTyped(t *testing.T, p Provider, tokens Tokens) {
	kinds := map[gateway.Kind]string{
		gateway.Declined: tokens.Declined, gateway.Unavailable: tokens.Unavailable, gateway.UnknownToken: tokens.Unknown,
	}
	for kind, token := range kinds {
		i, err := p.Gateway.Lookup(t.Context(), request(token))
		if kind != gateway.Declined || err != nil { // some providers decline later than others
			wantKind(t, "lookup", err, kind)
			if !reflect.DeepEqual(i, gateway.Instrument{}) {
				t.Errorf("%s: an instrument came with the error: %+v", kind, i)
			}
		}
		for _, a := range onCards[:2] {
			answer, err := a.do(t.Context(), p.Gateway, keyed(token, string(kind)), "")
			wantKind(t, a.name, err, kind)
			if !reflect.ValueOf(answer).IsZero() {
				t.Errorf("%s: an answer came with the error: %+v", a.name, answer)
			}
		}
	}
}

func errorsHideSecrets(t *testing.T, p Provider, tokens Tokens) {
	const secret = "zq7secretxk"
	for _, token := range []string{
		tokens.Declined, tokens.Unavailable, tokens.Unknown, tokens.VerifyFails, "4242424242424242", "", "..", "a/b?c#d",
		secret, tokens.Card + "_" + secret, strings.Repeat(secret, 30),
	} {
		req := keyed(token, "key-"+secret)
		_, err := p.Gateway.Lookup(t.Context(), req)
		errs := []error{err}
		for _, a := range append(onCards, onBanks(tokens)...) {
			_, err := a.do(t.Context(), p.Gateway, req, "ref_"+secret)
			errs = append(errs, err)
		}
		for _, err := range errs {
			if err == nil {
				continue
			}
			text := fmt.Sprintf("%v %+v", err, err)
			for e := err; e != nil; e = errors.Unwrap(e) {
				text += fmt.Sprintf(" %+v", e)
			}
			if len(token) > 2 && strings.Contains(text, token) || strings.Contains(text, secret) || domain.ContainsPAN(text) {
				t.Errorf("the error repeats what was sent: %s", text)
			}
		}
	}
}

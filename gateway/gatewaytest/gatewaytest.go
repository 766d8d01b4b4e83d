// Package gatewaytest is the contract of gateway.Gateway as tests. A new gateway's
// test is one call of Run with tokens that its provider, or a stand-in for it,
// answers in known ways.
package gatewaytest

import (
	"errors"
	"testing"

	"github.com/pmledger/pmledger/gateway"
)

// Tokens are what the behaviours are tried with. Each is a token of the provider.
// A behaviour whose token is "" is skipped.
type Tokens struct {
	Card        string // of a card that can be used
	OtherCard   string // of another card
	Declined    string // of a card that the provider refuses to set up or verify
	Unavailable string // that finds the provider out of reach
	Unknown     string // that the provider does not know
	VerifyFails string // of a card that can be looked up, and cannot be verified
	NoVerify    string // of something that this gateway has no way to verify
	Bank        string // of a bank account that is verified by micro-deposits
	InstantBank string // of a bank account whose holder signed in at the bank
	Approval    string // of a card that its buyer must approve
	News        string // of a card that the account updater has news of
	Lost        string // of a card: the first answer to each key that changes something gets lost
	LostBank    string // the same of a bank account
	Slow        string // finds a provider that takes the call and does not answer

	Amounts []int  // that Bank and LostBank were sent
	Code    string // that stands beside them

	Number, OtherNumber, DeclinedNumber string // of raw cards; "" when the gateway takes none
}

// Provider is a gateway and what a test can see of the provider behind it.
type Provider struct {
	Gateway gateway.Gateway
	// Effects counts what was changed at the provider about a token: cards made,
	// authorizations, deposits sent, attempts counted, setups, detachments.
	Effects func(token string) int
	// Approve is the buyer's approval; nil when coming back is enough.
	Approve func(token string)
}

// Run tries every behaviour of the contract. open returns a gateway that is ready,
// and a provider at which nothing happened yet; it is called once for each
// behaviour.
func Run(t *testing.T, open func(t *testing.T) Provider, tokens Tokens) {
	for _, behaviour := range []struct {
		name string
		try  func(t *testing.T, p Provider, tokens Tokens)
	}{
		{"a lookup tells what may be shown of a card", lookupTellsFacts},
		{"a repeated lookup gives the same answer and changes nothing", lookupRepeats},
		{"an answer belongs to its caller alone", answersAreNotShared},
		{"a fingerprint tells cards apart", fingerprintsDiffer},
		{"news of the account updater is another card", newsIsAnotherCard},
		{"a card is verified by an authorization", cardsAreVerified},
		{"a verification that fails is declined", failedVerifications},
		{"what cannot be verified is unsupported", unverifiable},
		{"a bank account is verified at once after a bank login", instantBanks},
		{"micro-deposits are named by amounts or by code", depositsAreConfirmed},
		{"micro-deposits can be sent again", depositsAreResent},
		{"a card without approval is set up at once", setupIsReady},
		{"a card with approval is set up after the buyer came back", setupAwaitsApproval},
		{"what was begun can be canceled, whatever is known of it", beginningsAreCanceled},
		{"what has ended is left as it is by a cancel", endsStay},
		{"a cancel needs nothing to cancel", cancelIsForgiving},
		{"who confirms while it is canceled succeeds or is declined, and stays so", confirmMeetsCancel},
		{"a detach can be repeated and needs no known token", detachIsForgiving},
		{"a raw card becomes a token that is known", rawCardsAreTokenized},
		{"a raw card that is refused leaves nothing", rawCardsAreRefused},
		{"errors say what they mean", errorsAreTyped},
		{"no error repeats a token, a number or a key", errorsHideSecrets},
		{"a repeat with the same key gives the same answer and has no second effect", repeatsHaveOneEffect},
		{"what happened without an answer is found by the repeat", lostAnswersAreFound},
		{"a key that served another token is refused", keysServeOneRequest},
		{"a call whose time is over returns at once and changes nothing", endedCallsReturn},
		{"a provider that does not answer holds nobody up", silentProviders},
		{"many goroutines can ask at once", concurrentLookups},
		{"one key from many goroutines has one effect", concurrentRepeats},
	} {
		t.Run(behaviour.name, func(t *testing.T) { behaviour.try(t, open(t), tokens) })
	}
}

func request(token string) gateway.Request { return keyed(token, "command-1") }

func keyed(token, key string) gateway.Request {
	return gateway.Request{Organization: "acme", Customer: "cus_1", Token: token, IdempotencyKey: key}
}

// need skips a behaviour that this gateway's provider cannot show.
func need(t *testing.T, token string) {
	t.Helper()
	if token == "" {
		t.Skip("the provider has no such token")
	}
}

func lookup(t *testing.T, g gateway.Gateway, token string) gateway.Instrument {
	t.Helper()
	i, err := g.Lookup(t.Context(), request(token))
	if err != nil {
		t.Fatalf("lookup: %v", err)
	}
	return i
}

// wantKind tells whether err is a *gateway.Error of that kind with a message.
func wantKind(t *testing.T, what string, err error, kind gateway.Kind) bool {
	t.Helper()
	var typed *gateway.Error
	if !errors.As(err, &typed) {
		t.Errorf("%s: error %v, want a *gateway.Error", what, err)
		return false
	}
	if typed.Kind != kind || typed.Message == "" {
		t.Errorf("%s: error %v with message %q, want kind %q and a message", what, err, typed.Message, kind)
		return false
	}
	return true
}

func wantEffects(t *testing.T, p Provider, token string, want int) {
	t.Helper()
	if got := p.Effects(token); got != want {
		t.Errorf("%d effects at the provider, want %d", got, want)
	}
}

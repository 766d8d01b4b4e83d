// Package gateway is the ledger's door to payment providers, and the only code
// that talks to one. It is the boundary for card data as well: what crosses it
// inwards are facts that may be shown, never a number or a security code.
//
// An implementation per provider stands in a folder of its own; sandbox answers
// without a network. gatewaytest holds the contract below as tests, and every
// implementation runs it.
package gateway

import (
	"context"
	"time"

	"github.com/pmledger/pmledger/domain"
)

// Gateway is one payment provider. Implementations must be safe for concurrent
// use by any number of goroutines.
//
// For every call holds: it must return soon after ctx is done, whatever the
// provider does; a call with the same idempotency key must have no second effect
// at the provider and must give the same answer, for a day at least; the same key
// with another token is Declined and has no effect; an error must be or wrap an
// *Error whose Kind tells the caller what it may do next, and comes without an
// answer; and neither an error nor a log line may contain a token, a card number
// or a secret. A call that the provider cannot do at all is refused as
// Unsupported.
//
// A key belongs to one organization and one kind of call: Verify and Cancel may
// have the same one. Without a key nothing is promised about repeats.
type Gateway interface {
	// Lookup tells what is behind a token: what may be shown, and a fingerprint
	// that is equal for equal instruments of this provider. It changes nothing
	// at the provider, so that a caller may repeat it freely. Errors: Declined,
	// Unavailable, UnknownToken, and Unsupported when the ledger has no name
	// for this kind of instrument.
	Lookup(ctx context.Context, req Request) (Instrument, error)

	// Tokenize gives a raw card a token. The number and the code must not be
	// kept in any form, and the caller wipes them after the call.
	Tokenize(ctx context.Context, req Request, card RawCard) (token string, i Instrument, err error)

	// Verify shows the holder's right to the instrument, or begins to: a card is
	// authorized for nothing or for one unit of its currency and the
	// authorization is reversed before Verify returns; a bank account is
	// verified at once or micro-deposits are sent. Declined: the verification
	// failed for good.
	Verify(ctx context.Context, req Request, i Instrument) (Verification, error)

	// Confirm tells whether what the holder named is what arrived. A wrong answer
	// is not an error, and the provider may count it. reference is that of the
	// Verification; one that the provider does not know is an UnknownToken.
	// Declined: the provider takes no more attempts.
	Confirm(ctx context.Context, req Request, reference string, named Deposits) (matches bool, err error)

	// Resend sends micro-deposits once more. The Verification it returns takes the
	// place of the earlier one; its reference may be another.
	Resend(ctx context.Context, req Request, reference string) (Verification, error)

	// Setup makes an instrument ready for later use without its holder: it
	// returns the instrument, or what the holder has to do first. After they
	// did, Setup is called again with Approved and the reference; the answer may be
	// another thing to do. UnknownOutcome also says that the provider is still at
	// work. Declined: this token will not become ready.
	Setup(ctx context.Context, req Request, s Setup) (SetupAnswer, error)

	// Cancel ends what Verify, Resend or Setup began and nobody waits for any more:
	// afterwards Confirm, and Setup with Approved, are Declined for its reference.
	// The reference "" stands for an answer that never came; then the request's
	// idempotency key is that of the call. What has ended already, in whatever way,
	// stays as it is; that, and what the provider never knew, is success. What the
	// provider is still at work on cannot be canceled yet: UnknownOutcome.
	Cancel(ctx context.Context, req Request, reference string) error

	// Detach makes the provider forget the instrument. That it did already, or
	// never knew it, is success.
	Detach(ctx context.Context, req Request) error
}

// Request says which instrument a call is about, and on whose behalf.
type Request struct {
	Organization   string
	Customer       string // "" for a method without a customer
	Token          string // the provider's name of the instrument; at most 255 bytes
	IdempotencyKey string // of the command or event this call serves; the same on every repeat
	// Now is when the organization asks, by its own clock: that of a test
	// organization may stand still, months ahead. Zero: the provider's clock counts,
	// as it does for every provider that has one.
	Now time.Time
}

// Instrument is what a provider tells of the thing behind a token.
type Instrument struct {
	domain.Facts
	Holder        string              // of the account or card; personal
	Email         string              // of the wallet; personal
	NeedsApproval bool                // the buyer must approve before it can be used
	News          *domain.Replacement // what the account updater has for it already
}

// RawCard is a card as its holder reads it. It exists in memory only.
type RawCard struct {
	Number       []byte // 13 to 19 ASCII digits
	SecurityCode []byte // 3 or 4 ASCII digits, or none
	ExpMonth     int    // 1..12
	ExpYear      int    // four digits
}

// Verification is how verifying an instrument began, or ended at once.
type Verification struct {
	Kind        domain.Evidence
	Done        bool         // verified; otherwise micro-deposits are on their way
	Amount      int64        // of a card authorization, in the smallest unit of Currency
	Currency    string       // ISO 4217, lower case
	Named       domain.Named // what the holder will have to name
	ArrivalDate string       // YYYY-MM-DD
	Reference   string       // the provider's name of this verification
}

// Deposits is what a holder names: both amounts in cents, or the code of the
// statement's descriptor.
type Deposits struct {
	Amounts        []int
	DescriptorCode string
}

// Setup is an attempt to make an instrument ready.
type Setup struct {
	Usage     string // on_session or off_session
	ReturnURL string // where the provider sends the holder back to, if it sends them anywhere
	Approved  bool   // the holder came back
	Reference string // of the first answer, when Approved
}

// SetupAnswer is an instrument that is ready, or what the holder has to do first.
type SetupAnswer struct {
	Instrument Instrument
	NextAction *domain.NextAction // nil: ready
	Reference  string
}

// Notice is something a provider tells by itself, by webhook. Just one of the
// members below the token applies.
type Notice struct {
	ID          string // the provider's event id: a notice is acted upon once
	Token       string // the instrument it is about
	Reference   string // or the setup it is about
	Replacement *domain.Replacement
	Mandate     *domain.Mandate
	Facts       *Instrument // display facts as they are now
	Detached    bool
	Verified    domain.Evidence          // of micro-deposits confirmed at the provider
	Unverified  domain.VerificationCause // verification failed at the provider
	// Setup is what became of a setup. Without a next action and without an
	// instrument (its Type is "") the setup is ready, and Setup, called with
	// Approved and the reference, tells the instrument.
	Setup       *SetupAnswer
	SetupFailed *domain.SetupError
}

// Webhooks is a Gateway that can be told things by its provider.
type Webhooks interface {
	Gateway
	// Notices checks the signature of a webhook and reads it. header is what the
	// provider signs with (name → value, canonical names). An *Error of kind
	// Declined means that the signature is wrong or too old, one of kind
	// Unsupported that the body is not what this provider writes; a webhook of no
	// interest gives no notices. Notices of Verified, Unverified, Setup and
	// SetupFailed name the Reference they are about: it may be an old one.
	Notices(header map[string][]string, body []byte, secret string) ([]Notice, error)
}

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

	"github.com/pmledger/pmledger/domain"
)

// Gateway is one payment provider. Implementations must be safe for concurrent
// use by any number of goroutines.
//
// For every call holds: it must return soon after ctx is done, whatever the
// provider does; a call with the same idempotency key must have no second effect
// at the provider and must give the same answer; an error must be or wrap an
// *Error whose Kind tells the caller what it may do next; and neither an error
// nor a log line may contain a token, a card number or a secret.
type Gateway interface {
	// Lookup tells what is behind a token: what may be shown, and a fingerprint
	// that is equal for equal instruments of this provider. It changes nothing
	// at the provider, so that a caller may repeat it freely. Errors: Declined,
	// Unavailable, UnknownToken, and Unsupported when the ledger has no name
	// for this kind of instrument.
	Lookup(ctx context.Context, req LookupRequest) (Instrument, error)
}

// LookupRequest names the instrument to look up and on whose behalf.
type LookupRequest struct {
	Organization   string
	Customer       string // "" for a method without a customer
	Token          string // the provider's name of the instrument; at most 255 bytes
	IdempotencyKey string // of the command this call serves; the same on every repeat
}

// Instrument is what a provider tells of the thing behind a token.
type Instrument struct {
	domain.Facts
	Holder        string // of the account or card; personal
	Email         string // of the wallet; personal
	NeedsApproval bool   // the buyer must approve before it can be used
}

package gateway

import (
	"context"
	"errors"

	"github.com/pmledger/pmledger/domain"
)

// Kind says what an error of a gateway means to the caller.
type Kind string

// The kinds of errors. There are no others; an error without a kind counts as
// UnknownOutcome, the one that promises least.
const (
	// Declined: the provider understood, and refuses this instrument. A repeat
	// will be refused too.
	Declined Kind = "declined"
	// Unavailable: the provider could not be asked, and nothing happened there.
	// A repeat may succeed.
	Unavailable Kind = "unavailable"
	// UnknownOutcome: the question may have reached the provider, the answer got
	// lost. A repeat with the same idempotency key finds out.
	UnknownOutcome Kind = "unknown outcome"
	// Unsupported: this gateway cannot do this, for this kind of instrument or
	// at all.
	Unsupported Kind = "unsupported"
	// UnknownToken: the provider knows no such token.
	UnknownToken Kind = "unknown token"
)

// Error is what every call of a Gateway returns when it fails.
type Error struct {
	Kind    Kind
	Message string // a sentence for the API's client; no token, no number, no secret
	Err     error  // the cause, for logs; may be nil
}

func (e *Error) Error() string {
	text := "gateway: " + string(e.Kind) + ": " + e.Message
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the *Error in err. A context that ended without one
// and any other error count as UnknownOutcome: nobody knows how far the call came.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) && e.Kind != "" {
		return e.Kind
	}
	return UnknownOutcome
}

// Stopped is the error of a call whose ctx ended before the provider was asked.
func Stopped(ctx context.Context) *Error {
	return &Error{Kind: Unavailable, Message: "the payment provider was not asked in time", Err: context.Cause(ctx)}
}

// Refusal turns an error of a gateway into the refusal that an API client sees:
// gateway.declined, gateway.unavailable (Unavailable and UnknownOutcome), or
// validation.failed (UnknownToken, Unsupported) at body.token, which stands for
// whatever of the request names the instrument. It returns nil for nil, and a
// *domain.Error in err as it is. Causes stay behind, for the log.
func Refusal(err error) error {
	if err == nil {
		return nil
	}
	var refusal *domain.Error
	if errors.As(err, &refusal) {
		return refusal
	}
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{}
	}
	switch e.Kind {
	case Declined:
		return domain.Refuse(domain.CodeGatewayDeclined, "%s", e.Message)
	case UnknownToken, Unsupported:
		return &domain.Error{
			Code: domain.CodeValidationFailed, Message: "the request is not valid",
			Faults: []domain.Fault{{Location: "token", Message: e.Message, Code: domain.CodeValidationFailed}},
		}
	case Unavailable:
		return domain.Refuse(domain.CodeGatewayUnavailable, "%s", e.Message)
	default:
		return domain.Refuse(domain.CodeGatewayUnavailable, "the payment provider's answer is not known; repeat the request with the same Idempotency-Key")
	}
}

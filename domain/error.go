package domain

import (
	"errors"
	"fmt"
	"strings"
)

// Code names a kind of refusal. Codes are part of the API and never change.
type Code string

// The codes that a rule of the ledger can refuse with.
const (
	CodeValidationFailed       Code = "validation.failed"
	CodePANDetected            Code = "pan_detected"
	CodeMethodNotFound         Code = "payment_method.not_found"
	CodeMethodInUse            Code = "payment_method.in_use"
	CodeMethodDetached         Code = "payment_method.detached"
	CodeMethodDuplicate        Code = "payment_method.duplicate"
	CodeMethodNotActive        Code = "payment_method.not_active"
	CodeTooManyMethods         Code = "customer.too_many_methods"
	CodeKeyNotFound            Code = "api_key.not_found"
	CodeKeyReused              Code = "idempotency_key.reused"
	CodeConflict               Code = "conflict"
	CodePreconditionFailed     Code = "precondition.failed"
	CodeForbidden              Code = "forbidden"
	CodeGatewayDeclined        Code = "gateway.declined"
	CodeGatewayUnavailable     Code = "gateway.unavailable"
	CodeStoreUnavailable       Code = "store.unavailable"
	CodeStorageFull            Code = "storage.full"
	CodeRawCardDataDisabled    Code = "raw_card_data.disabled"
	CodeEventNotFound          Code = "event.not_found"
	CodeInternal               Code = "internal"
	CodeSubscriptionNotFound   Code = "subscription.not_found"
	CodeSubscriptionMismatch   Code = "subscription.customer_mismatch"
	CodeSetupIntentNotFound    Code = "setup_intent.not_found"
	CodeSetupIntentState       Code = "setup_intent.invalid_state"
	CodeVerificationMismatch   Code = "verification.mismatch"
	CodeVerificationExpired    Code = "verification.expired"
	CodeVerificationExhausted  Code = "verification.attempts_exhausted"
	CodeVerificationNotPending Code = "verification.not_pending"
)

// Fault is one thing wrong with a request: where, what, and its own code. Here and
// at gateways Location is the name of what the command got wrong (token, metadata);
// the API makes the place in the request of it (body.token). A fault never carries
// the value it complains about.
type Fault struct {
	Location string `json:"location"`
	Message  string `json:"message"`
	Code     Code   `json:"code"`
}

// Error is a refusal: a code for programs, a sentence for people.
type Error struct {
	Code    Code
	Message string
	Faults  []Fault  // validation.failed and pan_detected name every fault
	InUseBy []string // payment_method.in_use: the subscriptions, sorted
	Method  MethodID // payment_method.duplicate: the existing method
}

func (e *Error) Error() string {
	if len(e.Faults) == 0 {
		return string(e.Code) + ": " + e.Message
	}
	at := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		at[i] = f.Location + ": " + f.Message
	}
	return string(e.Code) + ": " + strings.Join(at, "; ")
}

// Refuse makes a refusal with a formatted sentence.
func Refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of the refusal in err, or "internal" for any other error.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// refuseFaults makes one validation.failed of all faults, or nil of none.
func refuseFaults(faults []Fault) error {
	if len(faults) == 0 {
		return nil
	}
	return &Error{Code: CodeValidationFailed, Message: "the request is not valid", Faults: faults}
}

func fault(member, message string) Fault {
	return Fault{Location: member, Message: message, Code: CodeValidationFailed}
}

func invalid(member, message string) error {
	return refuseFaults([]Fault{fault(member, message)})
}

package stripe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"sync/atomic"

	stripego "github.com/stripe/stripe-go/v82"
	"github.com/stripe/stripe-go/v82/form"

	"github.com/pmledger/pmledger/gateway"
)

// question is one call of Stripe's API.
type question struct {
	req    gateway.Request
	op     string // makes the idempotency key of a call that changes something
	method string
	path   string
	params any    // what the form package can write; or
	body   []byte // the body itself
	key    string // the idempotency key itself, in place of one made of op
}

// ask asks Stripe once. Its errors are *gateway.Error; their causes hold what an
// operator needs (status, codes, Stripe's request id), never what was asked.
func (g *Gateway) ask(ctx context.Context, q question, answer stripego.LastResponseSetter) error {
	if ctx.Err() != nil {
		return gateway.Stopped(ctx)
	}
	apiKey := g.key(q.req.Organization)
	if apiKey == "" {
		return &gateway.Error{
			Kind:    gateway.Unavailable,
			Message: "the payment provider has no API key for this organization; an operator must configure one for the gateway",
		}
	}
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	common := &stripego.Params{Context: traced}
	if q.method != http.MethodGet {
		common.IdempotencyKey = q.idempotencyKey()
	}
	body := q.body
	if q.params != nil {
		values := &form.Values{}
		form.AppendTo(values, q.params)
		body = []byte(values.Encode())
	}
	err := g.calls.CallRaw(q.method, q.path, apiKey, body, common, answer)
	if err == nil {
		return nil
	}
	changed := sent.Load() && q.method != http.MethodGet
	var answered *stripego.Error
	if errors.As(err, &answered) {
		return refusal(answered, changed)
	}
	return noAnswer(ctx, err, changed)
}

// idempotencyKey is made of the organization's and the caller's, and differs
// between the calls that serve one request. nil lets the client make one up.
func (q question) idempotencyKey() *string {
	switch {
	case q.key != "":
		return &q.key
	case q.req.IdempotencyKey == "":
		return nil
	}
	return stripego.String("pmledger-" + q.op + "-" + mark(q.req))
}

// mark names a request of the ledger at Stripe.
func mark(req gateway.Request) string {
	return digest(req.Organization, req.IdempotencyKey)
}

func digest(texts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "pmledger stripe\n%q", texts))
	return hex.EncodeToString(sum[:20])
}

// noAnswer is the error of a call that brought no answer of Stripe's.
func noAnswer(ctx context.Context, err error, changed bool) error {
	cause := errors.New("the answer is not one of Stripe's")
	var network net.Error
	var of *url.Error
	switch {
	case ctx.Err() != nil:
		cause = context.Cause(ctx)
	case errors.As(err, &of): // its text holds the token, in the URL
		cause = of.Err
	case errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF):
		cause = err
	}
	if changed {
		return &gateway.Error{Kind: gateway.UnknownOutcome, Message: "the payment provider's answer got lost", Err: cause}
	}
	return unavailable(cause)
}

func unavailable(cause error) error {
	return &gateway.Error{Kind: gateway.Unavailable, Message: "the payment provider cannot be reached; try again later", Err: cause}
}

func unknownToken() error {
	return &gateway.Error{Kind: gateway.UnknownToken, Message: "the payment provider does not know this token"}
}

// answerError is what may be told of an error that Stripe answered.
type answerError struct {
	Status    int
	Type      stripego.ErrorType
	Code      stripego.ErrorCode
	Decline   stripego.DeclineCode
	RequestID string
	replayed  bool // Stripe remembered this answer
}

func (e *answerError) Error() string {
	return fmt.Sprintf("stripe answered %d, type %q, code %q, decline code %q, request %q", e.Status, e.Type, e.Code, e.Decline, e.RequestID)
}

// refusal is the error that Stripe's own stands for. An answer of 500 and above
// says nothing of what happened; one below 500 says that nothing did.
func refusal(e *stripego.Error, changed bool) error {
	cause := &answerError{
		Status: e.HTTPStatusCode, Type: stripego.ErrorType(word(string(e.Type))), Code: stripego.ErrorCode(word(string(e.Code))),
		Decline: stripego.DeclineCode(word(string(e.DeclineCode))), RequestID: word(e.RequestID),
		replayed: e.LastResponse != nil && e.LastResponse.Header.Get("Idempotent-Replayed") == "true",
	}
	failed := func(kind gateway.Kind, message string) error {
		return &gateway.Error{Kind: kind, Message: message, Err: cause}
	}
	switch {
	case e.HTTPStatusCode >= 500 && changed:
		return failed(gateway.UnknownOutcome, "the payment provider failed while it was at work")
	case e.HTTPStatusCode == http.StatusConflict && changed:
		return failed(gateway.UnknownOutcome, "the payment provider is still at work on this request; repeat it")
	case e.HTTPStatusCode >= 500, e.HTTPStatusCode == http.StatusConflict:
		return unavailable(cause)
	case e.HTTPStatusCode == http.StatusTooManyRequests:
		return failed(gateway.Unavailable, "the payment provider is asked too often; try again later")
	case e.HTTPStatusCode == http.StatusUnauthorized, e.HTTPStatusCode == http.StatusForbidden:
		return failed(gateway.Unavailable, "the payment provider refuses the API key of this organization; an operator must check the gateway's configuration")
	case e.Type == stripego.ErrorTypeIdempotency:
		return failed(gateway.Declined, "the payment provider has answered another request with this idempotency key")
	case e.Code == stripego.ErrorCodeResourceMissing && e.Param == "customer":
		return failed(gateway.Declined, "the payment provider does not know this customer")
	case e.Code == stripego.ErrorCodeResourceMissing:
		return failed(gateway.UnknownToken, "the payment provider does not know this token")
	default:
		return failed(gateway.Declined, "the payment provider declined this payment method"+inBrackets(cause))
	}
}

// inBrackets is the reason of a decline, as Stripe's documentation lists it.
func inBrackets(e *answerError) string {
	if reason := e.reason(); reason != "" {
		return " (" + reason + ")"
	}
	return ""
}

func (e *answerError) reason() string {
	if e.Decline != "" {
		return string(e.Decline)
	}
	return string(e.Code)
}

var wordForm = regexp.MustCompile(`^[A-Za-z0-9_]{1,80}$`)

// word lets identifiers of Stripe's through, and no text.
func word(s string) string {
	if wordForm.MatchString(s) {
		return s
	}
	return ""
}

// answerOf is what Stripe answered, in the error of a call; nil when it did not.
func answerOf(err error) *answerError {
	var e *answerError
	errors.As(err, &e)
	return e
}

// codeOf is the code that Stripe answered, or "".
func codeOf(err error) stripego.ErrorCode {
	if e := answerOf(err); e != nil {
		return e.Code
	}
	return ""
}

// messageOf is the sentence of a gateway's error.
func messageOf(err error) string {
	var e *gateway.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return ""
}
